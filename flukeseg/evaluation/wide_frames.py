"""Closer looks at flukes that are small in a wide frame: what they gain, by the fluke's size.

`python -m flukeseg.evaluation.wide_frames --count 10 --output FOLDER` renders so many frames of
3000 × 1500 for each range of sizes, which takes a minute for two of them, and predicts them with
`look=once` and `look=auto`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
from tqdm import tqdm

from flukeseg.evaluation.labelled import write_rendering
from flukeseg.rendering import render

SIZES = ((0.05, 0.1), (0.1, 0.2), (0.2, 0.35), (0.35, 1.0))
"""Width of a fluke as a share of the frame's, from and to."""

SMALL = (100, 200)  # pixels: enough to see how large a fluke will be


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
            sketch = render(key, SMALL)
            share = cv2.boundingRect(sketch.mask)[2] / SMALL[1]
            own = next((size for size in SIZES if size[0] <= share < size[1]), None)
            if own is None or not left[own] or not len(sketch.trailing_edge):
                continue
            left[own] -= 1
            name = f"wide_{number:05d}"
            if not (folder / "edges" / f"{name}.csv").exists():  # written last
                write_rendering(folder, name, render(key, size))
            bar.update()


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="frames of each range of sizes")
    parser.add_argument("--size", type=int, nargs=2, default=(1500, 3000), help="height width")
    parser.add_argument("--seed", type=int, default=66)
    parser.add_argument("--output", type=Path, required=True, help="folder of the frames")
    asked = parser.parse_args()
    render_wide(asked.output, asked.count, tuple(asked.size), asked.seed)


if __name__ == "__main__":
    main()
