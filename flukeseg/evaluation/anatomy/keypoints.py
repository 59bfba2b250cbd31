"""Tips, notch and trailing edges that are found, against those of rendered and labelled flukes.

`python -m flukeseg.evaluation.anatomy.keypoints --count 500` renders flukes in all poses and
measures on their true masks; with `--checkpoint rendered`, on masks that a network predicts.
`--folder FOLDER` measures on a labelled folder with a `keypoints.csv`: stem, left_tip_x,
left_tip_y, notch_x, notch_y, right_tip_x, right_tip_y. `--individuals 10` measures the alignment.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from flukeseg.anatomy.anatomy import Anatomy, find_anatomy
from flukeseg.evaluation.anatomy.alignment_spread import print_spread
from flukeseg.evaluation.anatomy.keypoint_figures import Figures, compare, pose_of, print_figures
from flukeseg.images.reading import find_photos, read_mask, read_photo
from flukeseg.masks.cleaning import largest_component
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.rendering import Rendering, render
from flukeseg.rendering.visible_edge import belongs_to

NARROWEST = 150  # pixels: rendered flukes that are narrower are left out
POINTS = ("left tip", "notch", "right tip")

Predictor = Callable[[np.ndarray, np.ndarray], Anatomy]
"""Anatomy of a photo H×W×3 uint8 and its true mask H×W, 0 or 1."""


def rendered(count: int, seed: int, size: tuple[int, int], predict: Predictor) -> list[Figures]:
    """Measure on so many rendered flukes of at least `NARROWEST` pixels, the largest of each."""
    figures, number = [], 0
    with tqdm(total=count, unit="fluke", leave=False) as bar:
        while len(figures) < count:
            picture = render((seed, 0xA7A7, number), size)
            number += 1
            fluke = largest_component(picture.mask)
            if cv2.boundingRect(fluke)[2] < NARROWEST:
                continue
            pose, truth, edge = _truth(picture, fluke)
            figures.append(compare(pose, predict(picture.image, fluke), truth, edge))
            bar.update()
    return figures


def _truth(picture: Rendering, fluke: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Pose, points and trailing edge of one component: of the animal most of whose points it has.

    Left and right as seen in the picture; NaN for points and edge that other components have.
    """
    on_it = [belongs_to(points, fluke, picture.mask) for points in picture.keypoints]
    index = int(np.argmax([known.sum() for known in on_it]))
    points = np.where(on_it[index][:, None], picture.keypoints[index], np.nan)
    if points[0, 0] > points[2, 0]:
        points = points[::-1]
    edge = picture.trailing_edge
    on_it = belongs_to(edge, fluke, picture.mask)
    return pose_of(picture.poses[index]), points, np.where(on_it[:, None], edge, np.nan)


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
        anatomy = predict(read_photo(path), largest_component(mask))
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
        found = range(len(prediction.areas))
        overlap = [np.count_nonzero(prediction.fluke(index) & mask) for index in found]
        if not any(overlap):
            return find_anatomy(np.zeros_like(mask))
        return prediction.anatomies[int(np.argmax(overlap))]

    return predict


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
