"""What it costs the edge to decode large JPEGs at a reduced scale, and what it saves.

`python -m pytest -m slow -s tests/test_reduced_decoding.py` prints the figures, of the network that
comes with flukeseg, or of FLUKESEG_CHECKPOINT=FILE.
"""

import os
import time

import cv2
import numpy as np
import pytest
import torch

from flukeseg.images.reading import read_for_network, read_photo
from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.masks.metrics import photo_metrics
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_predictor
from flukeseg.rendering import render

METRICS = ("dice", "boundary_iou_05", "assd", "trailing_mean")


@pytest.mark.slow
def test_the_edge_is_where_it_was(tmp_path):
    checkpoint = find_checkpoint(os.environ.get("FLUKESEG_CHECKPOINT", "rendered"))
    predictor = load_predictor([checkpoint])
    ways = {
        "whole": read_photo,
        "reduced": lambda path: read_for_network(path, predictor.size)[0],
    }
    rows = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for seed in range(16):
        picture = render((89, seed), (2000, 3000))
        if not len(picture.trailing_edge):
            continue
        path = tmp_path / f"{seed}.jpg"
        cv2.imwrite(str(path), picture.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        for name, read in ways.items():
            started = time.perf_counter()
            small = resize_photo(read(path), predictor.size)
            seconds[name] += time.perf_counter() - started
            with torch.inference_mode():
                probability = predictor(to_tensor(small[None])).probability
            mask = resize_map(probability[0, 0].numpy(), picture.mask.shape) > 0.5
            figures = photo_metrics(mask, picture.mask, picture.trailing_edge)
            rows[name].append([figures[figure] for figure in METRICS])
    means = {name: np.nanmean(own, axis=0) for name, own in rows.items()}
    for name, own in means.items():
        told = ", ".join(f"{key} {value:.4f}" for key, value in zip(METRICS, own, strict=True))
        print(f"\n{name}: {told}; {1e3 * seconds[name] / len(rows[name]):.0f} ms a photo")
    assert abs(means["whole"] - means["reduced"])[1] < 0.005
