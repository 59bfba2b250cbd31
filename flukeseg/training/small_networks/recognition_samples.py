"""What the network sees of rendered flukes and of renderings of what is no fluke.

`python -m flukeseg.training.small_networks.recognition_samples FILE.npz --seed 772` draws a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import trange

from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.recognition import REACH, SIDE, Recognition, view_component
from flukeseg.masks.recognition_features import CROP, CROP_REACH, crop_photo, photo_features
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.rendering import render, render_not_fluke

STORED = 96  # pixels of a stored square
WIDER = 1.6  # of it over the longer side of a component's box: room for the changes below
FLUKE, OTHER = 0.5, 0.05  # share of a component that is true fluke: from, up to


class Samples(NamedTuple):
    """Components of rendered pictures.

    `views`: N×`STORED`×`STORED`×3 uint8, see `flukeseg.masks.recognition.view_component`.
    `features`: N×2×F float16, of the photo and its mirror image, see
    `flukeseg.masks.recognition_features.photo_features`. `flukes`: N, whether each is one.
    `numbers`: N, of its picture.
    """

    views: np.ndarray
    features: np.ndarray
    flukes: np.ndarray
    numbers: np.ndarray

    def choose(self, chosen: np.ndarray) -> Samples:
        """Return some of them, by N truth values."""
        return Samples(*(values[chosen] for values in self))

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Samples:
        """Read files of samples, one after the other."""
        files = []
        for path in paths:
            with np.load(path) as arrays:
                files.append([arrays[name] for name in cls._fields])
        return cls(*map(np.concatenate, zip(*files, strict=True)))


def draw_samples(
    segmenter: Segmenter, seed: tuple[int, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Render a picture, every other one without a fluke, and predict it.

    Gives view and features of each component and whether it is a fluke, see `Samples`; components
    that are fluke in part are left out.

    Args:
        segmenter: that removes nothing.
        seed: of the picture; its last number is even where there is a fluke.
    """
    rng = np.random.default_rng(seed)
    width = int(np.exp(rng.uniform(np.log(110), np.log(700))))
    size = (max(64, int(width / rng.uniform(1, 3))), width)
    picture = (render_not_fluke if seed[-1] % 2 else render)(seed, size)
    found = segmenter(picture.image)
    probability = found.probability
    for label in range(1, len(found.areas) + 1):
        share = float(picture.mask[found.labels == label].mean())
        if OTHER < share < FLUKE:
            continue
        box = found.boxes[label - 1]
        around = view_component(found.labels, label, probability, box, CROP, CROP_REACH)
        crop = crop_photo(found.coarse, box, found.size)
        both = [photo_features(crop, around), photo_features(crop[:, ::-1], around[:, ::-1])]
        view = view_component(found.labels, label, probability, box, STORED, WIDER)
        yield np.round(view * 255).astype(np.uint8), np.array(both, np.float16), share >= FLUKE


def collect_samples(segmenter: Segmenter, seed: int, pictures: int) -> Samples:
    """Return the components of so many pictures."""
    found = [
        (*sample, number)
        for number in trange(pictures, unit="rendering")
        for sample in draw_samples(segmenter, (seed, number))
    ]
    return Samples(*(np.array(values) for values in zip(*found, strict=True)))


def vary(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change a stored view at random and cut out what the network sees.

    Photos are squeezed, leaning and unlike renderings: what is predicted there is more ragged and
    less sure. Returns `SIDE`×`SIDE`×3 float32 in 0..1.
    """
    view = view.astype(np.float32) / 255
    if rng.uniform() < 0.4:
        _bite(view, rng)
    soft = view[..., 1].clip(1e-4, 1 - 1e-4)
    logit = np.log(soft / (1 - soft))
    if rng.uniform() < 0.5:
        noise = cv2.resize(rng.normal(0, 1, (12, 12)).astype(np.float32), (STORED, STORED))
        logit += rng.uniform(0, 1.5) * noise
    view[..., 1] = view[..., 2] / (1 + np.exp(-logit * np.exp(rng.normal(0, 0.4))))
    angle = rng.normal(0, 0.15) if rng.uniform() < 0.9 else rng.uniform(-0.7, 0.7)
    squeeze = np.diag([1.0, np.exp(rng.normal(0, 0.25))])
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    cos, sin = np.cos(angle), np.sin(angle)
    return cut_view(view, np.array([[cos, -sin], [sin, cos]]) @ squeeze @ flip, rng)


def cut_views(views: np.ndarray) -> np.ndarray:
    """Cut what the network sees out of stored views, unchanged: N×`SIDE`×`SIDE`×3 float32."""
    return np.stack([cut_view(view.astype(np.float32) / 255) for view in views])


def cut_view(
    view: np.ndarray, turn: np.ndarray | None = None, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Turn a stored view by a matrix 2×2 and cut out what the network sees, as `view_component`."""
    turn = np.eye(2) if turn is None else turn
    y, x = np.nonzero(view[..., 0] > 0.5)
    # of a component that is only a few pixels thin, all of the view
    centres = np.stack([x, y]) + 0.5 if len(x) else np.array([[0, STORED], [0, STORED]])
    points, half = turn @ centres, np.abs(turn).sum(1) / 2  # of a pixel's width and height
    low, high = points.min(1) - half, points.max(1) + half
    reach = REACH * (1 if rng is None else np.exp(rng.normal(0, 0.04)))
    scale = SIDE / (reach * max(float((high - low).max()), 4.0))
    middle = (low + high) / 2
    if rng is not None:
        middle = middle + rng.normal(0, 0.01, 2) * (high - low)
    # OpenCV counts from the centre of the first pixel
    shift = SIDE / 2 - 0.5 + scale * (turn @ [0.5, 0.5] - middle)
    matrix = np.column_stack([scale * turn, shift])
    seen = cv2.warpAffine(view, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return seen.clip(0, 1)


def _bite(view: np.ndarray, rng: np.random.Generator) -> None:
    """Take some round pieces of the edge of a component away, in place, as foam does."""
    edge = np.argwhere(cv2.morphologyEx(view[..., 0], cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0.5)
    if not len(edge):
        return
    y, x = np.mgrid[:STORED, :STORED]
    for _ in range(int(rng.integers(1, 5))):
        cy, cx = edge[rng.integers(len(edge))]
        radius = rng.uniform(1, 5)
        near = np.hypot((y - cy) / rng.uniform(0.6, 1.6), x - cx)
        keep = np.clip((near - radius) / 1.5, 0, 1).astype(np.float32)
        view[..., :2] *= keep[..., None]


def main() -> None:
    """Render, predict and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="npz file to write")
    parser.add_argument("--pictures", type=int, default=2200)
    parser.add_argument("--seed", type=int, default=772)
    parser.add_argument("--checkpoint", default="rendered", help="predicts the components")
    asked = parser.parse_args()
    masks = MaskSettings(recognition=Recognition(remove=0, doubt=0))
    segmenter = Segmenter.from_checkpoint(asked.checkpoint, tta="none", masks=masks)
    samples = collect_samples(segmenter, asked.seed, asked.pictures)
    np.savez_compressed(asked.path, **samples._asdict())


if __name__ == "__main__":
    main()
