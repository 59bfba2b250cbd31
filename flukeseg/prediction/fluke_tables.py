"""What is written of each fluke of a prediction run: COCO files and `flukes.csv`."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from flukeseg.csv_cells import escape_row
from flukeseg.images.reading import read_mask
from flukeseg.masks.cleaning import COMPONENTS, clean
from flukeseg.masks.coco import coco_annotations, write_coco
from flukeseg.masks.geometry import Box, RotatedBox, rotated_box, tight_box
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import common_folder

Row = Mapping[str, Any]

FLUKE_COLUMNS = (
    "path", "fluke",
    "box_x", "box_y", "box_width", "box_height",
    "rotated_x", "rotated_y", "rotated_width", "rotated_height", "rotated_angle",
    "area", "fluke_probability", "confidence", "review", "mask",
    "crop", "crop_x", "crop_y", "crop_width", "crop_height",
)  # fmt: skip
"""Of `flukes.csv`: pixels of the upright photo and degrees; `fluke` is 1 for the largest,
`confidence` and `review` are the photo's, `crop` is empty where there is no such product."""


def write_coco_file(
    path: Path, folder: PredictionFolder, rows: Iterable[Row], max_pixels: int, polygons: bool
) -> None:
    """Write a COCO file of all photos; `file_name` is relative to the folder they share.

    Args:
        path: of the JSON file.
        folder: of the prediction.
        rows: lines of the journal; gone through several times.
        max_pixels: of masks.
        polygons: standard polygons as `segmentation`, see `coco_annotations`.
    """
    parents = {os.path.dirname(row["key"]) for row in _masked(rows)}  # noqa: PTH120
    root = common_folder(parents) if parents else ""
    write_coco(path, _images(rows, root), _annotations(folder, rows, max_pixels, polygons))


def write_flukes(
    path: Path, folder: PredictionFolder, rows: Iterable[Row], max_pixels: int, margin: float
) -> None:
    """Write `flukes.csv`, a row a fluke.

    Args:
        path: of the table.
        folder: of the prediction.
        rows: lines of the journal.
        max_pixels: of masks.
        margin: of the product `crop`, a share of the box's sides.
    """
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.DictWriter(file, FLUKE_COLUMNS, extrasaction="ignore")
        table.writeheader()
        for _, row, labels, areas in _flukes(folder, rows, max_pixels):
            for index, area in enumerate(areas):
                mask = (labels == index + 1).astype(np.uint8)
                box = cast(Box, tight_box(mask))  # a label has pixels
                suffix = f".fluke{index + 1}" if index else ""
                crop = f"crop/{row['name']}{suffix}.png"
                found: dict[str, Any] = {**row, "fluke": index + 1, "area": area}
                found |= _fluke_probability(row, index)
                found["crop"] = crop if crop in row["files"] else ""
                for name, part in (("box", box), ("crop", box.grow(margin, mask.shape))):
                    found |= {f"{name}_{k}": v for k, v in part._asdict().items()}
                rotated = cast(RotatedBox, rotated_box(mask))._asdict()
                found |= {f"rotated_{k}": round(v, 2) for k, v in rotated.items()}
                table.writerow(escape_row(found))


def _fluke_probability(row: Row, index: int) -> dict[str, Any]:
    """Return the column of one fluke; empty in lines of older versions."""
    each = row.get("fluke_probabilities", [])
    return {"fluke_probability": each[index] if index < len(each) else ""}


def _masked(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if "width" in row)


def _flukes(
    folder: PredictionFolder, rows: Iterable[Row], max_pixels: int
) -> Iterator[tuple[int, Row, np.ndarray, tuple[int, ...]]]:
    """Give number, line, labels and areas of each photo with a fluke."""
    for number, row in enumerate(_masked(rows), start=1):
        if row["flukes"]:
            mask = read_mask(folder.folder / row["mask"], max_pixels=max_pixels)
            labels, areas, _ = clean(mask, COMPONENTS)
            yield number, row, labels, areas


def _images(rows: Iterable[Row], root: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(_masked(rows), start=1):
        name = os.path.relpath(row["key"], root).replace(os.sep, "/")
        yield {"id": number, "file_name": name, "width": row["width"], "height": row["height"]}


def _annotations(
    folder: PredictionFolder, rows: Iterable[Row], max_pixels: int, polygons: bool
) -> Iterator[dict[str, Any]]:
    for number, row, labels, areas in _flukes(folder, rows, max_pixels):
        for annotation in coco_annotations(labels, len(areas), polygons):
            yield {"image_id": number, **annotation, "score": row["confidence"]}
