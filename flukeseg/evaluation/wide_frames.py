"""A second look at flukes that are small in the frame: what it gains, by the fluke's size.

`python -m flukeseg.evaluation.wide_frames --count 10 --output FOLDER` renders so many frames of
3000 × 1500 for each range of sizes, about six a minute, and judges both looks at them. With
`--count 0` it takes the frames of FOLDER, which may be any labelled folder.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from flukeseg.errors import InputError
from flukeseg.evaluation.judging import read_edge
from flukeseg.evaluation.labelled import write_rendering
from flukeseg.evaluation.pairing import TrueMask, find_true_masks
from flukeseg.images.reading import read_mask
from flukeseg.masks.metrics import photo_metrics
from flukeseg.masks.probability import PhotoProbability
from flukeseg.prediction.prediction import make_prediction
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.rendering import render

SIZES = ((0.05, 0.1), (0.1, 0.2), (0.2, 0.35), (0.35, 1.0))
"""Width of the flukes of a frame as a share of its own, from and to."""

SKETCH = (100, 200)  # pixels: enough to see how large a fluke will be


class Figures(NamedTuple):
    """A frame: width of its flukes as a share, and (edge, Dice) of the first look, of both looks by
    the rule, and of both with every second look believed. The error of the trailing edge is in % of
    the fluke's width, NaN where none is known. `made`: second looks, and how many are `believed`.
    """

    share: float
    first: tuple[float, float]
    both: tuple[float, float]
    trusting: tuple[float, float]
    made: int
    believed: int


def render_wide(folder: Path, count: int, size: tuple[int, int], seed: int) -> None:
    """Render frames of (height, width) until there are `count` of each of `SIZES`.

    Those that are there already are kept, so that it can be interrupted.
    """
    left = dict.fromkeys(SIZES, count)
    with tqdm(total=count * len(SIZES), unit="frame", desc="rendering", leave=False) as bar:
        for number in itertools.count():
            if not any(left.values()):
                return
            key = (seed, 0x51DE, number)
            sketch = render(key, SKETCH)
            share = cv2.boundingRect(sketch.mask)[2] / SKETCH[1]
            own = next((one for one in SIZES if one[0] <= share < one[1]), None)
            if own is None or not left[own] or not len(sketch.trailing_edge):
                continue
            left[own] -= 1
            name = f"wide_{number:05d}"
            if not (folder / "edges" / f"{name}.csv").exists():  # written last
                write_rendering(folder, name, render(key, size))
            bar.update()


def judge_looks(truth: TrueMask, segmenter: Segmenter) -> Figures:
    """Predict a photo in two looks, and judge each against the true mask.

    Raises:
        InputError: there is no photo, or a file cannot be read.
    """
    mask = read_mask(truth.mask, truth.threshold)
    edge = None if truth.edge is None else read_edge(truth.edge)
    if truth.photo is None:
        raise InputError(f"the mask {truth.mask} has no photo beside it in images/")
    looked = segmenter(truth.photo).coarse

    def judge(seen: PhotoProbability) -> tuple[float, float]:
        own = make_prediction(seen, mask.shape, segmenter.settings.masks).mask
        metrics = photo_metrics(own, mask, edge)
        return metrics.get("trailing_mean", np.nan), metrics["dice"]

    return Figures(
        cv2.boundingRect(mask)[2] / mask.shape[1],
        judge(looked._replace(second=())),
        judge(looked),
        judge(looked._replace(second=tuple(o._replace(believed=True) for o in looked.second))),
        len(looked.second),
        sum(one.believed for one in looked.second),
    )


def print_frames(figures: Mapping[str, Figures]) -> None:
    """Print a line for each frame."""
    print(f"{'frame':24} share  edge of first, both, trusting  Dice of the same       believed")
    for name, one in sorted(figures.items(), key=lambda item: item[1].share):
        edges, dices = zip(one.first, one.both, one.trusting, strict=True)
        cells = [*(f"{edge:8.3f}" for edge in edges), *(f"{dice:8.4f}" for dice in dices)]
        print(f"{name:24} {one.share:5.2f} {' '.join(cells)}   {one.believed} of {one.made}")


def print_sizes(figures: Mapping[str, Figures]) -> None:
    """Print a table by the size of the flukes."""
    for low, high in (*SIZES, (0.12, 0.35), (0.0, 1.01)):
        own = [one for one in figures.values() if low <= one.share < high]
        if not own:
            continue
        print(f"{low:.0%} to {min(high, 1):.0%} of the width: {len(own)} frames")
        looks = {"first look": [one.first for one in own], "both looks": [one.both for one in own]}
        for title, found in looks.items():
            edges, dices = np.array(found).T
            known = edges[np.isfinite(edges)]
            middle, mean = (np.median(known), np.mean(known)) if len(known) else (np.nan, np.nan)
            print(
                f"  {title}: edge median {middle:.3f} %, mean {mean:.3f} %; Dice mean "
                f"{dices.mean():.4f}, median {np.median(dices):.4f}, least {dices.min():.4f}"
            )
        kinds = Counter(kind for one in own for kind in _kinds(one))
        print("  frames:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


def _kinds(one: Figures) -> list[str]:
    """What became of a frame; whether rightly so is by Dice."""
    kinds = []
    if one.made == 0:
        kinds.append("with no second look")
    if one.believed:
        better = one.both[1] >= one.first[1]
        kinds.append(f"believed, {'better' if better else 'worse'} for it")
    if one.believed < one.made:
        rightly = one.trusting[1] <= one.both[1]
        kinds.append(f"refused, {'rightly' if rightly else 'wrongly'}")
    return kinds


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="frames of each range of sizes")
    parser.add_argument("--size", type=int, nargs=2, default=(1500, 3000), help="height width")
    parser.add_argument("--seed", type=int, default=66)
    parser.add_argument("--checkpoint", default="rendered")
    parser.add_argument("--tta", default="flip")
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether edges follow the photo's colours",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the frames")
    asked = parser.parse_args()
    if asked.count:
        render_wide(asked.output, asked.count, tuple(asked.size), asked.seed)
    segmenter = Segmenter.from_checkpoint(asked.checkpoint, tta=asked.tta, refine=asked.refine)
    truths = find_true_masks(asked.output)
    figures = {
        name: judge_looks(truth, segmenter)
        for name, truth in tqdm(truths.items(), unit="frame", desc="judging", leave=False)
    }
    print_frames(figures)
    print_sizes(figures)


if __name__ == "__main__":
    main()
