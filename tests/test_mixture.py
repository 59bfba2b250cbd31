"""Several sources in fixed shares: what is drawn of each, what validates, what stays unknown."""

import csv
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY, read_metrics, write_rgb
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flukeseg.data.augmentation import MAX_STRENGTH, Augmentation
from flukeseg.data.cache import CachedPhotos
from flukeseg.data.dataset import FlukeDataset
from flukeseg.data.mixture import MixedDataModule, MixedDataset, shares
from flukeseg.data.mixture_sources import (
    LabelledSource,
    MixtureSource,
    NoFlukeSource,
    PseudoLabelledSource,
    RenderedSource,
)
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.data.pseudo_labels import (
    COLUMNS,
    UNKNOWN,
    Label,
    levels_of,
    load_label,
    resize_labels,
)
from flukeseg.data.rendered import RenderedDataModule
from flukeseg.data.rendered_pictures import KeptPictures, RenderedFlukes
from flukeseg.data.sampling import seed_of
from flukeseg.data.start_size import StartSize
from flukeseg.errors import InputError
from flukeseg.evaluation.labelled import labelled_photos
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.model.losses import BCEDiceLoss
from flukeseg.rendering import FRAMING, PARTS, SPECIES, check_shares, render, render_not_fluke
from flukeseg.rendering.outline import draw_outline
from flukeseg.training.split_record import read_split, refuse_changed_photos, write_split

SMALL = (32, 64)
quick = settings(max_examples=40)


def noise(letter: str, count: int) -> CachedPhotos:
    """Photos that are told apart by their names: a0, a1, …."""
    rng = np.random.default_rng((ord(letter), count))
    photos = rng.integers(0, 256, (count, 16, 32, 3), np.uint8)
    return CachedPhotos(
        [f"{letter}{i}" for i in range(count)], photos, (photos[..., 0] > 99).astype(np.uint8)
    )


def mixed(sources: dict[str, MixtureSource | None], **options) -> MixedDataModule:
    """A mixture that has read its sources."""
    given = {"train_count": 12, "size": SMALL, "num_workers": 0, **options}
    data = MixedDataModule(sources, **given)
    data.setup()
    return data


def names_of(dataset: MixedDataset, epoch: int = 0) -> list[str]:
    return [dataset[epoch, i]["name"] for i in range(len(dataset))]


def assert_same(one: list[dict], other: list[dict]) -> None:
    assert [sample["name"] for sample in one] == [sample["name"] for sample in other]
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["mask"], b["mask"])


@pytest.fixture
def pairs(tmp_path, shared_pairs) -> Path:
    """Twelve pairs of one's own, fluke_02 and fluke_04 for validation."""
    root = tmp_path / "pairs"
    shutil.copytree(shared_pairs, root)
    (root / "val.txt").write_text("fluke_02\nfluke_04\n", encoding="utf-8")
    return root


def write_labels(root: Path, uses: list[str]) -> Path:
    """Write photos taught_00, taught_01, … with masks of all four greys, and their list."""
    rows = []
    for i, use in enumerate(uses):
        picture = render((8, i), (64, 128))
        unknown = np.zeros(picture.mask.shape, bool)
        unknown[:, 40:80] = True
        write_rgb(root / f"photos/taught_{i:02d}.png", picture.image)
        write_rgb(root / f"masks/taught_{i:02d}.png", levels_of(picture.mask, unknown))
        photo = root.resolve() / f"photos/taught_{i:02d}.png"
        rows.append(dict(zip(COLUMNS, (photo, f"masks/taught_{i:02d}.png", use), strict=True)))
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return root / "labels.csv"


def test_what_validates_is_not_trained_on_from_another_source(pairs, tmp_path, caplog):
    """Such as masks by hand of some photos of a folder, and pseudo-labels of all of them."""
    photos = sorted((pairs / "images").iterdir())
    resized = tmp_path / "sea"
    for photo in photos[:6]:
        picture = read_photo(photo)
        write_rgb(resized / f"{photo.stem}.png", resize_photo(picture, (50, 98)))
    labels = write_labels(tmp_path / "labels", ["train"])
    with labels.open("a", encoding="utf-8") as file:
        for photo in photos:
            shutil.copy(pairs / f"masks/{photo.stem}.png", labels.parent / "masks")
            file.write(f"{photo.resolve()},masks/{photo.stem}.png,train\n")
    caplog.set_level("INFO")
    data = mixed(
        {
            "own": LabelledSource(1, root=pairs),
            "taught": PseudoLabelledSource(1, labels=labels),
            "none": NoFlukeSource(1, folders=[resized]),
        }
    )
    used = {
        name: {Path(p.name).stem for p in data.split if (p.source, p.use) == (name, "train")}
        for name in ("own", "taught", "none")
    }
    assert {Path(p.name).stem for p in data.split if p.use == "val"} == {"fluke_02", "fluke_04"}
    assert used["own"] == {photo.stem for photo in photos} - {"fluke_02", "fluke_04"}
    assert used["taught"] == used["own"] | {"taught_00"}
    assert used["none"] == {photo.stem for photo in photos[:6]} - {"fluke_02", "fluke_04"}
    assert "taught: 2 photos are validated or measured on, and not trained on" in caplog.text
    with pytest.raises(InputError, match=r"data.sources.none has only photos that other"):
        mixed(
            {"own": LabelledSource(1, root=pairs), "none": NoFlukeSource(1, folders=[only(pairs)])}
        )


def only(pairs: Path) -> Path:
    """A folder of the photos that a folder of pairs validates on."""
    folder = pairs.parent / "only"
    folder.mkdir()
    for stem in ("fluke_02", "fluke_04"):
        shutil.copy(next((pairs / "images").glob(f"{stem}.*")), folder)
    return folder


def test_a_test_set_that_was_trained_on_is_told(pairs, caplog):
    mixed({"own": LabelledSource(1, root=pairs)}, test_root=pairs)
    assert "of the 12 photos of data.test_root, 12 are trained or validated on too" in caplog.text


# Shares


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(0, 500))
@quick
def test_shares_add_up_and_leave_none_out(wanted, more):
    total = len(wanted) + more
    counts = shares(dict(enumerate(wanted)), total)
    assert sum(counts) == total
    assert min(counts) >= 1
    assert all(type(count) is int for count in counts)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.integers(1, 600))
@quick
def test_shares_are_in_proportion(wanted, total):
    exact = np.array(wanted) / sum(wanted) * total
    assume(exact.min() >= 1)
    assert np.abs(shares(dict(enumerate(wanted)), total) - exact).max() < 1


def test_shares_by_hand():
    assert shares({"rendered": 0.4, "taught": 0.45, "labelled": 0.15}, 600) == [240, 270, 90]
    assert shares({"a": 1, "b": 1, "c": 2}, 10) in ([3, 2, 5], [2, 3, 5])
    assert shares({"a": 1, "b": 1000}, 5) == [1, 4]


@pytest.mark.parametrize("share", [0, -1, True, float("nan")])
def test_a_share_of_nothing_is_refused(share):
    with pytest.raises(InputError, match=f"share={share} of a source must be above 0"):
        RenderedSource(share)


# What is drawn


SOURCES = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9)), min_size=1, max_size=3)


@given(SOURCES, st.integers(0, 99))
@quick
@example([(1, 9), (7, 1)], 0)
def test_each_source_has_its_count_in_every_epoch_and_its_photos_take_turns(sources, seed):
    parts = [FlukeDataset(noise("abc"[i], length)) for i, (length, _) in enumerate(sources)]
    counts = [count for _, count in sources]
    dataset = MixedDataset(parts, counts, seed)
    assert len(dataset) == sum(counts)
    seen = Counter({name: 0 for part in parts for name in part.source.names})
    for epoch in range(5):
        names = names_of(dataset, epoch)
        drawn = Counter(name[0] for name in names)
        assert [drawn[letter] for letter in "abc"[: len(counts)]] == counts
        seen.update(names)
        for part in parts:
            times = [seen[name] for name in part.source.names]
            assert max(times) - min(times) <= 1


def test_a_seed_shuffles_each_source_in_its_own_way():
    def order(seed: int) -> list[list[str]]:
        parts = [FlukeDataset(noise(letter, 9)) for letter in "ab"]
        names = names_of(MixedDataset(parts, [9, 9], seed))
        return [[name[1] for name in names[:9]], [name[1] for name in names[9:]]]

    assert order(1) == order(1)
    assert order(1)[0] != order(2)[0]
    assert order(1)[0] != order(1)[1]


def test_two_sources_of_renderings_repeat_no_picture(shared_pairs):
    sources = {"grey": RenderedSource(1), "sharp": RenderedSource(1, without=["camera"])}
    data = mixed({**sources, "labelled": LabelledSource(1, root=shared_pairs, val_count=4)})
    names = [name for epoch in range(2) for name in names_of(data.train_set, epoch)]
    rendered = [name for name in names if name.startswith("rendered")]
    assert len(rendered) == len(set(rendered)) == 16


def test_samples_are_the_same_in_whatever_order_they_are_asked_for():
    def fresh() -> MixedDataset:
        parts = [FlukeDataset(noise(letter, 3), Augmentation(2), 7) for letter in "ab"]
        return MixedDataset(parts, [4, 2], 5)

    keys = [(epoch, index) for epoch in range(3) for index in range(6)]
    forwards, backwards = fresh(), fresh()
    there = [forwards[key] for key in keys]
    back = [backwards[key] for key in reversed(keys)][::-1]
    assert_same(there, back)
    # twelve visits to three photos: none is augmented as the visit before was
    images = {(s["name"], s["image"].numpy().tobytes()) for s in there if s["name"][0] == "a"}
    assert len(images) == 12


def test_workers_change_nothing(shared_pairs):
    def drawn(num_workers: int) -> list[dict]:
        sources = {
            "rendered": RenderedSource(1, Augmentation(2)),
            "labelled": LabelledSource(2, Augmentation(2), root=shared_pairs, val_count=4),
        }
        data = mixed(sources, num_workers=num_workers, batch_size=4)
        loader = data.train_dataloader()
        samples = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            for batch in loader:
                samples += [{k: v[i] for k, v in batch.items()} for i in range(len(batch["name"]))]
        return samples

    alone = drawn(0)
    assert len(alone) == 24
    assert_same(alone, drawn(2))


# Sources


def test_a_val_list_is_honoured_and_what_is_left_out_is_nowhere(pairs):
    alone, _ = LabelledSource(1, root=pairs, leave_out="fluke_04").load(SMALL, 0, 1)
    assert "fluke_04" not in alone.names
    part = LabelledSource(1, root=pairs, leave_out=["fluke_04", "fluke_07"])
    train, val = part.load(SMALL, seed=0, count=1)
    assert val.names == ["fluke_02"]
    held = {"fluke_02", "fluke_04", "fluke_07"}
    assert train.names == [f"fluke_{i:02d}" for i in range(12) if f"fluke_{i:02d}" not in held]


def test_what_does_not_validate_does_not_train_on_its_val_list_either(pairs):
    train, val = LabelledSource(1, root=pairs, validates=False).load(SMALL, 0, 1)
    assert val is None
    assert len(train) == 10
    assert not {"fluke_02", "fluke_04"} & set(train.names)
    (pairs / "val.txt").unlink()
    train, val = LabelledSource(1, root=pairs, validates=False).load(SMALL, 0, 1)
    assert val is None
    assert len(train) == 12


def test_inside_the_masks_of_entire_animals_nothing_is_known(shared_pairs):
    given = {"root": shared_pairs, "validates": False}
    plain, _ = LabelledSource(1, **given).load(SMALL, 0, 1)
    entire, val = LabelledSource(1, entire_animals=True, **given).load(SMALL, 0, 1)
    assert val is None
    for i in range(len(plain)):
        (_, photo, mask), (_, same, known) = plain.get(i, 0), entire.get(i, 0)
        np.testing.assert_array_equal(photo, same)
        np.testing.assert_array_equal(known, np.where(mask == 1, UNKNOWN, 0))
    with pytest.raises(InputError, match="entire_animals=true needs validates=false"):
        LabelledSource(1, root=shared_pairs, entire_animals=True).load(SMALL, 0, 1)


def test_without_a_val_list_some_are_drawn(shared_pairs):
    part = LabelledSource(1, root=shared_pairs, val_count=3, leave_out=["fluke_01"])
    train, val = part.load(SMALL, 0, 1)
    assert not set(train.names) & set(val.names)
    assert "fluke_01" not in {*train.names, *val.names}
    assert len(val) == 3
    assert len({*train.names, *val.names}) == 11


def test_what_belongs_together_with_what_is_left_out_is_nowhere_either(pairs):
    (pairs / "val.txt").unlink()
    (pairs / "groups.csv").write_text("stem,individual\nfluke_01,a\nfluke_05,a\nfluke_06,b\n")
    train, val = LabelledSource(1, root=pairs, val_count=3, leave_out=["fluke_01"]).load(
        SMALL, 0, 1
    )
    assert len(val) == 3
    assert not {"fluke_01", "fluke_05"} & {*train.names, *val.names}
    assert len({*train.names, *val.names}) == 10


def test_what_is_left_out_is_not_learnt_from_another_source_either(pairs, tmp_path):
    names = [path.name for path in sorted((pairs / "images").iterdir())]
    for kind in ("images", "masks"):
        (tmp_path / "numbered" / kind).mkdir(parents=True)
        for number, path in enumerate(sorted((pairs / kind).iterdir())):
            shutil.copy(path, tmp_path / "numbered" / kind / f"{1001 + number}{path.suffix}")
    given = {"val_count": 2, "leave_out": [1001, "1003"]}  # as Hydra reads them
    own = LabelledSource(1, root=tmp_path / "numbered", **given)
    again = LabelledSource(1, root=pairs, validates=False)
    data = MixedDataModule({"own": own, "again": again}, size=SMALL, num_workers=0)
    data.setup()
    learnt = {Path(photo.name).stem for photo in data.split if photo.source == "again"}
    assert learnt
    assert not {Path(name).stem for name in (names[0], names[2])} & learnt


@pytest.mark.parametrize("options", [{"mask_threshold": "abc"}, {"mask_threshold": 255}])
def test_options_of_a_labelled_source_are_checked(options):
    with pytest.raises(InputError, match="mask_threshold"):
        LabelledSource(1, root="any", **options)


def test_one_folder_or_none_is_no_list_of_letters(pairs):
    train, _ = NoFlukeSource(1, folders=str(pairs / "images")).load(SMALL, 0, 1)
    assert len(train) == 12
    with pytest.raises(InputError, match="must name folders"):
        NoFlukeSource(1, folders=None).load(SMALL, 0, 1)
    assert LabelledSource(1, root=pairs, leave_out=None).leave_out == ()


def test_a_folder_is_divided_alike_wherever_its_source_stands(shared_pairs):
    part = LabelledSource(1, root=shared_pairs, val_count=3)
    alone = FolderDataModule(shared_pairs, val_count=3, size=SMALL, seed=5, num_workers=0)
    later = MixedDataModule({"rendered": RenderedSource(1), "pairs": part}, size=SMALL, seed=5,
                            num_workers=0)  # fmt: skip
    for data in (alone, later):
        data.setup()
    assert later.val_set.source.names == alone.val_set.source.names


@pytest.mark.parametrize("kind", ["stranger", "everything", "folder"])
def test_a_labelled_folder_that_cannot_be_used_is_told(pairs, kind):
    options, told = {
        "stranger": (
            {"leave_out": ["fluke_99", "fluke_01"]},
            f"leave_out=fluke_99 is not in {pairs}",
        ),
        "everything": (
            {"leave_out": [f"fluke_{i:02d}" for i in range(12)]},
            "no pair is left to train on",
        ),
        "folder": ({"root": pairs / "gone"}, "gone is not a folder"),
    }[kind]
    with pytest.raises(InputError, match=told):
        LabelledSource(1, **{"root": pairs, **options}).load(SMALL, 0, 1)


def test_rendered_flukes_never_validate():
    train, val = RenderedSource(1, without=["camera"]).load(SMALL, 3, count=5, number=1)
    assert val is None
    assert len(train) == 5
    picture = render((seed_of(3, 1), 2, 4), SMALL, ["camera"])
    _, image, mask = train.get(4, epoch=2)
    np.testing.assert_array_equal(image, picture.image)
    np.testing.assert_array_equal(mask, picture.mask)


def test_an_unknown_part_of_the_renderer_is_told_before_training():
    with pytest.raises(InputError, match="without=wavs is not one of waves"):
        RenderedSource(1, without=["wavs"]).load(SMALL, 0, 1)


@pytest.mark.parametrize(
    "sources",
    [
        {"rendered": RenderedSource(1)},
        pytest.param(
            {"rendered": None},
        ),
    ],
)
def test_without_a_real_source_there_is_nothing_to_validate_on(sources):
    with pytest.raises(InputError, match=r"data\.sources has no real photo to validate on"):
        mixed(sources)


def test_a_source_may_be_taken_out(pairs):
    data = mixed({"rendered": None, "labelled": LabelledSource(1, root=pairs)})
    assert len(data.train_set) == 12
    assert all(name.startswith("fluke_") for name in names_of(data.train_set))


def test_photos_must_be_enough_for_all_sources(pairs):
    with pytest.raises(
        InputError, match=r"data\.train_count=1 must be a whole number of at least 2"
    ):
        mixed(
            {"rendered": RenderedSource(9), "labelled": LabelledSource(1, root=pairs)},
            train_count=1,
        )


def test_drawn_masks_validate_and_a_teachers_where_there_are_none(pairs, tmp_path):
    taught = PseudoLabelledSource(
        1, labels=write_labels(tmp_path / "taught", ["train", "val", "train"])
    )
    data = mixed(
        {"taught": taught, "rendered": RenderedSource(1), "labelled": LabelledSource(2, root=pairs)}
    )
    assert data.val_set.source.names == ["fluke_02", "fluke_04"]
    drawn = Counter(name.split("_")[0] for name in names_of(data.train_set))
    assert drawn == {"taught": 3, "rendered": 3, "fluke": 6}
    data = mixed({"taught": taught, "labelled": LabelledSource(1, root=pairs, validates=False)})
    assert data.val_set.source.names == ["taught_01.png"]
    assert "taught_01.png" not in {n for e in range(4) for n in names_of(data.train_set, e)}


def test_the_split_names_each_photo_of_a_file_once(pairs, tmp_path):
    labels = write_labels(tmp_path / "pseudo", ["train", "val", "other"])
    data = mixed(
        {
            "rendered": RenderedSource(1),
            "pseudo": PseudoLabelledSource(1, labels=labels),
            "labelled": LabelledSource(2, root=pairs, leave_out=["fluke_00"]),
        }
    )
    uses = {(photo.source, photo.name): photo.use for photo in data.split}
    assert len(data.split) == len(uses) == 2 + 11
    assert uses["pseudo", "taught_00.png"] == "train"
    assert uses["pseudo", "taught_01.png"] == "val"
    assert {name for (_, name), use in uses.items() if use == "val" and name[0] == "f"} == {
        "fluke_02",
        "fluke_04",
    }
    write_split(data.split, tmp_path)
    refuse_changed_photos(data.split, tmp_path)
    mask = tmp_path / "pseudo/masks/taught_00.png"
    write_rgb(mask, 255 - read_mask(mask, 127) * 255)
    changed = PseudoLabelledSource(1, labels=labels)
    other = mixed({**data.sources, "pseudo": changed})
    with pytest.raises(InputError, match=r"other photos: taught_00\.png has changed; restore"):
        refuse_changed_photos(other.split, tmp_path)
    with pytest.raises(InputError, match=r"fluke_01 is missing, .* and 1 more; restore"):
        refuse_changed_photos([p for p in data.split if p.source != "labelled"], tmp_path)


# Smaller at the start


def sizes_of(dataset: FlukeDataset | MixedDataset, epoch: int) -> set[tuple[int, ...]]:
    samples = [dataset[epoch, i] for i in range(len(dataset))]
    return {tuple(sample[key].shape[1:]) for sample in samples for key in ("image", "mask")}


@pytest.mark.parametrize("kind", ["folder", "rendered", "mixed"])
def test_the_first_epochs_are_smaller(pairs, tmp_path, kind):
    options = {"size": (64, 128), "start": StartSize((32, 64), 2), "augmentation": Augmentation(1)}
    if kind == "folder":
        data = FolderDataModule(pairs, **options)
    elif kind == "rendered":
        data = RenderedDataModule(train_count=3, val_count=2, test_count=2, **options)
    else:
        taught = PseudoLabelledSource(1, labels=write_labels(tmp_path / "taught", ["train", "val"]))
        sources = {
            "rendered": RenderedSource(1),
            "labelled": LabelledSource(1, root=pairs),
            "taught": taught,
        }
        data = MixedDataModule(sources, train_count=6, **options)
    data.setup()
    assert [sizes_of(data.train_set, epoch) for epoch in range(3)] == [
        {(32, 64)},
        {(32, 64)},
        {(64, 128)},
    ]
    assert tuple(data.val_set[0]["image"].shape) == (3, 64, 128)


# Masks of a teacher


PROBABILITIES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.tuples(
        arrays(np.float32, size, elements=st.floats(0, 1, width=32)), arrays(bool, size)
    )
)


@given(PROBABILITIES)
@quick
def test_greys_come_back_as_what_they_say(drawn):
    probability, unknown = drawn
    levels = levels_of(probability, unknown)
    assert levels.dtype == np.uint8
    assert set(np.unique(levels)) <= {0, 64, 192, 255}
    with tempfile.TemporaryDirectory() as folder:
        photo, mask = Path(folder) / "a.png", Path(folder) / "mask.png"
        write_rgb(photo, np.zeros((*levels.shape, 3), np.uint8))
        write_rgb(mask, levels)
        name, image, learnt = load_label(Label(photo, mask, validates=False), levels.shape)
        _, _, judged = load_label(Label(photo, mask, validates=True), levels.shape)
    assert (name, image.shape) == ("a.png", (*levels.shape, 3))
    np.testing.assert_array_equal(judged, probability > 0.5)
    np.testing.assert_array_equal(learnt, np.where(unknown, UNKNOWN, judged))


def test_a_quarter_of_unknown_area_is_still_known():
    mask = np.ones((4, 6), np.uint8)
    mask[0, 0] = mask[2, 2:4] = UNKNOWN  # one pixel of four, two of four
    assert resize_labels(mask, (2, 3)).tolist() == [[1, 1, 1], [1, UNKNOWN, 1]]
    assert resize_labels(np.full((4, 6), UNKNOWN, np.uint8), (8, 9)).tolist() == [[UNKNOWN] * 9] * 8


def test_taught_photos_are_parted_by_their_use(tmp_path):
    labels = write_labels(tmp_path, ["train", "val", "looks disagree", "train"])
    train, val = PseudoLabelledSource(1, labels=labels).load((64, 128), 0, 1)
    assert train.names == ["taught_00.png", "taught_03.png"]
    assert val.names == ["taught_01.png"]
    assert (train.masks[:, :, 40:80] == UNKNOWN).all()
    assert set(train.masks[:, :, :40].unique().tolist()) == {0, 1}
    np.testing.assert_array_equal(val.masks[0], render((8, 1), (64, 128)).mask)


BROKEN = {
    "gone": (None, "labels.csv is not a list of labels"),
    "no text": (b"\xff\xfe\x00", "labels.csv has no row to train on"),
    "other columns": (b"path;mask\na.jpg;a.png\n", "labels.csv is not a list of labels"),
    "empty": (b"", "labels.csv has no row to train on"),
    "nothing taken": (b"photo,mask,use\na.jpg,a.png,not confident\n", "no row to train on"),
    "photo gone": (b"photo,mask,use\ngone.jpg,a.png,train\n", "gone.jpg"),
    "one huge cell": (b'photo,mask,use\n"' + b"a" * 200_000, "labels.csv is not a list of labels"),
    "a short row": (b"use,photo,mask\ntrain,a.jpg\n", "labels.csv is not a list of labels"),
}


@pytest.mark.parametrize(("content", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_list_of_labels_that_cannot_be_used_is_told(tmp_path, content, told):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=told):
        PseudoLabelledSource(1, labels=tmp_path / "labels.csv").load(SMALL, 0, 1)


def test_a_mask_of_another_size_than_its_photo_is_told(tmp_path):
    labels = write_labels(tmp_path, ["train"])
    write_rgb(tmp_path / "masks/taught_00.png", np.zeros((64, 127), np.uint8))
    with pytest.raises(InputError, match=r"taught_00\.png does not have the size of its photo"):
        PseudoLabelledSource(1, labels=labels).load(SMALL, 0, 1)


@given(st.floats(0, MAX_STRENGTH), st.integers(0, 10**6))
@settings(max_examples=30)
def test_what_is_unknown_moves_with_the_photo_and_stays_unknown(strength, seed):
    """Warped with the mask, it is where it would be alone, but for rounding at its edge."""
    picture = render(7, (48, 96), species={"humpback": 1})
    mask = picture.mask.copy()
    mask[10:30, 20:60] = UNKNOWN
    augment = Augmentation(strength)
    photo, warped = augment(picture.image, mask, (seed,))
    assert warped.shape == mask.shape
    assert warped.dtype == np.uint8
    _, unknown = augment(picture.image, (mask == UNKNOWN).astype(np.uint8), (seed,))
    same, fluke = augment(picture.image, (mask == 1).astype(np.uint8), (seed,))
    np.testing.assert_array_equal(photo, same)
    assert set(np.unique(warped)) <= {0, 1, UNKNOWN}
    apart = np.where(unknown, UNKNOWN, fluke)
    is_edge = cv2.morphologyEx(apart, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    assert ((warped != apart) & ~is_edge).mean() < 0.002


def test_unknown_is_a_half_in_a_sample(tmp_path):
    labels = write_labels(tmp_path, ["train"] * 3)
    train, _ = PseudoLabelledSource(1, labels=labels).load((64, 128), 0, 1)
    dataset = FlukeDataset(train, Augmentation(3), start=StartSize(SMALL, 1))
    for epoch in range(3):
        masks = torch.stack([dataset[epoch, i]["mask"].reshape(-1) for i in range(3)])
        assert masks.unique().tolist() == [0, 0.5, 1]
    plain = FlukeDataset(train)[0]["mask"]
    assert (plain[..., 40:80] == 0.5).all()
    assert not (plain[..., :40] == 0.5).any()


def test_epochs_after_the_start_have_several_sizes_in_turn():
    start = StartSize((16, 32), 2, [(32, 64), (48, 96)])
    expected = [(16, 32), (16, 32), (32, 64), (48, 96), (32, 64)]
    assert [start.at(epoch) for epoch in range(5)] == expected
    assert StartSize((16, 32), 1).at(1) is None
    dataset = FlukeDataset(RenderedFlukes(1, (64, 128), 1), None, start=start)
    assert [dataset[epoch, 0]["image"].shape[1:] for epoch in range(4)] == expected[:4]
    with pytest.raises(InputError, match=r"data\.start\.then"):
        StartSize((16, 32), 1, [(0, 64)])


# Their loss


def some_logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_the_loss_is_that_of_the_known_pixels_alone():
    logits = some_logits(2, 1, 8, 12).requires_grad_()
    target = (some_logits(2, 1, 8, 12) + logits > 0).float()
    target[..., 7:] = 0.5
    parts = BCEDiceLoss()(logits, target)
    of_known = BCEDiceLoss()(logits[..., :7], target[..., :7])
    for name in ("loss", "bce", "dice_loss"):
        torch.testing.assert_close(parts[name], of_known[name])
    parts["loss"].backward()
    assert not logits.grad[..., 7:].any()
    assert logits.grad[..., :7].all()
    with torch.no_grad():
        logits[..., 7:] = 1e4
    torch.testing.assert_close(BCEDiceLoss()(logits, target)["loss"], parts["loss"])


def test_a_batch_of_unknown_pixels_teaches_nothing_and_breaks_nothing():
    logits = some_logits(1, 1, 4, 4).requires_grad_()
    loss = BCEDiceLoss()(logits, torch.full_like(logits, 0.5))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# Training


def labelled(root: Path) -> list[str]:
    return [
        "data=mixed", "data.train_count=8",
        "+data.sources.labelled._target_=flukeseg.data.mixture_sources.LabelledSource",
        f"+data.sources.labelled.root={root}", "+data.sources.labelled.share=1",
    ]  # fmt: skip


def test_a_mixture_trains(run_train, pairs):
    run_train(
        *labelled(pairs), *TINY, "name=mixed", "data.size=[64,128]",
        "data.start={_target_:flukeseg.data.start_size.StartSize,size:[32,64],epochs:1}",
        f"data.test_root={pairs}", "+data.sources.labelled.leave_out=[fluke_00]",
    )  # fmt: skip
    (folder,) = Path("outputs/mixed").iterdir()
    told = (folder / "train.log").read_text(encoding="utf-8")
    assert "rendered: 4 of each epoch's photos, from 4" in told
    assert "labelled: 4 of each epoch's photos, from 9" in told
    assert "Dice held out" in told
    rows = read_metrics(folder)
    assert [row["step"] for row in rows] == [2, 4]
    assert all(np.isfinite(row["val/loss"]) for row in rows)
    assert len(list((folder / "checkpoints").glob("epoch=*.ckpt"))) == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_source_validates_on_a_photo_with_a_fluke(pairs, seed):
    (pairs / "val.txt").unlink()
    for path in sorted((pairs / "masks").iterdir())[:-2]:
        path.write_bytes(encode_png(np.zeros((4, 8), np.uint8)))
    for path in sorted((pairs / "images").iterdir())[:-2]:
        path.write_bytes(encode_png(np.random.default_rng(seed).integers(0, 255, (4, 8, 3), "u1")))
    _, val = LabelledSource(1, root=pairs, val_count=1).load(SMALL, seed, 1)
    assert val.masks.any()


def test_a_network_learns_on_from_a_few_masks(run_train, pairs, tiny_runs):
    run_train(
        "+experiment=few", f"root={pairs}", *TINY, f"model.start_from={tiny_runs[0]}",
        "data.train_count=8",
    )  # fmt: skip
    (folder,) = Path("outputs/few").iterdir()
    (kept,) = (folder / "checkpoints").glob("epoch=*.ckpt")
    assert kept.name.startswith("epoch=001")  # the last: one mask is too few to choose by
    told = (folder / "train.log").read_text(encoding="utf-8")
    assert "own: 4 of each epoch's photos, from 10" in told
    assert read_split(folder / "start_from/0") == read_split(tiny_runs[0])


MISTAKES = {
    "no real photo": ([], "data.sources has no real photo to validate on"),
    "a stranger left out": (["+data.sources.labelled.leave_out=[Whale_1]"], "leave_out=Whale_1"),
    "no share": (["data.sources.rendered.share=0"], "share=0 of a source must be above 0"),
    "typo": (["+data.sources.labelled.leaveout=[a]"], "leaveout"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_mixture_is_one_sentence(run_train, pairs, capsys, case):
    overrides, expected = MISTAKES[case]
    with pytest.raises(SystemExit) as ended:
        run_train(*(labelled(pairs) if overrides else ["data=mixed"]), *TINY, *overrides)
    assert ended.value.code == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert expected in message


# Renderings without a part


def rendered_with_and_without(part: str) -> list[tuple]:
    seeds = [(5, i) for i in (*range(12), 18)]  # the last one has a body behind its fluke
    return [(render(seed, (48, 96)), render(seed, (48, 96), [part])) for seed in seeds]


@pytest.mark.parametrize("part", ["backdrop", "company", "bodies", "skin", "light", "camera"])
def test_what_is_only_seen_leaves_the_masks_alone(part):
    twice = rendered_with_and_without(part)
    for whole, without in twice:
        np.testing.assert_array_equal(without.mask, whole.mask)
        np.testing.assert_array_equal(without.trailing_edge, whole.trailing_edge)
    assert any((without.image != whole.image).any() for whole, without in twice)


@pytest.mark.parametrize("part", ["waves", "splash"])
def test_water_moves_the_waterline_and_no_more(part):
    twice = rendered_with_and_without(part)
    assert all((without.image != whole.image).any() for whole, without in twice)
    whole, without = (np.stack([pair[i].mask for pair in twice]) for i in (0, 1))
    if part == "splash":  # nothing hides the whale any more
        assert without.sum() > whole.sum()
        assert (without >= whole).mean() > 0.999
    else:
        assert 2 * (whole & without).sum() > 0.97 * (whole.sum() + without.sum())


def test_some_pictures_have_a_mount_to_leave_out():
    twice = rendered_with_and_without("mount")
    changed = [(whole, without) for whole, without in twice if (whole.image != without.image).any()]
    assert 0 < len(changed) < len(twice)


def test_without_empty_seas_every_picture_has_a_fluke():
    with_fluke = [render(seed, (16, 32), ["empty"]).mask.any() for seed in range(60)]
    assert all(with_fluke)
    whole = [render(seed, (16, 32)) for seed in range(60)]
    empty = [seed for seed in range(60) if not whole[seed].mask.any()]
    assert 0 < len(empty) < 12
    (full, *_) = sorted({*range(60)} - {*empty})
    np.testing.assert_array_equal(render(full, (16, 32), ["empty"]).image, whole[full].image)


def test_all_parts_may_go_at_once_but_no_others():
    picture = render(4, SMALL, PARTS)
    assert picture.mask.any()
    assert picture.image.shape == (*SMALL, 3)
    with pytest.raises(InputError, match="without=foam is not one of waves, backdrop"):
        render(4, SMALL, ["waves", "foam"])
    with pytest.raises(InputError, match=r"data\.without=foam is not one of waves"):
        RenderedDataModule(without=["foam"])


def test_a_share_of_the_pictures_shows_no_fluke():
    photos = RenderedFlukes(60, (16, 32), seed=3, without=["empty"], not_flukes=0.5)
    empty = [not photos.get(i, epoch=0)[2].any() for i in range(60)]
    assert 18 < sum(empty) < 42
    again = [not photos.get(i, epoch=1)[2].any() for i in range(60)]
    assert again != empty  # another epoch draws others
    with pytest.raises(InputError, match=r"data\.not_flukes=2 must be from 0 to 1"):
        RenderedDataModule(not_flukes=2)
    with pytest.raises(InputError, match="not_flukes=-1 must be from 0 to 1"):
        RenderedSource(share=1, augmentation=None, not_flukes=-1)


def test_kept_pictures_are_the_same_and_are_drawn_once(tmp_path, monkeypatch):
    drawn = RenderedFlukes(3, (16, 32), seed=3, not_flukes=0.3)
    kept = KeptPictures(drawn, tmp_path, 5)

    def same(number: int, epoch: int, index: int) -> None:
        name, photo, mask = kept.get(index, epoch)
        expected = drawn.get(number % 3, number // 3)
        assert name == expected[0]
        for one, two in ((photo, expected[1]), (mask, expected[2])):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)

    numbers = [0, 1, 2, 3, 4, 0, 1, 2, 3]  # of three epochs, of five pictures
    for _ in range(2):  # drawn, then read
        for place, number in enumerate(numbers):
            same(number, *divmod(place, 3))
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 5
    name, photo, mask = kept.get(0, 0, (8, 16))  # made from the one that is kept
    assert name == drawn.get(0, 0)[0]
    np.testing.assert_array_equal(photo, resize_photo(drawn.get(0, 0)[1], (8, 16)))
    np.testing.assert_array_equal(mask, resize_labels(drawn.get(0, 0)[2], (8, 16)))
    assert len([*tmp_path.rglob("*.npy")]) == 5
    assert not [*tmp_path.rglob("*.partial")]
    files[-1].write_bytes(files[-1].read_bytes()[:99])  # the disk was full once
    files[0].write_bytes(b"")
    for place, number in enumerate(numbers):
        same(number, *divmod(place, 3))
    again = KeptPictures(RenderedFlukes(3, (16, 32), seed=3, not_flukes=0.3), tmp_path, 5)
    monkeypatch.setattr(again.source, "get", None)
    assert again.get(1, 1)[0] == kept.get(1, 1)[0]
    for other in ({"seed": 4}, {"seed": 3, "not_flukes": 0.4}, {"seed": 3, "without": ["skin"]},
                  {"seed": 3, "framing": {"tight": 1}}):  # fmt: skip
        other_folder = KeptPictures(RenderedFlukes(3, (16, 32), **other), tmp_path, 5).folder
        assert other_folder != kept.folder
    with pytest.raises(InputError, match="cannot be written"):
        KeptPictures(drawn, files[0], 5).get(0, 0)


def test_a_kept_file_of_somebody_else_runs_no_code(tmp_path):
    kept = KeptPictures(RenderedFlukes(1, (16, 32), seed=3), tmp_path, 1)
    expected = kept.get(0, 0)[1]
    (path,) = tmp_path.rglob("*.npy")
    np.save(path, np.array([Fatal()], object), allow_pickle=True)
    np.testing.assert_array_equal(kept.get(0, 0)[1], expected)


class Fatal:
    def __reduce__(self):
        return pytest.fail, ("code of a kept file ran",)


def test_photos_that_show_no_fluke_have_empty_masks(tmp_path):
    for folder in ("fins", "boats"):
        (tmp_path / folder).mkdir()
        picture = render_not_fluke(len(folder), (30, 50)).image
        cv2.imwrite(str(tmp_path / folder / "a.jpg"), picture[..., ::-1])
    source = NoFlukeSource(share=1, folders=[tmp_path / "fins", tmp_path / "boats"])
    photos, validates = source.load((16, 32), seed=1, count=2)
    assert (len(photos), validates) == (2, None)
    for index in range(2):
        _, photo, mask = photos.get(index, epoch=0)
        assert photo.shape == (16, 32, 3)
        assert photo.any()
        assert not mask.any()
    (tmp_path / "none").mkdir()
    for folders in ([tmp_path / "none"], [tmp_path / "missing"], []):
        with pytest.raises(InputError, match=r"folders=.* folders? of photos without flukes"):
            NoFlukeSource(share=1, folders=folders).load((16, 32), seed=1, count=2)
    (tmp_path / "boats/b.jpg").write_text("text")
    with pytest.raises(InputError, match=r"b\.jpg"):
        source.load((16, 32), seed=1, count=2)


def test_species_are_drawn_by_their_shares():
    assert check_shares("species", {"grey": 1, "sperm": 3}, SPECIES) == {
        "grey": 0.25,
        "sperm": 0.75,
    }
    own = check_shares("species", {"killer": 2}, SPECIES)
    rng = np.random.default_rng(0)
    assert {draw_outline(rng, own).species for _ in range(5)} == {"killer"}
    assert {draw_outline(rng).species for _ in range(300)} == {*SPECIES}
    usual = RenderedFlukes(2, SMALL, 1)
    others = RenderedFlukes(2, SMALL, 1, species=own)
    assert any((usual.get(i, 0)[1] != others.get(i, 0)[1]).any() for i in range(2))
    for wrong, said in (({"cod": 1}, "has cod"), ({"grey": 0}, "a share"), ({"grey": -1}, "grey")):
        with pytest.raises(InputError, match=rf"data\.species.*{said}"):
            RenderedDataModule(species=wrong)


def test_crops_are_drawn_by_their_shares():
    widths = {
        kind: np.median([
            np.ptp(np.nonzero(render((3, number), SMALL, framing={kind: 1.0}).mask.any(0))[0])
            for number in range(12)
            if render((3, number), SMALL, framing={kind: 1.0}).mask.any()
        ])
        for kind in FRAMING
    }  # fmt: skip
    assert widths["tight"] > 1.4 * widths["medium"] > 2 * widths["distant"]
    assert widths["tight"] > widths["enlarged"] > 1.2 * widths["medium"]
    distant = RenderedFlukes(2, SMALL, 1, not_flukes=1, framing={"distant": 1.0})
    usual = RenderedFlukes(2, SMALL, 1, not_flukes=1)
    assert any((usual.get(i, 0)[1] != distant.get(i, 0)[1]).any() for i in range(2))
    with pytest.raises(InputError, match=r"data\.framing has near, which is not one of tight"):
        RenderedDataModule(framing={"near": 1})
    with pytest.raises(InputError, match=r"framing\.tight"):
        RenderedSource(share=1, augmentation=None, framing={"tight": -1})


def test_enlarged_crops_are_softer_and_others_stay_as_they_are():
    def detail(kind):
        pictures = [render((4, n), (96, 192), framing={kind: 1.0}).image for n in range(24)]
        return np.mean([cv2.Laplacian(one, cv2.CV_32F).std() for one in pictures])

    assert detail("enlarged") < 0.8 * detail("tight")
    three = {kind: share for kind, share in FRAMING.items() if kind != "enlarged"}
    for number in range(6):
        one, two = (render((5, number), SMALL, framing=shares) for shares in (three, FRAMING))
        np.testing.assert_array_equal(one.image, two.image)
    enlarged = render_not_fluke((6, 1), SMALL, {"enlarged": 1.0})
    assert not enlarged.mask.any()
    assert enlarged.image.shape == (*SMALL, 3)
    with pytest.raises(InputError, match="one of tight, medium, distant, enlarged"):
        RenderedDataModule(framing={"near": 1})


@pytest.mark.parametrize("shares", [{"species": {"killer": 1}}, {"framing": {"distant": 1}}])
def test_renderings_are_judged_by_their_shares(tmp_path, shares):
    data = RenderedDataModule(test_count=2, **shares)
    judged = [
        labelled_photos(one, [], "all", (24, 48), tmp_path / str(number), 66)
        for number, one in enumerate((RenderedDataModule(test_count=2), data))
    ]
    usual, own = ([read_photo(one.photo) for _, one in sorted(truths.items())] for truths in judged)
    assert any((one != two).any() for one, two in zip(usual, own, strict=True))


def test_only_training_goes_without():
    few = {"train_count": 2, "val_count": 2, "test_count": 2, "size": SMALL}
    whole, without = RenderedDataModule(**few), RenderedDataModule(without=["waves"], **few)
    for data in (whole, without):
        data.setup()
    for one, other, alike in (
        (whole.train_set, without.train_set, False),
        (whole.val_set, without.val_set, True),
        (whole.test_set, without.test_set, True),
    ):
        assert torch.equal(one[0]["image"], other[0]["image"]) == alike
