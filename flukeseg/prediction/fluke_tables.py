"""What is written of each fluke of a prediction run: COCO files and `flukes.csv`."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from flukeseg.csv_cells import escape_row
from flukeseg.images.reading import read_mask
from flukeseg.masks.cleaning import COMPONENTS, clean
from flukeseg.masks.coco import coco_annotations, coco_file
from flukeseg.masks.geometry import Box, RotatedBox, rotated_box, tight_box
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import common_folder

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
Add = Callable[[dict[str, Any]], None]
Describe = Callable[[int, Row, np.ndarray, Sequence[int]], Iterator[dict[str, Any]]]

THREADS = 2
"""Threads that read, clean and describe masks; most of it releases Python's lock."""

FLUKE_COLUMNS = (
    "path", "fluke",
    "box_x", "box_y", "box_width", "box_height",
    "rotated_x", "rotated_y", "rotated_width", "rotated_height", "rotated_angle",
    "area", "fluke_probability", "confidence", "review", "mask",
    "crop", "crop_x", "crop_y", "crop_width", "crop_height",
)  # fmt: skip
"""Of `flukes.csv`: pixels of the upright photo and degrees; `fluke` is 1 for the largest,
`confidence` and `review` are the photo's, `crop` is empty where there is no such product."""


def write_fluke_tables(
    folder: PredictionFolder,
    places: Mapping[str, str],
    rows: Iterable[Row],
    max_pixels: int,
    margin: float,
) -> None:
    """Write COCO files and `flukes.csv` of all photos; each mask is read once for all of them.

    In COCO files, `file_name` is relative to the folder that the photos share. Photos whose masks
    were deleted or are damaged are left out, with a warning.

    Args:
        folder: of the prediction.
        places: where in it `coco`, `coco_polygons` and `flukes` are; those that are named are made.
        rows: lines of the journal; gone through several times.
        max_pixels: of masks.
        margin: of the product `crop`, a share of the box's sides.
    """
    kept = folder.kept
    lost = {row["key"] for row in rows if "width" in row and not kept.has_mask(row)}
    if lost:
        log.warning(
            "%s: %d photos without a mask are left out (first: %s); predict on them again",
            ", ".join(places.values()),
            len(lost),
            min(lost),
        )

    def masked() -> Iterator[Row]:
        return (row for row in rows if "width" in row and row["key"] not in lost)

    parents = {os.path.dirname(row["key"]) for row in masked()}  # noqa: PTH120
    root = common_folder(parents) if parents else ""
    describe: dict[str, Describe] = {
        "coco": partial(_annotations, polygons=False),
        "coco_polygons": partial(_annotations, polygons=True),
        "flukes": partial(_fluke_rows, margin=margin),
    }

    def describe_all(number: int, row: Row) -> list[list[dict[str, Any]]]:
        mask = read_mask(folder.folder / row["mask"], max_pixels=max_pixels)
        labels, areas, _ = clean(mask, COMPONENTS)
        return [list(describe[product](number, row, labels, areas)) for product in places]

    with ExitStack() as stack:
        adds = []
        for product, place in places.items():
            path = stack.enter_context(folder.writing(folder.folder / place))
            is_table = product == "flukes"
            file = _table_file(path) if is_table else coco_file(path, _images(masked(), root))
            adds.append(stack.enter_context(file))
        threads = stack.enter_context(ThreadPoolExecutor(THREADS))
        numbered = enumerate(masked(), start=1)
        with_flukes = ((number, row) for number, row in numbered if row["flukes"])
        while some := list(islice(with_flukes, 8 * THREADS)):
            for found in threads.map(describe_all, *zip(*some, strict=True)):
                for add, entries in zip(adds, found, strict=True):
                    for entry in entries:
                        add(entry)


@contextmanager
def _table_file(path: Path) -> Iterator[Add]:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.DictWriter(file, FLUKE_COLUMNS, extrasaction="ignore")
        table.writeheader()
        yield lambda found: table.writerow(escape_row(found))


def _fluke_rows(
    _: int, row: Row, labels: np.ndarray, areas: Sequence[int], margin: float
) -> Iterator[dict[str, Any]]:
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
        yield found


def _fluke_probability(row: Row, index: int) -> dict[str, Any]:
    """Return the column of one fluke; empty in lines of older versions."""
    each = row.get("fluke_probabilities", [])
    return {"fluke_probability": each[index] if index < len(each) else ""}


def _images(rows: Iterable[Row], root: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, start=1):
        name = os.path.relpath(row["key"], root).replace(os.sep, "/")
        yield {"id": number, "file_name": name, "width": row["width"], "height": row["height"]}


def _annotations(
    number: int, row: Row, labels: np.ndarray, areas: Sequence[int], polygons: bool
) -> Iterator[dict[str, Any]]:
    for annotation in coco_annotations(labels, len(areas), polygons):
        yield {"image_id": number, **annotation, "score": row["confidence"]}
