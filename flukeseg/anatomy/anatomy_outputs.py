"""What is written of a fluke's anatomy: lines on a picture, rows of points, columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from flukeseg.anatomy.alignment import SIZE, Alignment, align
from flukeseg.anatomy.anatomy import Anatomy
from flukeseg.anatomy.measures import measure

EDGE = (0, 255, 255)
"""RGB of a visible trailing edge."""
OCCLUDED = (255, 128, 0)
"""RGB of what hides it."""
POINTS = {"left_tip": (255, 0, 0), "notch": (255, 255, 0), "right_tip": (0, 255, 0)}
"""RGB of the tips, red as on a ship's left side and green as on its right, and of the notch."""
EDGE_COLUMNS = ("fluke", "x", "y", "occluded")
SHIFT = 4  # fractional bits of OpenCV's coordinates


def draw_anatomy(photo: np.ndarray, anatomy: Anatomy, width: int = 1) -> None:
    """Draw trailing edge, tips and notch on a photo H×W×3 uint8, in place.

    Args:
        photo: RGB.
        anatomy: of a fluke in it.
        width: of lines, in pixels.
    """
    points, occluded = anatomy.edge
    for hidden, colour in ((True, OCCLUDED), (False, EDGE)):
        for part in _runs(points, occluded == hidden):
            cv2.polylines(photo, [_fixed(part)], False, colour, width, cv2.LINE_AA, SHIFT)
    for name, point in anatomy.keypoints.items():
        if point.known:
            centre, radius = _fixed(point.xy), (3 * width + 1) << SHIFT
            for ring, colour in ((2 * width, (0, 0, 0)), (width, POINTS[name])):
                cv2.circle(photo, centre.tolist(), radius, colour, ring, cv2.LINE_AA, SHIFT)


def edge_rows(anatomies: Sequence[Anatomy]) -> Iterator[tuple[int, str, str, int]]:
    """Rows of `EDGE_COLUMNS` for the flukes of a photo, numbered from 1 as their labels are.

    x, y in pixels with two decimals; `occluded` is 0 or 1.
    """
    for number, anatomy in enumerate(anatomies, 1):
        points, occluded = anatomy.edge
        for (x, y), hidden in zip(points, occluded, strict=True):
            yield number, f"{x:.2f}", f"{y:.2f}", int(hidden)


def table_columns(anatomy: Anatomy) -> dict[str, float | str]:
    """Columns of a table for one fluke: points, qualities, reasons, measures and view.

    Lengths in pixels and angles in degrees with two decimals; NaN where something is not known.
    """
    columns: dict[str, float | str] = {}
    for name, point in anatomy.keypoints.items():
        columns[f"{name}_x"] = round(point.x, 2)
        columns[f"{name}_y"] = round(point.y, 2)
        columns[f"{name}_quality"] = round(point.quality, 3)
        columns[f"{name}_reason"] = point.reason
    for name, value in vars(measure(anatomy)).items():
        columns[name] = value if isinstance(value, str) else round(value, 2)
    return columns


def align_fluke(anatomy: Anatomy, size: tuple[int, int] = SIZE) -> Alignment | None:
    """Return the similarity that puts a fluke's tips on fixed points of (height, width).

    None where a tip is not known.
    """
    if not (anatomy.left_tip.known and anatomy.right_tip.known):
        return None
    return align(
        anatomy.left_tip.xy,
        anatomy.right_tip.xy,
        trailing_edge_up=bool(anatomy.trailing_edge_up),
        size=size,
    )


def _runs(points: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """The stretches of a polyline whose points are chosen, each with the point that follows."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
    return [points[first : last + 1] for first, last in change.reshape(-1, 2)]


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points for OpenCV: whole numbers of 1/16 pixel, pixel centres at whole pixels."""
    return np.round((points - 0.5) * 2**SHIFT).astype(np.int32)
