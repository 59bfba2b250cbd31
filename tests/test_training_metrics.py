"""Metrics that choose a checkpoint: photos with and without a fluke apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flukeseg.masks.cleaning import Cleaning
from flukeseg.model.training_metrics import FlukeScores, photo_boundary_iou, photo_dice

HEIGHT, WIDTH = 40, 80


def boxes(*sizes: int) -> torch.Tensor:
    """Masks N×1×H×W, each with a square of a side; 0 is an empty mask."""
    masks = torch.zeros(len(sizes), 1, HEIGHT, WIDTH)
    for mask, size in zip(masks, sizes, strict=True):
        mask[:, 5 : 5 + size, 8 : 8 + size] = 1
    return masks


def scores(predicted: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    metric = FlukeScores()
    metric.update(predicted * 2 - 1, true)
    return {name: float(value) for name, value in metric.compute().items()}


def test_photos_without_a_fluke_do_not_enter_the_dice():
    predicted, true = boxes(20, 10, 0, 8), boxes(20, 20, 0, 0)
    found = scores(predicted, true)
    of_flukes = slice(0, 2)
    for name, metric in (("dice", photo_dice), ("boundary_iou", photo_boundary_iou)):
        each = metric(predicted[of_flukes] * 2 - 1, true[of_flukes])
        assert found[name] == pytest.approx(float(each.mean()))
    assert found["missed"] == 0
    assert found["false"] == 0.5
    assert found["score"] == pytest.approx(found["dice"] - 64 / 800)


def test_a_missed_fluke_costs_what_a_false_one_of_its_size_does():
    missed = scores(boxes(20, 0, 0), boxes(20, 20, 0))
    false = scores(boxes(20, 20, 20), boxes(20, 20, 0))
    assert missed["missed"] == 0.5
    assert missed["score"] == false["score"] == 0.5


def test_a_stray_pixel_hardly_counts():
    """It once took a photo's Dice from 1 to 0."""
    stray = boxes(0)
    stray[..., 30, 70] = 1
    assert Cleaning.min_coverage * HEIGHT * WIDTH > 1
    found = scores(torch.cat([boxes(20), stray]), boxes(20, 0))
    assert found["false"] == 0
    assert 0.99 < found["score"] < 1


def test_a_metric_without_its_photos_is_left_out():
    assert scores(boxes(20), boxes(20)).keys() == {"dice", "boundary_iou", "missed", "score"}
    assert scores(boxes(20), boxes(0)) == {"false": 1}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8))
def test_batches_add_up(sizes):
    metric = FlukeScores()
    for predicted, true in sizes:
        metric.update(boxes(predicted) * 2 - 1, boxes(true))
    apart = {name: float(value) for name, value in metric.compute().items()}
    together = scores(*(boxes(*side) for side in zip(*sizes, strict=True)))
    assert apart == pytest.approx(together, abs=1e-6)
