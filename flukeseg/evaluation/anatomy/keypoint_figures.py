"""How far tips, notch and trailing edge of a fluke are from the truth, and a table of many."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from flukeseg.anatomy.anatomy import Anatomy
from flukeseg.rendering.pose import Pose

NEAR = 0.5  # % of the span: edges this near are the same
SAME = 10  # % of the span: a tip this near to the only visible one is meant to be that


@dataclass(frozen=True)
class Figures:
    """What was found of one fluke; errors and lengths in % of its span.

    `errors`, `visible`, `found`: of left tip, notch and right tip; an error is NaN where a point is
    not visible or not found. `distance`, `missing`, `extra`: of the trailing edge; NaN where none
    is visible.
    """

    pose: str
    errors: np.ndarray
    visible: np.ndarray
    found: np.ndarray
    distance: float
    missing: float
    extra: float


def pose_of(pose: Pose) -> str:
    """Name how a rendered fluke is held."""
    if abs(pose.yaw) > 0.7:
        return "turned aside"
    if pose.pitch > np.pi / 2:
        return "from above"
    if abs(pose.pitch) > 1.1:
        return "edge on"
    if max(map(abs, (pose.droop[0] + pose.curl[0], pose.droop[1] + pose.curl[1]))) > 1:
        return "lobe folded"
    if pose.pitch > 0.5:
        return "tilted towards"
    return "tilted away" if pose.pitch < -0.5 else "upright"


def compare(pose: str, anatomy: Anatomy, truth: np.ndarray, edge: np.ndarray) -> Figures:
    """Compare a fluke's anatomy with the truth.

    Args:
        pose: its name.
        anatomy: as found.
        truth: 3×2 left tip, notch, right tip as seen in the photo; NaN where not visible.
        edge: K×2 trailing edge; a row of NaN lifts the pen.
    """
    given = np.array([point.xy for point in anatomy.keypoints.values()])
    span = float(np.hypot(*(truth[2] - truth[0])))
    if not np.isfinite(span):
        span = float(np.ptp(anatomy.outline, 0).max()) if len(anatomy.outline) else np.nan
    if np.isfinite(truth[0, 0]) != np.isfinite(truth[2, 0]):
        # of a single tip it is not known on which side the other would be
        off = np.hypot(*(given - np.nanmax(truth[[0, 2]], 0)).T) / span * 100
        if off[0 if np.isnan(truth[0, 0]) else 2] < SAME:
            truth = truth[::-1]
    visible, found = np.isfinite(truth[:, 0]), np.isfinite(given[:, 0])
    errors = np.hypot(*(given - truth).T) / span * 100
    true_edge, found_edge = _dense([edge]), _dense(anatomy.edge.parts())
    if not len(true_edge):
        return Figures(pose, errors, visible, found, np.nan, np.nan, np.nan)
    if not len(found_edge):
        return Figures(pose, errors, visible, found, np.nan, 100.0, 0.0)
    near = max(NEAR / 100 * span, 2.0)  # the truth itself is visible within two pixels
    to_found = cKDTree(found_edge).query(true_edge)[0]
    to_true = cKDTree(true_edge).query(found_edge)[0]
    hit = to_found <= near
    return Figures(
        pose,
        errors,
        visible,
        found,
        float(to_found[hit].mean() / span * 100) if hit.any() else np.nan,
        float(100 * np.mean(~hit)),
        float(100 * np.sum(to_true > near) / len(true_edge)),
    )


def _dense(lines: Iterable[np.ndarray], step: float = 0.5) -> np.ndarray:
    """Points every half pixel along polylines."""
    points = [np.zeros((0, 2))]
    for line in lines:
        for a, b in itertools.pairwise(line):
            length = np.hypot(*(b - a))
            if np.isfinite(length):
                count = max(1, round(length / step))
                points.append(a + (b - a) * (np.arange(count) / count)[:, None])
    return np.concatenate(points)


def print_figures(figures: list[Figures]) -> None:
    """Print a table with a row for each pose and one for all."""
    head = "pose", "flukes", "point", "mean %", "95th %", "found %", "of", "wrong %", "of"
    print(("{:15}{:>7}  {:9}" + "{:>9}" * 6).format(*head))
    poses = sorted({figure.pose for figure in figures})
    groups = {pose: [f for f in figures if f.pose == pose] for pose in poses}
    for pose, some in [*groups.items(), ("all", figures)]:
        errors, visible, found = (
            np.array([getattr(figure, name) for figure in some])
            for name in ("errors", "visible", "found")
        )
        for name, columns in {"tips": [0, 2], "notch": [1], "all three": [0, 1, 2]}.items():
            _print_points(pose, len(some), name, *(a[:, columns] for a in (errors, visible, found)))
    edges = np.array([(f.distance, f.missing, f.extra) for f in figures])
    edges = edges[np.isfinite(edges[:, 1])]
    distance, missing, extra = np.nanmean(edges, 0)
    print(
        f"trailing edge of {len(edges)}: mean distance {distance:.3f} %, "
        f"missing {missing:.1f} %, wrong {extra:.1f} % of its length"
    )


def _print_points(
    pose: str, count: int, name: str, errors: np.ndarray, visible: np.ndarray, found: np.ndarray
) -> None:
    both = visible & found
    error = errors[both]
    mean, high = (error.mean(), np.percentile(error, 95)) if len(error) else (np.nan, np.nan)
    seen, hidden = int(visible.sum()), int((~visible).sum())
    print(
        f"{pose:15}{count:7}  {name:9}{mean:9.2f}{high:9.2f}"
        f"{100 * both.sum() / max(seen, 1):9.1f}{seen:9}"
        f"{100 * (found & ~visible).sum() / max(hidden, 1):9.1f}{hidden:9}"
    )
