import numpy as np
import pytest
from conftest import SIZE, write_pairs, write_rgb

from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.data.pairs import load_pairs
from flukeseg.data.splits import read_stems
from flukeseg.errors import InputError
from flukeseg.images.reading import read_mask
from flukeseg.rendering import render


def test_pairs_match_by_stem_whatever_the_suffix(tmp_path):
    write_pairs(tmp_path, 4)
    (tmp_path / "images/fluke_00.jpg").rename(tmp_path / "images/fluke_00.JPeG")
    write_rgb(tmp_path / "images/lonely.png", render(1, SIZE).image)
    pairs = load_pairs(tmp_path, (48, 96))
    assert pairs.stems == ("fluke_00", "fluke_01", "fluke_02", "fluke_03")
    assert pairs.unpaired == ("lonely",)
    assert pairs.photos.shape == (4, 48, 96, 3)
    assert pairs.photos.dtype == pairs.masks.dtype == np.uint8
    assert set(np.unique(pairs.masks)) <= {0, 1}


def test_mask_threshold_is_strict(tmp_path):
    write_rgb(tmp_path / "images/a.png", np.zeros((2, 2, 3), np.uint8))
    write_rgb(tmp_path / "masks/a.png", np.array([[108, 109], [0, 255]], np.uint8))
    assert load_pairs(tmp_path, (2, 2)).masks[0].tolist() == [[0, 1], [0, 1]]
    assert load_pairs(tmp_path, (2, 2), mask_threshold=200).masks[0].tolist() == [[0, 0], [0, 1]]


def test_empty_masks_are_counted(tmp_path):
    write_pairs(tmp_path, 3)
    write_rgb(tmp_path / "masks/fluke_01.png", np.zeros(SIZE, np.uint8))
    assert "fluke_01" in load_pairs(tmp_path, SIZE).empty


def test_all_problems_come_in_one_list(tmp_path):
    write_pairs(tmp_path, 5)
    images, masks = tmp_path / "images", tmp_path / "masks"
    (images / "fluke_00.jpg").write_text("not a photo")
    (images / "fluke_01.jpg").write_bytes((images / "fluke_01.jpg").read_bytes()[:300])
    write_rgb(masks / "fluke_02.png", np.zeros((10, 20), np.uint8))
    write_rgb(masks / "orphan.png", np.zeros((10, 20), np.uint8))
    write_rgb(images / "fluke_03.png", render(1, SIZE).image)
    with pytest.raises(InputError) as caught:
        load_pairs(tmp_path, SIZE)
    message = str(caught.value)
    assert "5 problem(s)" in message
    for name in ("fluke_00.jpg", "fluke_01.jpg", "fluke_02.png", "orphan.png", "fluke_03.png"):
        assert name in message
    assert "20 × 10" in message
    assert "128 × 64" in message


def test_a_folder_without_pairs_says_what_it_needs(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        load_pairs(tmp_path / "nowhere", SIZE)
    with pytest.raises(InputError, match=r"images.*not a folder"):
        load_pairs(tmp_path, SIZE)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="no photo in images/ with a mask"):
        load_pairs(tmp_path, SIZE)


def test_val_list_is_followed_and_checked(tmp_path):
    write_pairs(tmp_path, 6)
    listed = tmp_path / "val.txt"
    listed.write_text("fluke_04\n\nfluke_02\n", encoding="utf-8")
    data = FolderDataModule(tmp_path, size=(32, 64), num_workers=0)
    data.setup()
    assert data.val_set.source.names == ["fluke_02", "fluke_04"]
    assert len(data.train_set) == 4
    listed.write_text("fluke_04\nfluke_99\n", encoding="utf-8")
    with pytest.raises(InputError, match="fluke_99"):
        FolderDataModule(tmp_path, size=(32, 64)).setup()
    listed.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="names no stem"):
        read_stems(listed, [])


def test_a_val_list_that_divides_copies_is_reported(tmp_path, caplog):
    write_pairs(tmp_path, 4)
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        original = tmp_path / folder / f"fluke_01.{suffix}"
        (tmp_path / folder / f"copy.{suffix}").write_bytes(original.read_bytes())
    (tmp_path / "val.txt").write_text("copy\n", encoding="utf-8")
    FolderDataModule(tmp_path, size=(32, 64)).setup()
    assert "copy, fluke_01" in caplog.text


def test_folds_keep_individuals_and_copies_together(tmp_path):
    write_pairs(tmp_path, 8)
    (tmp_path / "val.txt").write_text("fluke_00\n", encoding="utf-8")  # not read with folds
    (tmp_path / "groups.csv").write_text(
        "stem,individual\nfluke_01,Salt\nfluke_05,Salt\n", encoding="utf-8"
    )
    seen = []
    for fold in range(3):
        data = FolderDataModule(tmp_path, size=(32, 64), folds=3, fold=fold)
        data.setup()
        names = data.val_set.source.names
        assert ("fluke_01" in names) == ("fluke_05" in names)
        assert not set(names) & set(data.train_set.source.names)
        seen += names
    assert sorted(seen) == [f"fluke_0{i}" for i in range(8)]
    with pytest.raises(InputError, match="go together"):
        FolderDataModule(tmp_path, folds=3)


def test_masks_survive_the_round_trip(tmp_path):
    stems = write_pairs(tmp_path, 3)
    for i, stem in enumerate(stems):
        assert np.array_equal(
            read_mask(tmp_path / "masks" / f"{stem}.png"), render((99, i), SIZE).mask
        )
