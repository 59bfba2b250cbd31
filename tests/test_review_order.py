"""One order of review in table, page and gallery, and the static page itself."""

import csv
import html
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from flukeseg.masks.review_order import review_ranks
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.page import A_PAGE, write_pages
from flukeseg.prediction.table import gather

ROWS = [  # status, confidence, review: in the order in which they are to be looked at
    ("ok", 0.4, "tiny"),
    ("ok", 0.95, "cut by the frame; tiny"),
    ("ok", 0.3, ""),
    ("ok", 0.9, ""),
    ("ok", 0.9, ""),
    ("no_fluke", 0.6, "empty"),
    ("no_fluke", 0.99, "empty"),
    ("corrected", 1.0, ""),
    ("unreadable: it is <empty>", None, None),
]


def row(number: int, status: str, confidence: float | None, review: str | None) -> dict:
    name = f"photo & {number}"
    made = {"path": f"{name}.jpg", "key": f"/nowhere/{name}.jpg", "name": name, "status": status}
    if confidence is not None:
        made |= {
            "width": 40,
            "height": 30,
            "exif_orientation": 1,
            "flukes": int(status == "ok"),
            "review": review,
        }
        made |= {"confidence": confidence, "mask": f"mask/{name}.png"}
    return made | {"files": [f"mask/{name}.png"], "products": ["mask"], "stamp": None}


@pytest.fixture
def folder(tmp_path) -> PredictionFolder:
    """Nine photos that lie in an order of their own."""
    folder = PredictionFolder(tmp_path / "out")
    for number in (5, 0, 8, 3, 4, 7, 1, 2, 6):
        folder.add_row(row(number, *ROWS[number]))
        path = folder.folder / f"mask/photo & {number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((30, 40), np.uint8))
    return folder


class Page(HTMLParser):
    """What of a page asks for something, and the names on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.names = [html.unescape(name) for name in re.findall(r"<strong>(.*?)</strong>", text)]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("src", "srcset") or (tag == "link" and name == "href"):
                self.asked.append(value)
            elif name == "href":
                self.links.append(value)


def test_what_is_most_probably_wrong_comes_first():
    shuffled = [5, 0, 8, 3, 4, 7, 1, 2, 6]
    rows = [row(number, *ROWS[number]) for number in shuffled]
    assert review_ranks(rows) == [number + 1 for number in shuffled]


def test_table_and_page_agree_on_the_order(folder):
    with folder.locked():
        tally = gather(folder, [], 1000)
    with (folder.folder / "predictions.csv").open(newline="") as file:
        table = {r["path"]: int(r["review_order"]) for r in csv.DictReader(file)}
    assert table == {f"photo & {number}.jpg": number + 1 for number in range(9)}
    assert tally.to_review == 2
    page = Page((folder.folder / "index.html").read_text())
    assert page.names == [f"{number + 1}. photo & {number}" for number in range(9)]
    assert tally.page == folder.folder / "index.html"


def test_the_page_asks_for_nothing_and_its_links_lead_to_files(folder):
    with folder.locked():
        write_pages(folder, review_ranks(folder.rows()))
    text = (folder.folder / "index.html").read_text()
    assert "it is &lt;empty&gt;" in text
    page = Page(text)
    assert all(asked.startswith("data:") for asked in page.asked)
    assert "mask/photo%20%26%200.png" in page.links
    assert "<script" not in text


def test_more_photos_than_a_page_holds_have_several(tmp_path):
    folder = PredictionFolder(tmp_path)
    for number in range(2 * A_PAGE + 1):
        made = row(number, "ok", number / 1000, "tiny" if number < 310 else "")
        folder.add_row({**made, "path": f"{number:04d}"})
    (tmp_path / "index-9.html").write_text("of an earlier, longer run")
    with folder.locked():
        write_pages(folder, review_ranks(folder.rows()))
    assert sorted(path.name for path in tmp_path.glob("*.html")) == [
        "index-2.html", "index-3.html", "index.html",
    ]  # fmt: skip
    pages = [
        Page((tmp_path / name).read_text())
        for name in ("index.html", "index-2.html", "index-3.html")
    ]
    names = [name for page in pages for name in page.names]
    assert names == [f"{number + 1}. photo & {number}" for number in range(2 * A_PAGE + 1)]
    assert {"index-2.html", "index-3.html"} <= set(pages[0].links)
