"""CurvRank's table of trailing edges, each in a file of arrays that runs no code when read."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.reid_tables import Add, csv_table
from flukeseg.masks.geometry import tight_box

log = logging.getLogger(__name__)

COLUMNS = ("Image", "Name", "Contour", "Train")

VALIDATION_SHARE = 0.2
"""Of the individuals, as CurvRank's own script draws them."""


class TrailingEdge(NamedTuple):
    """The trailing edge of a fluke, from the left tip over the notch to the right one.

    `points`: N×2 float, row and column in pixels of the upright photo. `occluded`: N bool.
    """

    points: np.ndarray
    occluded: np.ndarray


@contextmanager
def curvrank_table(
    output: Path,
    individuals: Individuals,
    trailing_edge: Callable[[PredictedPhoto], TrailingEdge | None],
) -> Iterator[Add]:
    """Write `curvrank.csv` and `curvrank_contours/NAME.npz`, for the largest fluke of each photo.

    A contour file holds `contour`, N×2 x, y, `radii` and `occluded`, which the training sets of
    wbia-tpl-curvrank-v2 read by these names, and for its matching `row_column`, N×2 whole numbers
    in the frame of `crop` (x, y, width, height). `Train` is 0 for all photos of a fifth of the
    individuals.

    Photos without a trailing edge, and those whose mask was changed since it was looked for, are
    left out and counted in the log.

    Args:
        output: folder of the table.
        individuals: who is on the photos; who is not named gets a name of its own.
        trailing_edge: of a photo's largest fluke; None where it is not known.
    """
    written = left_out = changed = 0
    with csv_table(output / "curvrank.csv", COLUMNS) as write:

        def add(photo: PredictedPhoto) -> None:
            nonlocal written, left_out, changed
            if not photo.is_followed:
                changed += 1
                return
            edge, flukes = trailing_edge(photo), photo.flukes
            if edge is None or not flukes:
                left_out += 1
                return
            path = (output / "curvrank_contours" / f"{photo.name}.npz").absolute()
            with atomic_write(path) as partial, partial.open("wb") as file:
                np.savez_compressed(file, **contour_arrays(edge, flukes[0]))
            name = individuals.name(photo) or f"unknown {photo.name}"
            write({
                "Image": photo.path, "Name": name, "Contour": path, "Train": int(is_trained(name)),
            })  # fmt: skip
            written += 1

        yield add
    log.info("curvrank: %d photos, %d left out, having no trailing edge", written, left_out)
    if changed:
        log.warning(
            "curvrank: %d photos left out, whose masks were changed since their edges were made; "
            "run flukeseg.predict again with products=[edge]",
            changed,
        )


def contour_arrays(edge: TrailingEdge, fluke: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a contour file holds.

    Args:
        edge: of the fluke.
        fluke: H×W uint8, 0 or 1.
    """
    crop = tight_box(fluke)
    inside = np.round(edge.points).astype(np.int64) - (crop.y, crop.x)
    return {
        "contour": edge.points[:, ::-1].astype(np.float64),
        # of the brush that its training draws the contour with, which it sets to 12 itself
        "radii": np.full(len(edge.points), 12.0),
        "occluded": edge.occluded.astype(bool),
        "row_column": inside.clip(0, (crop.height - 1, crop.width - 1)),
        "crop": np.array(crop),
    }


def is_trained(name: str) -> bool:
    """Tell whether an individual is trained on, by its name alone."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") >= VALIDATION_SHARE * 2**32


def read_trailing_edge(folder: Path, name: str) -> TrailingEdge | None:
    """Read the largest fluke's trailing edge of `edge/NAME.edge.csv`; None where it has none.

    Its columns are fluke, x, y and occluded, x and y in pixels of the upright photo.

    Raises:
        InputError: it is something else.
    """
    path = folder / "edge" / f"{name}.edge.csv"
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["fluke"] == "1"]
        points = [(float(row["y"]), float(row["x"])) for row in rows]
        occluded = [bool(int(row["occluded"])) for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is no trailing edge ({error}); make it again") from error
    return TrailingEdge(np.array(points), np.array(occluded)) if len(points) > 1 else None
