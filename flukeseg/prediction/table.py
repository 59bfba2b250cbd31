"""What is made of all photos of a prediction run together: table, COCO file, contact sheets."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flukeseg.anatomy.anatomy_outputs import table_columns
from flukeseg.csv_cells import escape_row
from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_jpeg
from flukeseg.images.reading import read_mask
from flukeseg.masks.drawing import white
from flukeseg.masks.geometry import tight_box
from flukeseg.masks.review_order import GROUPS, review_group, review_ranks
from flukeseg.masks.sheets import Cell, draw_galleries
from flukeseg.prediction.fluke_tables import write_fluke_tables
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.journal import read_row_photo
from flukeseg.prediction.loader import PhotoFile
from flukeseg.prediction.page import write_pages
from flukeseg.prediction.prediction import Prediction

Row = Mapping[str, Any]

COLUMNS = (
    "path", "review_order", "status", "width", "height", "exif_orientation", "flukes",
    "box_x", "box_y", "box_width", "box_height",
    "rotated_x", "rotated_y", "rotated_width", "rotated_height", "rotated_angle",
    *(
        f"{point}_{value}"
        for point in ("left_tip", "notch", "right_tip")
        for value in ("x", "y", "quality", "reason")
    ),
    "span", "angle", "notch_depth", "left_lobe_height", "right_lobe_height", "view",
    "coverage", "fluke_probability", "confidence", "disagreement", "review",
    "mask", "checkpoint", "threshold", "seconds",
)  # fmt: skip
"""Of `predictions.csv`: pixels, degrees, shares of 0 to 1. Boxes, tips, notch and measures are
the largest fluke's;
`review_order` is 1 for the mask to look at first."""


SUMMARY_PLACES = {
    "coco": "coco.json",
    "coco_polygons": "coco_polygons.json",
    "flukes": "flukes.csv",
    "gallery": "gallery",
}
"""Products that are made of all photos together, and where each is."""

SHOWN = 10  # unreadable photos that are told at the end; the others are in the table


def describe(
    file: PhotoFile, prediction: Prediction | None, with_anatomy: bool = False
) -> dict[str, Any]:
    """Put a photo's prediction in a row; None is one that could not be read.

    `with_anatomy` adds tips, notch and measures of the largest fluke, where they are known.
    """
    row: dict[str, Any] = {"path": file.photo.path}
    if prediction is None:
        return row | {"status": f"unreadable: {file.problem}"}
    height, width = file.size
    row |= {
        "status": "ok" if prediction.areas else "no_fluke",
        "width": width,
        "height": height,
        "exif_orientation": file.orientation,
        "flukes": len(prediction.areas),
        "coverage": round(prediction.coverage, 6),
        "confidence": round(prediction.confidence, 6),
        "review": "; ".join(prediction.reasons),
    }
    if not math.isnan(prediction.fluke_probability):
        row["fluke_probability"] = round(prediction.fluke_probability, 6)
        row["fluke_probabilities"] = [round(p, 6) for p in prediction.fluke_probabilities]
    if not math.isnan(prediction.disagreement):
        row["disagreement"] = round(prediction.disagreement, 6)
    if prediction.areas:
        row |= {f"box_{k}": v for k, v in prediction.boxes[0]._asdict().items()}
        rotated = prediction.rotated_boxes[0]._asdict()
        row |= {f"rotated_{k}": round(v, 2) for k, v in rotated.items()}
        if with_anatomy:
            found = table_columns(prediction.anatomies[0])
            row |= {k: v for k, v in found.items() if v == v and v != ""}  # NaN is not known
    return row


class Tally(NamedTuple):
    """What a run came to: photos by status, how many to review, and some that were unreadable.

    `page`: where all of them can be looked at.
    """

    kinds: Counter[str]
    to_review: int
    unreadable: list[Row]
    page: Path


def gather(
    folder: PredictionFolder, products: Sequence[str], max_pixels: int, crop_margin: float = 0.05
) -> Tally:
    """Write `predictions.csv` and `index.html`, and where wanted what is in `SUMMARY_PLACES`.

    It can be done again at any time; nothing but the journal, the masks and the photos is read.
    What an earlier call wrote of these is brought up to date.

    Args:
        folder: the output.
        products: those of `SUMMARY_PLACES` are made here.
        max_pixels: of the photos on the contact sheets.
        crop_margin: of the product `crop`, for `flukes`.

    Memory does not grow with the rows, but for where each stands.
    """
    rows = folder.rows()
    products = {*products, *_outdated(folder, rows.journals)}
    ranks = review_ranks(rows)
    kinds, to_review, unreadable = Counter(), 0, []
    with (
        folder.writing(folder.folder / "predictions.csv") as partial,
        # a name that is no UTF-8 is written with its bytes as \\udc.., so that tables can be read
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        for row, rank in zip(rows, ranks, strict=True):
            table.writerow(escape_row({**row, "review_order": rank}))
            kind = row["status"].split(":")[0]
            kinds[kind] += 1
            to_review += review_group(row) == 0
            if kind == "unreadable" and len(unreadable) < SHOWN:
                unreadable.append(row)
    of_flukes = {
        product: place
        for product, place in SUMMARY_PLACES.items()
        if product in products and product != "gallery"
    }
    if of_flukes:
        write_fluke_tables(folder, of_flukes, rows, max_pixels, crop_margin)
    if "gallery" in products:
        masked = (row for row in rows.in_order(ranks) if "width" in row)
        _write_gallery(folder, masked, max_pixels)
    return Tally(kinds, to_review, unreadable, write_pages(folder, ranks))


def _outdated(folder: PredictionFolder, journals: Sequence[Path]) -> list[str]:
    """Return which of `SUMMARY_PLACES` are there, and older than the journals."""
    newest = max((path.stat().st_mtime_ns for path in journals), default=0)
    there = {product: folder.folder / place for product, place in SUMMARY_PLACES.items()}
    return [
        product
        for product, path in there.items()
        if path.exists() and path.stat().st_mtime_ns < newest
    ]


def _write_gallery(folder: PredictionFolder, rows: Iterator[Row], max_pixels: int) -> None:
    place = folder.folder / "gallery"
    made = set()
    numbered = enumerate(rows, start=1)  # what could not be read comes last in the order of review
    for name, sheet in draw_galleries(numbered, lambda row: _cell(folder, *row, max_pixels)):
        folder.write(place / name, encode_jpeg(sheet))
        made.add(name)
    for path in place.glob("*.jpg"):
        is_sheet = re.fullmatch(r"\d{4,}\.jpg", path.name)  # a person's own file is none
        if is_sheet and path.name not in made:  # of an earlier, longer run
            path.unlink()


def _cell(folder: PredictionFolder, order: int, row: Row, max_pixels: int) -> Cell:
    name, group = f"{order}. {row['name']}", review_group(row)
    said = row["review"].replace("; ", ", ") if group == 0 else GROUPS[group]
    try:
        photo = read_row_photo(row, max_pixels)
        mask = read_mask(folder.folder / row["mask"], max_pixels=max_pixels)
    except InputError:  # moved since
        return Cell(f"{name}: gone", np.full((1, 2, 3), 200, np.uint8))
    box = tight_box(mask)
    caption = f"{name}\n{round(100 * row['confidence'])} %, {said}"
    return Cell(caption, photo if box is None else white(photo, mask, box))
