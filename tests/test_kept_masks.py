"""What a person said of masks stays with them: photos away, moved or replaced, masks deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange_data import write_predictions
from PIL import Image

from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability
from flukeseg.masks.review_order import review_group
from flukeseg.prediction.corrected_products import follow_corrections
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import name_inputs, stamp
from flukeseg.prediction.kept_masks import Verdict, hash_file
from flukeseg.prediction.loader import PhotoFile
from flukeseg.prediction.products import ProductSettings
from flukeseg.prediction.table import gather
from flukeseg.prediction.writer import ProductWriter
from flukeseg.review.learning import Learning
from flukeseg.review.looked_at import read_looked_at

SIZE = (40, 60)
CONSTANTS = {"checkpoint": "none", "threshold": 0.5}


def square(left: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, left : left + 20] = 1
    return mask


@pytest.fixture
def predicted(tmp_path) -> Path:
    """A prediction of the photos a, b and c, whose journal has the hashes of their masks."""
    folder = PredictionFolder(write_predictions(tmp_path, {n: square(5) for n in "abc"}))
    with folder.locked():
        for row in list(folder.rows()):
            folder.add_row(row | {"mask_sha256": hash_file(folder.folder / row["mask"])})
    return folder.folder


def draw(predicted: Path, name: str, mask: np.ndarray) -> None:
    """Change a mask as another program does."""
    (predicted / f"mask/{name}.png").write_bytes(encode_png(mask * 255))


def judge(predicted: Path, name: str, verdict: str, when: str = "2026-01-01T12:00:00") -> None:
    """Give a verdict on a mask as it is."""
    kept, row = PredictionFolder(predicted).kept, rows(predicted)[name]
    digest = hash_file(predicted / row["mask"]) or ""
    kept.verdicts.add(Verdict(name, verdict, "Ann", when, digest, row["key"]))


def follow(predicted: Path, named: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Let rows and crops follow the masks, and return the rows by name."""
    folder = PredictionFolder(predicted)
    with folder.locked():
        follow_corrections(folder, ProductSettings(("crop",)), MAX_PIXELS, named)
    return rows(predicted)


def rows(predicted: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in PredictionFolder(predicted).rows()}


def test_a_correction_waits_for_a_photo_that_is_away(predicted, caplog):
    draw(predicted, "a", square(30))
    before = follow(predicted)
    photos = predicted.parent / "photos"
    away = photos.rename(predicted.parent / "away")
    assert follow(predicted) == before
    assert "1 photos whose masks were corrected or approved are not there" in caplog.text
    draw(predicted, "a", square(12))  # meanwhile
    assert follow(predicted) == before
    away.rename(photos)
    row = follow(predicted)["a"]
    assert (row["status"], row["width"], row["box_x"]) == ("corrected", 60, 12)


def test_a_network_learns_without_photos_that_are_away(predicted, tmp_path):
    for name in "ab":
        draw(predicted, name, square(30))
    (predicted.parent / "photos/b.png").unlink()
    Learning(predicted, [])._collect(tmp_path, [])
    assert [path.name for path in (tmp_path / "pairs/masks").iterdir()] == ["a.png"]


def test_a_row_that_an_older_version_gave_up_is_made_again(predicted):
    draw(predicted, "a", square(30))
    row = follow(predicted)["a"]
    lost = {k: v for k, v in row.items() if k not in ("width", "height", "confidence", "flukes")}
    lost["status"] = "unreadable: is not there any more; put it back"
    PredictionFolder(predicted).add_row(lost)
    assert follow(predicted)["a"]["status"] == "corrected"


def test_photos_that_were_moved_keep_their_lines(predicted, caplog):
    caplog.set_level("INFO")
    draw(predicted, "a", square(30))
    before = follow(predicted)
    (predicted.parent / "photos").rename(predicted.parent / "moved")
    new = predicted.parent / "moved/new/a.png"  # of the same name, and another one
    new.parent.mkdir()
    new.write_bytes(encode_png(np.zeros((9, 9, 3), np.uint8)))
    paths = [str(path) for path in sorted((predicted.parent / "moved").rglob("*.png"))]
    folder = PredictionFolder(predicted)
    assert folder.find_missing(paths, ("mask",)) == [str(new)]
    assert "3 photos were moved" in caplog.text
    now = rows(predicted)
    assert {row["path"] for row in now.values()} == {*paths} - {str(new)}
    assert now.keys() == before.keys()
    assert now["a"]["status"] == "corrected"
    assert folder.find_missing(paths, ("mask",)) == [str(new)]


def test_of_moved_photos_of_one_name_each_keeps_its_own_line(tmp_path):
    names = [f"{day}/1" for day in ("mon", "tue")]
    predicted = write_predictions(tmp_path, {name: square(5) for name in names})
    (tmp_path / "photos/mon/1.png").unlink()
    shutil.copy2(tmp_path / "photos/tue/1.png", tmp_path / "photos/mon/1.png")
    journal = predicted / ".flukeseg/journal-all.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    same = [line | {"stamp": lines[1]["stamp"]} for line in lines]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in same))
    (tmp_path / "photos").rename(tmp_path / "moved")
    PredictionFolder(predicted).find_missing([str(tmp_path / "moved/tue/1.png")], ("mask",))
    assert rows(predicted)["tue/1"]["path"] == str(tmp_path / "moved/tue/1.png")
    assert rows(predicted)["mon/1"]["path"] == str(tmp_path / "photos/mon/1.png")


def test_an_output_copied_without_its_hidden_folder_is_refused(predicted, tmp_path):
    shutil.copytree(predicted / "mask", tmp_path / "copy/mask")
    folder = PredictionFolder(tmp_path / "copy")
    with folder.locked(), pytest.raises(InputError, match=r"without the hidden folder \.flukeseg"):
        folder.settle({"threshold": 0.5}, remake=True)
    shutil.copytree(predicted / ".flukeseg", tmp_path / "copy/.flukeseg", dirs_exist_ok=True)
    with folder.locked():
        folder.settle({"threshold": 0.5})


def test_a_run_killed_before_its_first_line_goes_on(tmp_path):
    folder = PredictionFolder(tmp_path / "out")
    with folder.locked():
        folder.settle({"threshold": 0.5})
        folder.write(tmp_path / "out/mask/a.png", encode_png(square(5) * 255))
    with folder.locked():
        folder.settle({"threshold": 0.5})


def predict_again(
    predicted: Path,
    mask: np.ndarray,
    path: Path,
    threshold: float = 0.5,
    products: tuple[str, ...] = ("mask", "crop"),
    problem: str = "",
) -> None:
    """Let a photo get a mask from a network if it needs one, and rows follow."""
    folder, made = PredictionFolder(predicted), ProductSettings(products)
    with folder.locked():
        folder.settle({"threshold": threshold}, remake=True)
        missing = folder.find_missing([str(path)], products)
        inputs = name_inputs(missing, {row["key"]: row["name"] for row in folder.rows()})
        writer = ProductWriter(folder, MaskSettings(), made, CONSTANTS, MAX_PIXELS, len(missing))
        small = np.zeros((*SIZE, 3), np.uint8)
        seen = mask.astype(np.float32), np.zeros(SIZE, np.float32), float("nan")
        certain = PhotoProbability(*seen, image=small)
        with writer:
            for one in inputs:
                file = PhotoFile(one, SIZE, problem=problem, stamp=stamp(one.path))
                writer.write([file], [] if problem else [certain], 0.1)
        follow_corrections(folder, made, MAX_PIXELS, [str(path)])


def test_a_mask_with_a_verdict_whose_line_is_lost_gets_one(predicted):
    draw(predicted, "a", square(30))
    judge(predicted, "a", "corrected")
    journal = predicted / ".flukeseg/journal-all.jsonl"
    lines = [line for line in journal.read_text().splitlines(True) if '"name": "a"' not in line]
    journal.write_text("".join(lines))
    predict_again(predicted, square(5), predicted.parent / "photos/a.png")
    assert rows(predicted)["a"]["status"] == "corrected"
    assert rows(predicted)["a"]["box_x"] == 30
    assert PredictionFolder(predicted).find_missing([rows(predicted)["a"]["path"]], ()) == []


def pairs(predicted: Path) -> set[str]:
    return {photo.name for photo, _ in read_looked_at(predicted)}


@pytest.mark.parametrize("verdict", ["corrected", "no_fluke", "right"])
def test_a_verdict_goes_with_the_mask_that_it_is_about(predicted, verdict, caplog):
    if verdict != "right":
        draw(predicted, "a", square(30) * (verdict == "corrected"))
    judge(predicted, "a", verdict)
    follow(predicted)
    assert pairs(predicted) == {"a"}
    (predicted / "mask/a.png").unlink()
    predict_again(predicted, square(8), predicted.parent / "photos/a.png")
    assert f"and with it the verdict {verdict}" in caplog.text
    assert pairs(predicted) == set()
    assert rows(predicted)["a"]["status"] == "ok"


def test_an_approved_mask_made_again_to_the_byte_stays_approved(predicted):
    judge(predicted, "a", "right")
    content = (predicted / "mask/a.png").read_bytes()
    for mask, kept in ((square(5), {"a"}), (square(8), set())):
        (predicted / "mask/a.png").write_bytes(content[:-20])  # cut short
        predict_again(predicted, mask, predicted.parent / "photos/a.png")
        assert pairs(predicted) == kept


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_mask_of_a_replaced_photo_makes_no_pair(predicted, is_approved, caplog):
    photo = predicted.parent / "photos/a.png"
    if is_approved:
        judge(predicted, "a", "right")
    else:
        draw(predicted, "a", square(30))
    content = (predicted / "mask/a.png").read_bytes()
    follow(predicted)
    photo.write_bytes(encode_png(np.zeros((*SIZE, 3), np.uint8)))
    for _ in range(2):
        row = follow(predicted, [str(photo)])["a"]
        assert row["review"] == "photo replaced"
        assert review_group(row) == 0
        assert pairs(predicted) == set()
    assert caplog.text.count("was replaced after its mask was") == 1
    assert (predicted / "mask/a.png").read_bytes() == content
    judge(predicted, "a", "right", "2026-02-02T12:00:00")
    assert pairs(predicted) == {"a"}
    assert follow(predicted, [str(photo)])["a"]["review"] == ""


def test_a_photo_copied_without_its_date_is_the_same(predicted):
    photo = predicted.parent / "photos/a.png"
    draw(predicted, "a", square(30))
    follow(predicted)
    photo.touch()
    assert follow(predicted, [str(photo)])["a"]["review"] == ""
    assert pairs(predicted) == {"a"}


@pytest.mark.parametrize(
    "name", ["latin\udce9", "late\x85r", "sep\u2028x", "=sum()", 'a "b", c', "line\nbreak", "ü"]
)
def test_approvals_are_read_whatever_a_photo_is_called(tmp_path, name):
    folder = PredictionFolder(tmp_path)
    said = [Verdict(one, "right", "Ann", "2026", "00", f"/{one}.jpg") for one in (name, "plain")]
    for verdict in said:
        folder.kept.verdicts.add(verdict)
    assert folder.kept.verdicts.latest().keys() == {name, "plain"}
    assert folder.kept.verdicts.latest()[name].verdict == "right"


@pytest.mark.parametrize(
    "content", [b"name,verdict\na," + b"x" * 200_000 + b"\n", b"name,verdict\nm\xfcll,right\n"]
)
def test_verdicts_that_are_no_table_end_in_one_sentence(tmp_path, content):
    (tmp_path / "review.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"review.csv is not a CSV file in UTF-8"):
        PredictionFolder(tmp_path).kept.verdicts.latest()


@pytest.mark.parametrize("problem", ["", "cannot be read"])
def test_crops_of_flukes_that_are_gone_are_removed(predicted, problem):
    photo = predicted.parent / "photos/a.png"
    predict_again(predicted, square(2) | square(35), photo)
    crops = {path.name for path in (predicted / "crop").iterdir()}
    assert crops == {"a.png", "a.fluke2.png"}
    predict_again(predicted, square(2), photo, threshold=0.6, problem=problem)
    assert [path.name for path in (predicted / "crop").iterdir()] == ["a.png"] * (not problem)
    assert (predicted / "mask/a.png").exists()


def test_products_stay_with_the_mask_that_they_are_of(predicted):
    photo = predicted.parent / "photos/a.png"
    predict_again(predicted, square(2), photo)
    predict_again(predicted, square(2), photo, products=("mask", "cutout"))
    assert rows(predicted)["a"]["products"] == ["crop", "cutout", "mask"]
    crop = (predicted / "crop/a.png").read_bytes()
    predict_again(predicted, square(9), photo, threshold=0.6, products=("mask", "cutout"))
    assert (predicted / "crop/a.png").read_bytes() != crop
    assert rows(predicted)["a"]["products"] == ["crop", "cutout", "mask"]


def test_a_persons_own_pages_and_pictures_stay(predicted):
    own = [predicted / name for name in ("index-notes.html", "gallery/0001 with names.jpg")]
    old = [predicted / name for name in ("index-7.html", "gallery/0009.jpg")]
    for path in own + old:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    folder = PredictionFolder(predicted)
    with folder.locked():
        gather(folder, ("gallery",), MAX_PIXELS)
    assert [path.exists() for path in own + old] == [True, True, False, False]


def test_photos_whose_masks_are_gone_are_left_out_of_tables(predicted, caplog):
    (predicted / "mask/c.png").unlink()
    (predicted / "mask/a.png").write_bytes(b"cut short")
    folder = PredictionFolder(predicted)
    with folder.locked():
        gather(folder, ("coco", "flukes"), MAX_PIXELS)
    assert "2 photos without a mask are left out" in caplog.text
    coco = json.loads((predicted / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["b.png"]
    assert {one["image_id"] for one in coco["annotations"]} == {coco["images"][0]["id"]}
    assert len((predicted / "flukes.csv").read_text().splitlines()) == 2


def test_a_mask_too_large_to_decode_counts_as_a_persons(predicted):
    Image.new("L", (60, 40)).save(predicted / "mask/a.gif")
    content = bytearray((predicted / "mask/a.gif").read_bytes())
    content[6:10] = (60_000).to_bytes(2, "little") * 2  # width and height of the header
    (predicted / "mask/a.png").write_bytes(content[:-8])  # cut short, which decoding would tell
    assert PredictionFolder(predicted).kept.is_changed(rows(predicted)["a"])
