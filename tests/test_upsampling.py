"""What it is worth to enlarge probabilities rather than masks, on flukes 3000 pixels wide.

`python -m pytest -m slow -s tests/test_upsampling.py` prints the figures; with
FLUKESEG_CHECKPOINT=FILE those of a network too, else only of probabilities that know the answer.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.masks.metrics import photo_metrics
from flukeseg.model.checkpoints import load_predictor
from flukeseg.rendering import render

SIZE, SEEN = (1500, 3000), (192, 384)
METRICS = ("dice", "boundary_iou_05", "surface_dice_1", "assd", "trailing_mean")


def known(picture) -> np.ndarray:
    """Share of each of the network's pixels that is fluke."""
    return resize_map(picture.mask.astype(np.float32), SEEN)


def looked_at(picture) -> np.ndarray:
    """Probability that a network gives."""
    predictor = load_predictor([Path(os.environ["FLUKESEG_CHECKPOINT"])])
    photo = to_tensor(resize_photo(picture.image, SEEN)[None])
    with torch.inference_mode():
        return predictor(photo).probability[0, 0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("probability", [known, looked_at])
def test_enlarged_probabilities_keep_the_edge(probability):
    if probability is looked_at and "FLUKESEG_CHECKPOINT" not in os.environ:
        pytest.skip("no FLUKESEG_CHECKPOINT")
    soft, hard = [], []
    for seed in range(12):
        picture = render((88, seed), SIZE)
        if picture.mask.mean() < 0.005 or not len(picture.trailing_edge):
            continue
        p = probability(picture)
        mask = (p > 0.5).astype(np.uint8)
        steps = cv2.resize(mask, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        smooth = (resize_map(p, SIZE) > 0.5).astype(np.uint8)
        for found, way in ((smooth, soft), (steps, hard)):
            figures = photo_metrics(found, picture.mask, picture.trailing_edge)
            way.append([figures[name] for name in METRICS])
    print(f"\n{probability.__name__}: {len(soft)} flukes of {SIZE}, seen at {SEEN}")
    for name, s, h in zip(METRICS, np.mean(soft, 0), np.mean(hard, 0), strict=True):
        print(f"  {name}: soft {s:.4f}, hard {h:.4f}")
    assert np.mean(soft, 0)[1] > np.mean(hard, 0)[1]
