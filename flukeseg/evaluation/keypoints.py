"""Tips, notch and trailing edges that are found, against those of rendered and labelled flukes.

`python -m flukeseg.evaluation.keypoints --count 500` renders flukes in all poses and measures on
their true masks; with `--checkpoint rendered` on masks that a network makes of the pictures.
`--folder FOLDER` measures on a labelled folder with a `keypoints.csv`: stem, left_tip_x,
left_tip_y, notch_x, notch_y, right_tip_x, right_tip_y. `--individuals 10` measures the alignment.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree
from tqdm import tqdm

from flukeseg.evaluation.alignment_spread import print_spread
from flukeseg.images.reading import find_photos, read_mask, read_photo
from flukeseg.masks.anatomy import Anatomy, find_anatomy
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.rendering import Rendering, render
from flukeseg.rendering.pose import Pose

NARROWEST = 150  # pixels: rendered flukes that are narrower are left out
NEAR = 0.5  # % of the span: edges this near are the same
POINTS = ("left tip", "notch", "right tip")

Predictor = Callable[[np.ndarray, np.ndarray], Anatomy]
"""Anatomy of a photo H×W×3 uint8 and its true mask H×W, 0 or 1."""


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
    if np.isfinite(truth[0, 0]) != np.isfinite(truth[2, 0]):
        # of a single tip it is not known on which side the other would be
        off = np.nan_to_num(np.hypot(*(given - np.nanmax(truth[[0, 2]], 0)).T), nan=np.inf)
        if (off[0] <= off[2]) != np.isfinite(truth[0, 0]):
            truth = truth[::-1]
    visible, found = np.isfinite(truth[:, 0]), np.isfinite(given[:, 0])
    span = float(np.hypot(*(truth[2] - truth[0])))
    if not np.isfinite(span):
        span = float(np.ptp(anatomy.outline, 0).max()) if len(anatomy.outline) else np.nan
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


def rendered(count: int, seed: int, size: tuple[int, int], predict: Predictor) -> list[Figures]:
    """Measure on so many rendered flukes of at least `NARROWEST` pixels, the largest of each."""
    figures, number = [], 0
    with tqdm(total=count, unit="fluke", leave=False) as bar:
        while len(figures) < count:
            picture = render((seed, 0xA7A7, number), size)
            number += 1
            fluke = largest(picture.mask)
            if cv2.boundingRect(fluke)[2] < NARROWEST:
                continue
            index = _fluke_of(picture, fluke)
            truth = picture.keypoints[index]
            if np.isfinite(truth[[0, 2], 0]).all() and truth[0, 0] > truth[2, 0]:
                truth = truth[::-1]
            anatomy = predict(picture.image, fluke)
            name = pose_of(picture.poses[index])
            figures.append(compare(name, anatomy, truth, _edge_of(picture, fluke)))
            bar.update()
    return figures


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest component of a mask H×W uint8 0 or 1."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stats[0, cv2.CC_STAT_AREA] = 0
    label = int(stats[:, cv2.CC_STAT_AREA].argmax())
    return (labels == label).astype(np.uint8) if label else np.zeros_like(mask)


def _near(fluke: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of N×2 points lie on a fluke's mask or within two pixels of it; NaN does not."""
    near = cv2.dilate(fluke, np.ones((5, 5), np.uint8)) > 0
    finite = np.isfinite(points[:, 0])
    x, y = np.floor(points[finite]).astype(int).T
    finite[finite] = near[y, x]
    return finite


def _fluke_of(picture: Rendering, fluke: np.ndarray) -> int:
    """Which of the rendered flukes a component is: the one with most points on it."""
    return int(np.argmax([_near(fluke, points).sum() for points in picture.keypoints]))


def _edge_of(picture: Rendering, fluke: np.ndarray) -> np.ndarray:
    """The trailing edge on one component; NaN elsewhere."""
    edge = picture.trailing_edge
    return np.where(_near(fluke, edge)[:, None], edge, np.float32(np.nan))


def labelled(folder: Path, predict: Predictor) -> dict[str, np.ndarray]:
    """Measure on a labelled folder: errors of left tip, notch and right tip in % of the span.

    By the photos' names; NaN where a point was not found.
    """
    errors = {}
    with (folder / "keypoints.csv").open(newline="", encoding="utf-8") as file:
        marks = {
            row.pop("stem"): np.array(list(row.values()), float) for row in csv.DictReader(file)
        }
    for path in find_photos(folder / "images"):
        if path.stem not in marks:
            continue
        truth = marks[path.stem].reshape(3, 2)
        mask = read_mask(folder / "masks" / f"{path.stem}.png")
        anatomy = predict(read_photo(path), largest(mask))
        given = np.array([point.xy for point in anatomy.keypoints.values()])
        span = np.hypot(*(truth[2] - truth[0]))
        errors[path.stem] = np.hypot(*(given - truth).T) / span * 100
    return errors


def on_true_mask(photo: np.ndarray, mask: np.ndarray) -> Anatomy:
    """Find the anatomy on the true mask."""
    return find_anatomy(mask)


def by_network(checkpoint: str) -> Predictor:
    """Return what finds the anatomy on a network's mask of the photo, of the same fluke."""
    segmenter = Segmenter.from_checkpoint(checkpoint)

    def predict(photo: np.ndarray, mask: np.ndarray) -> Anatomy:
        prediction = segmenter(photo)
        flukes = [prediction.fluke(index) for index in range(len(prediction.areas))]
        overlap = [np.count_nonzero(fluke & mask) for fluke in flukes]
        chosen = flukes[int(np.argmax(overlap))] if any(overlap) else np.zeros_like(mask)
        return find_anatomy(chosen, prediction.probability, segmenter.settings.threshold)

    return predict


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


def main() -> None:
    """Measure what the options ask for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="flukes to render")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 512), help="height width")
    parser.add_argument("--folder", type=Path, help="labelled folder with a keypoints.csv")
    parser.add_argument("--checkpoint", help="measure on this network's masks")
    parser.add_argument("--individuals", type=int, default=0, help="measure the alignment on these")
    options = parser.parse_args()
    if options.individuals:
        print_spread(options.individuals, options.seed)
        return
    predict = by_network(options.checkpoint) if options.checkpoint else on_true_mask
    if options.folder is None:
        print_figures(rendered(options.count, options.seed, tuple(options.size), predict))
        return
    errors = labelled(options.folder, predict)
    print(f"{'% of the span':20}" + "".join(f"{name:>10}" for name in POINTS))
    for stem, row in [*errors.items(), ("mean", np.nanmean(list(errors.values()), 0))]:
        print(f"{stem:20}" + "".join(f"{value:10.2f}" for value in row))


if __name__ == "__main__":
    main()
