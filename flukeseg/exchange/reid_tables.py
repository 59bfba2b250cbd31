"""Tables that re-identification and camera-trap tools read: MiewID, wildlife-tools, MegaDetector.

Each takes the photos one by one, so memory does not grow with their number.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.shapes import compress_runs
from flukeseg.images.encoding import encode_png
from flukeseg.images.photo_search import COPIES
from flukeseg.images.reading import read_photo
from flukeseg.masks.coco import run_lengths
from flukeseg.masks.geometry import rotated_box, tight_box

Add = Callable[[PredictedPhoto], None]
"""Takes a photo into a table."""

MIEWID_COLUMNS = (
    "theta", "viewpoint", "name", "file_name", "species", "file_path", "x", "y", "w", "h",
)  # fmt: skip
WILDLIFE_COLUMNS = ("identity", "path", "bbox", "segmentation")

NOT_TURNED = 0.1
"""Radians: below it MiewID's loader crops the box as if theta were 0."""


@contextmanager
def csv_table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a function that writes a row; the file is in its place once all are written."""
    with (
        atomic_write(path) as partial,
        # as predictions.csv: a name that is no UTF-8 keeps its bytes as \\udc..
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.DictWriter(file, columns)
        table.writeheader()
        yield table.writerow


@contextmanager
def miewid_table(
    output: Path, individuals: Individuals, species: str, most: int | None
) -> Iterator[Add]:
    """Write `miewid.csv`, a row a fluke, for the loader of wbia-plugin-miew-id.

    Who is not named gets a name of its own, so that nobody is matched with it. The loader ignores
    EXIF: a photo that EXIF turns is written upright to `miewid_photos/`.

    Args:
        output: folder of the table.
        individuals: who is on the photos; the name is the largest fluke's.
        species: such as `Megaptera novaeangliae`.
        most: flukes of a photo; None is all.
    """
    key = species.lower().replace(" ", "_")
    with csv_table(output / "miewid.csv", MIEWID_COLUMNS) as write:

        def add(photo: PredictedPhoto) -> None:
            path = photo.path
            flukes = photo.flukes[:most]
            if flukes and photo.orientation != 1:
                upright = read_photo(photo.require_photo(), photo.size[0] * photo.size[1])
                path = (output / "miewid_photos" / f"{photo.name}.png").absolute()
                with atomic_write(path) as partial:
                    partial.write_bytes(encode_png(upright))
                (output / "miewid_photos" / COPIES).touch()
            for number, fluke in enumerate(flukes, start=1):
                own = individuals.name(photo) if number == 1 else None
                theta, x, y, w, h = turned_box(fluke)
                write({
                    "theta": theta, "viewpoint": "unknown",
                    "name": own or f"unknown {photo.name} {number}",
                    "file_name": path, "species": key, "file_path": path,
                    "x": x, "y": y, "w": w, "h": h,
                })  # fmt: skip

        yield add


def turned_box(fluke: np.ndarray) -> tuple[float, int, int, int, int]:
    """Return theta and x, y, w, h of a box that, turned about its centre, holds a fluke.

    theta is in radians, positive clockwise on screen. A fluke that is hardly tilted gets its
    upright box and 0, since the loader would leave out the turn.

    Args:
        fluke: H×W uint8, 0 or 1, not empty.
    """
    box = rotated_box(fluke)
    theta = math.radians(box.angle)
    if abs(theta) < NOT_TURNED:
        return 0.0, *tight_box(fluke)
    # the loader takes whole pixels of the centre, so one is added on each side
    width, height = math.ceil(box.width) + 2, math.ceil(box.height) + 2
    return round(theta, 6), round(box.x - width / 2), round(box.y - height / 2), width, height


@contextmanager
def wildlife_table(output: Path, individuals: Individuals, most: int | None) -> Iterator[Add]:
    """Write `wildlife.csv`, a row a fluke, for wildlife-datasets and wildlife-tools.

    `bbox` and `segmentation` are JSON; `segmentation` is COCO's compressed run lengths, which all
    versions of both read. Who is not named is `unknown`, as there.

    Args:
        output: folder of the table.
        individuals: as for `miewid_table`.
        most: as for `miewid_table`.
    """
    with csv_table(output / "wildlife.csv", WILDLIFE_COLUMNS) as write:

        def add(photo: PredictedPhoto) -> None:
            for number, fluke in enumerate(photo.flukes[:most]):
                runs = {"size": list(fluke.shape), "counts": compress_runs(run_lengths(fluke))}
                own = individuals.name(photo) if number == 0 else None
                write({
                    "identity": own or "unknown", "path": photo.path,
                    "bbox": json.dumps(tight_box(fluke)), "segmentation": json.dumps(runs),
                })  # fmt: skip

        yield add


@contextmanager
def megadetector_table(output: Path) -> Iterator[Add]:
    """Write `megadetector.json`, all flukes of a photo with their boxes.

    Format 1.4 of MegaDetector's batch results: boxes are x, y, width, height as shares of the
    photo's width and height; `conf` is the mask's confidence, the same for all of a photo's flukes.

    Args:
        output: folder of the file.
    """
    with (
        atomic_write(output / "megadetector.json") as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        file.write('{"info":{"format_version":"1.4","detector":"flukeseg"},')
        file.write('"detection_categories":{"1":"fluke"},"images":[')
        first = True

        def add(photo: PredictedPhoto) -> None:
            nonlocal first
            height, width = photo.size
            boxes = [tight_box(fluke) for fluke in photo.flukes]
            found = [
                {
                    "category": "1",
                    "conf": float(photo.confidence),
                    "bbox": [x / width, y / height, w / width, h / height],
                }
                for x, y, w, h in boxes
            ]
            entry = {"file": photo.relative, "detections": found}
            # names that are no UTF-8 come out as \\udc.., which JSON can hold
            file.write(("\n" if first else ",\n") + json.dumps(entry, separators=(",", ":")))
            first = False

        yield add
        file.write("\n]}\n")
