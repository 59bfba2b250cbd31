"""Metrics of a predicted mask, at the photo's own size.

Masks are H×W, bool or 0 and 1, the predicted one first, the true one second. Every metric is of one
photo, and says what it does with empty masks; the caller averages over photos.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.masks.surfaces import eroded, outline_distances, resampled, surface_distances

WIDTH = 1152  # pixels: a photo this wide is what tolerances are meant for
NEAR = 0.5  # % of the fluke's width: a trailing edge this near counts as found

COUNTS = ("tp", "fp", "fn")
"""Pixels of fluke that were found, of found fluke that is none, and of fluke that was missed."""


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Twice the overlap over both areas, 0..1 (Dice 1945). Both empty is 1, one empty 0."""
    return _Pair(predicted, truth).dice()


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Overlap over union, 0..1 (Jaccard 1912). Both empty is 1, one empty 0."""
    return _Pair(predicted, truth).iou()


def pixel_counts(predicted: np.ndarray, truth: np.ndarray) -> dict[str, int]:
    """Count true positive (`tp`), false positive (`fp`) and false negative (`fn`) pixels."""
    return _Pair(predicted, truth).counts()


def missed(predicted: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether the photo has a fluke and the prediction none. Its mean is a rate."""
    return _Pair(predicted, truth).missed()


def false_fluke(predicted: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether the prediction has a fluke and the photo none. Its mean is a rate."""
    return _Pair(predicted, truth).false_fluke()


def boundary_iou(predicted: np.ndarray, truth: np.ndarray, share: float = 0.02) -> float:
    """IoU of the bands inside both masks' edges, 0..1 (Cheng et al. 2021, "Boundary IoU").

    A band is the pixels that d erosions by 3×3 remove, d = `share` of the photo's diagonal,
    rounded, and at least 1 pixel; the frame counts as edge, as in the authors' code. Both empty is
    1, one empty 0.
    """
    return _Pair(predicted, truth).boundary_iou(share)


def surface_dice(predicted: np.ndarray, truth: np.ndarray, tolerance: float) -> float:
    """Share of both surfaces that lies within a tolerance of the other one, 0..1.

    "Normalised surface Dice" (Nikolov et al. 2018). `tolerance` is in pixels of a photo 1152 wide,
    and scaled to this one's width: below 1 pixel, only pixels that coincide count. Surface pixels
    have one of their four neighbours outside the mask or the frame; each counts one, and distances
    are between centres, as in MONAI; DeepMind's code and MeshMetrics weight by length along the
    edge. Both empty is 1, one empty 0 (MONAI: NaN, 0).
    """
    return _Pair(predicted, truth).surface_dice(tolerance)


def hd95(predicted: np.ndarray, truth: np.ndarray) -> float:
    """95th percentile of the Hausdorff distance, in % of the true fluke's width; 0 is perfect.

    The larger of the two directions' percentiles, of distances between surface pixels as in
    `surface_dice`. Equal to MONAI's times 100 over the width of the true bounding box; MedPy pools
    the directions, DeepMind weights by length. Both empty is 0; one empty is the photo's diagonal
    (MONAI: NaN or infinite); where the true mask is empty, the unit is % of the photo's width.
    """
    return _Pair(predicted, truth).hd95()


def assd(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Average symmetric surface distance, in % of the true fluke's width; 0 is perfect.

    Mean over the surface pixels of both masks together (Heimann et al. 2009), which is MONAI's with
    `symmetric=True`. Pixels, unit and empty masks as in `hd95`.
    """
    return _Pair(predicted, truth).assd()


def trailing_edge_distance(
    predicted: np.ndarray, polyline: np.ndarray, width: float | None = None
) -> tuple[float, float, float]:
    """Distance of a known trailing edge from the mask's outline.

    `polyline` is K×2, x and y in pixels from the top-left corner of the upright photo; a row of NaN
    interrupts it, and points outside the frame do not count. `width` is the fluke's in pixels, by
    default that of the polyline. Every part of the edge counts by its length, however its points
    are spaced. The outline runs between pixels, so that a perfect mask is a fifth of a pixel away;
    where the frame cuts the mask there is no outline.

    Returns mean and 95th percentile in % of the fluke's width, and the share (0..1) within 0.5 % of
    it. The distance of a mask without an outline (empty, or the entire frame) is the photo's
    diagonal. Without any edge inside the frame all three are NaN.
    """
    mask = _as_mask(predicted)
    points = resampled(polyline)
    points = points[((points >= 0) & (points <= mask.shape[::-1])).all(1)]
    if not len(points):
        return np.nan, np.nan, np.nan
    if width is None:
        width = max(float(np.nanmax(polyline[:, 0]) - np.nanmin(polyline[:, 0])), 1)
    distance = np.minimum(outline_distances(mask, points), np.hypot(*mask.shape)) * 100 / width
    near = np.mean(distance <= NEAR)
    return float(distance.mean()), float(np.percentile(distance, 95)), float(near)


def photo_metrics(
    predicted: np.ndarray, truth: np.ndarray, trailing_edge: np.ndarray | None = None
) -> dict[str, float]:
    """Every metric of this module for one photo, with common steps done once.

    `trailing_edge` is a polyline as in `trailing_edge_distance`, in % of the true fluke's width.

    Raises:
        InputError: the masks differ in size.
    """
    pair = _Pair(predicted, truth)
    metrics = {
        "dice": pair.dice(),
        "iou": pair.iou(),
        "boundary_iou_2": pair.boundary_iou(0.02),
        "boundary_iou_05": pair.boundary_iou(0.005),
        "surface_dice_1": pair.surface_dice(1),
        "surface_dice_3": pair.surface_dice(3),
        "hd95": pair.hd95(),
        "assd": pair.assd(),
        "missed": float(pair.missed()),
        "false": float(pair.false_fluke()),
    }
    if trailing_edge is not None:
        metrics["trailing_mean"], metrics["trailing_p95"], metrics["trailing_within_05"] = (
            trailing_edge_distance(predicted, trailing_edge, pair.unit)
        )
    return metrics


def _as_mask(mask: np.ndarray) -> np.ndarray:
    return np.not_equal(mask, 0, order="C").view(np.uint8)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


class _Pair:
    """Two masks, cropped to the pixels of either, as no metric depends on the rest."""

    def __init__(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        predicted, truth = _as_mask(predicted), _as_mask(truth)
        if predicted.shape != truth.shape or truth.ndim != 2:
            sizes = [" × ".join(map(str, mask.shape[::-1])) for mask in (predicted, truth)]
            raise InputError(
                f"a predicted mask is {sizes[0]} and the true one {sizes[1]} pixels: "
                "both must have one channel and the photo's size"
            )
        height, self.width = truth.shape
        self.diagonal = float(np.hypot(height, self.width))
        # without a true fluke there is no width to measure by
        self.unit = cv2.boundingRect(truth)[2] or self.width
        left, top, wide, tall = cv2.boundingRect(predicted | truth)
        # one pixel at least: OpenCV takes no empty arrays
        box = np.s_[top : top + max(tall, 1), left : left + max(wide, 1)]
        self.predicted, self.truth = predicted[box], truth[box]
        self.areas = cv2.countNonZero(self.predicted), cv2.countNonZero(self.truth)

    @cached_property
    def overlap(self) -> int:
        return cv2.countNonZero(self.predicted & self.truth)

    @cached_property
    def distances(self) -> tuple[np.ndarray, ...]:
        """To the true surface and from it; the photo's diagonal where one of them is empty."""
        both = surface_distances(self.predicted, self.truth)
        return tuple(np.minimum(distance, self.diagonal) for distance in both)

    def counts(self) -> dict[str, int]:
        predicted, true = self.areas
        pixels = (self.overlap, predicted - self.overlap, true - self.overlap)
        return dict(zip(COUNTS, pixels, strict=True))

    def dice(self) -> float:
        return _ratio(2 * self.overlap, sum(self.areas))

    def iou(self) -> float:
        return _ratio(self.overlap, sum(self.areas) - self.overlap)

    def missed(self) -> bool:
        return self.areas[1] > 0 and not self.areas[0]

    def false_fluke(self) -> bool:
        return self.areas[0] > 0 and not self.areas[1]

    def boundary_iou(self, share: float) -> float:
        thick = max(1, round(share * self.diagonal))
        square = np.ones((2 * thick + 1, 2 * thick + 1), np.uint8)  # thick times 3×3
        one, other = (mask - eroded(mask, square) for mask in (self.predicted, self.truth))
        return _ratio(cv2.countNonZero(one & other), cv2.countNonZero(one | other))

    def surface_dice(self, tolerance: float) -> float:
        if not all(self.areas):  # whatever the tolerance
            return float(not any(self.areas))
        within = tolerance * self.width / WIDTH
        return float((np.concatenate(self.distances) <= within).mean())

    def hd95(self) -> float:
        far = [np.percentile(distance, 95) for distance in self.distances if len(distance)]
        return float(max(far, default=0)) * 100 / self.unit

    def assd(self) -> float:
        pooled = np.concatenate(self.distances)
        return float(pooled.mean() if len(pooled) else 0) * 100 / self.unit
