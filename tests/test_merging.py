"""The journals of several shards: checked once, found by key, and merged like those of one run."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_review_order import ROWS, Page, row

from flukeseg.errors import InputError
from flukeseg.images.photo_search import STATE
from flukeseg.masks.review_order import review_ranks
from flukeseg.prediction import page
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.table import gather

SUMMARIES = ("coco", "coco_polygons", "flukes")
COUNT = 2 * len(ROWS)


def write_folder(place: Path, lines: Sequence[tuple[str, dict]]) -> Path:
    """Write each part's lines, and eighteen masks."""
    (place / "mask").mkdir(parents=True)
    for number in range(COUNT):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 5 : 12 + number] = 255
        cv2.imwrite(str(place / f"mask/photo & {number}.png"), mask)
    for part, line in lines:
        PredictionFolder(place, part).add_row(line)
    return place


def line(number: int, **more: object) -> dict:
    return {**row(number, *ROWS[number % len(ROWS)]), **more}


def merged(folder: Path) -> dict[str, bytes]:
    predictions = PredictionFolder(folder)
    with predictions.locked():
        gather(predictions, SUMMARIES, 10_000)
    shutil.rmtree(folder / STATE)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_shards_with_repeated_and_damaged_lines_are_merged_as_one_run(tmp_path):
    numbers = [11, 3, 17, 0, 8, 5, 14, 2, 9, 16, 1, 7, 13, 4, 10, 6, 15, 12]
    parts = [(f"{number % 3 + 1}-of-3", line(number, written=2)) for number in numbers]
    older = [("all", line(number, written=1, confidence=0.01)) for number in (3, 0, 16)]
    # of two lines written at one time the later counts
    earlier = ("3-of-3", line(8, written=2, status="unreadable: earlier"))
    several = write_folder(tmp_path / "a" / "out", [*older, earlier, *parts])
    for journal in (several / STATE).glob("journal-*-of-3.jsonl"):
        content = journal.read_bytes()
        journal.write_bytes(b'{"key": "damaged\n' + content + content[: len(content) // 20])
    one = write_folder(tmp_path / "b" / "out", [("all", line(number)) for number in range(COUNT)])
    expected = merged(one)
    assert {*expected} == {
        "predictions.csv", "coco.json", "coco_polygons.json", "flukes.csv", "index.html"
    }  # fmt: skip
    assert merged(several) == expected


def test_every_line_is_found_by_its_key(tmp_path):
    """Of a thousand digests a few end in zeros."""
    folder = PredictionFolder(tmp_path)
    journal = (PredictionFolder(tmp_path, part) for part in ("1-of-2", "2-of-2"))
    for part in journal:
        for number in range(500):
            part.add_row(line(8, key=f"{part.part}/{number}\udc80", path=f"{number:03d}"))
    keys = [f"{part}/{number}\udc80" for part in ("2-of-2", "1-of-2") for number in range(500)]
    rows = folder.rows()
    assert [found and found["key"] for found in rows.find(keys)] == keys
    assert list(rows.find(["1-of-2/500", ""])) == [None, None]
    assert [found["path"] for found in rows] == sorted(2 * [f"{i:03d}" for i in range(500)])


def test_of_no_lines_none_is_found(tmp_path):
    rows = PredictionFolder(tmp_path).rows()
    assert (len(rows), list(rows), list(rows.find(["a"]))) == (0, [], [None])
    assert list(rows.in_order(review_ranks(rows))) == []


def test_journals_are_checked_again_only_where_one_changed(tmp_path):
    folder = PredictionFolder(write_folder(tmp_path, [("all", line(0))]))
    before = folder.rows()
    with folder.locked():
        gather(folder, SUMMARIES, 10_000)
    assert folder.rows() is before
    PredictionFolder(tmp_path, "1-of-2").add_row(line(1))
    assert (len(folder.rows()), len(before)) == (2, 1)


def test_a_mask_that_cannot_be_read_leaves_no_half_table(tmp_path):
    folder = PredictionFolder(write_folder(tmp_path, [("all", line(i)) for i in range(COUNT)]))
    with folder.locked(), pytest.raises(InputError, match=r"photo & .*max_pixels"):
        gather(folder, SUMMARIES, max_pixels=10)
    assert not {"coco.json", "coco_polygons.json", "flukes.csv"} & {
        path.name for path in tmp_path.iterdir()
    }


def test_of_many_pages_those_near_and_at_the_ends_are_linked(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "A_PAGE", 1)
    folder = PredictionFolder(tmp_path)
    for number in range(30):
        folder.add_row(line(8, key=f"{number}", path=f"{number:02d}"))
    with folder.locked():
        page.write_pages(folder, range(1, 31))
    links = Page((tmp_path / "index-15.html").read_text()).links
    near = [f"index-{number}.html" for number in range(5, 26) if number != 15]
    assert [name for name in links if name.startswith("index")] == [
        "index.html", *near, "index-30.html"
    ]  # fmt: skip
