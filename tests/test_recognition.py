"""Whether a component is a fluke: what is rendered that is none, the network, and what is done."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeseg.masks.cleaning import Cleaned, Cleaning, clean
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability
from flukeseg.masks.recognition import (
    DOUBT,
    REMOVE,
    SIDE,
    Recognition,
    _weights,
    fluke_probabilities,
    keep_flukes,
    recognise,
    view_component,
)
from flukeseg.prediction.prediction import Prediction, make_prediction
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.rendering import render, render_not_fluke
from flukeseg.rendering.dorsal_fins import draw_fin
from flukeseg.training.recognition_fit import RecognitionNetwork, calibrate

SIZE = (96, 192)


def fin(number: int) -> np.ndarray:
    """Mask of a falcate dorsal fin, cut off by the water."""
    points = draw_fin(np.random.default_rng(number), 60, 60, 25, 0.6) + np.array([96, 80])
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def largest(mask: np.ndarray) -> np.ndarray:
    return (clean(mask, Cleaning()).labels == 1).astype(np.uint8)


def likely(mask: np.ndarray) -> float:
    """How likely a mask is a fluke, if a network is sure of it."""
    return fluke_probabilities(mask, 1, mask.astype(np.float32))[0]


@pytest.fixture(scope="module")
def flukes() -> list[np.ndarray]:
    masks = [largest(render((5, number), SIZE).mask) for number in range(12)]
    return [mask for mask in masks if mask.mean() > 0.05]


def predict(mask: np.ndarray, recognition: Recognition) -> Prediction:
    sure = mask.astype(np.float32)
    looked = PhotoProbability(sure, 0 * sure, 0.0)
    return make_prediction(looked, mask.shape, MaskSettings(recognition=recognition))


# What is rendered


@settings(max_examples=10)
@given(st.integers(0, 2**63), st.tuples(st.integers(16, 60), st.integers(16, 90)))
def test_a_rendering_of_no_fluke_has_an_empty_mask_and_is_the_same_again(seed, size):
    one, two = render_not_fluke(seed, size), render_not_fluke(seed, size)
    assert (one.image.shape, one.image.dtype) == ((*size, 3), np.uint8)
    assert one.mask.shape == size
    assert not one.mask.any()
    assert len(one.trailing_edge) == len(one.keypoints) == len(one.poses) == 0
    assert np.array_equal(one.image, two.image)


def test_a_body_that_touches_the_water_in_one_point_is_rendered():
    assert render_not_fluke((78, 59), (60, 90)).image.any()  # without a warning


# The network


def test_numpy_computes_what_torch_fitted():
    network = RecognitionNetwork().eval()
    names = network.state_dict()
    network.load_state_dict({name: torch.from_numpy(_weights()[name]) for name in names})
    views = np.random.default_rng(0).random((3, SIDE, SIDE, 3), np.float32)
    with torch.inference_mode():
        seen = torch.from_numpy(views).permute(0, 3, 1, 2)
        logits = (network(seen) + network(seen.flip(3))).numpy() / 2
    gain, offset = _weights()["calibration"]
    assert recognise(views) == pytest.approx(1 / (1 + np.exp(-gain * logits - offset)), abs=1e-4)


def test_flukes_are_told_from_fins(flukes):
    fins = [likely(fin(number)) for number in range(10)]
    assert np.median([likely(mask) for mask in flukes]) > 0.9
    assert np.median(fins) < 0.1


def test_mirrored_and_enlarged_is_as_likely(flukes):
    for mask in (flukes[0], fin(1)):
        assert likely(np.ascontiguousarray(mask[:, ::-1])) == pytest.approx(likely(mask), abs=0.05)
        assert likely(np.kron(mask, np.ones((3, 3), np.uint8))) == pytest.approx(
            likely(mask), abs=0.1
        )


def test_a_view_shows_where_the_photo_ends():
    mask = np.zeros((40, 80), np.uint8)
    mask[:10, 30:50] = 1
    view = view_component(mask, 1, np.full(mask.shape, 0.25, np.float32))
    component, probability, inside = np.moveaxis(view, -1, 0)
    assert set(np.unique(inside)) == {0, 1}
    assert not inside[: SIDE // 5].any()  # above the photo
    assert inside[-1].all()
    assert (probability == 0.25 * inside).all()
    assert component.sum() == pytest.approx(10 * 20 * (SIDE / (1.2 * 20)) ** 2, rel=0.1)


def test_calibration_finds_gain_and_offset():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 4000)
    flukes = rng.random(4000) < 1 / (1 + np.exp(-logits))
    gain, offset = calibrate((logits - 1) / 2, flukes)
    assert (gain, offset) == pytest.approx((2, 1), abs=0.2)


# What is done


@given(st.lists(st.floats(0, 1), max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_what_is_less_likely_is_removed_and_the_rest_numbered(probabilities, remove, doubt):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % (len(probabilities) + 1)
    areas = tuple(range(10, 10 + len(probabilities)))
    kept, left = keep_flukes(Cleaned(labels.copy(), areas, 7), probabilities, remove, doubt)
    best = max(probabilities, default=0)
    every = remove <= best < doubt
    wanted = [i for i, value in enumerate(probabilities) if value >= remove or every]
    assert left == tuple(probabilities[i] for i in wanted)
    assert kept.areas == tuple(areas[i] for i in wanted)
    assert kept.removed == 7
    for new, old in enumerate(wanted, start=1):
        assert np.array_equal(kept.labels == new, labels == old + 1)
    assert np.count_nonzero(kept.labels) == np.count_nonzero(np.isin(labels, np.add(wanted, 1)))


def test_what_is_no_fluke_is_removed_or_flagged():
    mask = fin(1)
    removed = predict(mask, Recognition(remove=1, doubt=1))
    assert (removed.areas, removed.mask.any(), removed.reasons) == ((), False, ("empty",))
    assert removed.fluke_probability == likely(mask)
    assert removed.confidence == 1 - removed.fluke_probability
    flagged = predict(mask, Recognition(remove=0, doubt=1))
    assert flagged.fluke_probabilities == (flagged.fluke_probability,)
    assert "perhaps no fluke" in flagged.reasons
    off = predict(mask, Recognition(remove=0, doubt=0))
    assert np.array_equal(off.mask, mask * 255)
    assert "perhaps no fluke" not in off.reasons


def test_a_photo_without_a_mask_has_no_probability():
    assert np.isnan(predict(np.zeros(SIZE, np.uint8), Recognition(0.5, 0.5)).fluke_probability)


def test_it_is_on_with_the_network_it_was_fitted_to():
    assert PredictionSettings().masks.recognition == Recognition(REMOVE, DOUBT)
    assert not PredictionSettings(("a.ckpt",)).masks.recognition.is_on
    assert not PredictionSettings(("rendered", "a.ckpt")).masks.recognition.is_on
    asked = MaskSettings(recognition=Recognition(remove=0.1))
    assert PredictionSettings(("a.ckpt",), masks=asked).masks.recognition == Recognition(0.1, 0)


def test_folders_without_recognition_are_as_before():
    plain = PredictionSettings(masks=MaskSettings(recognition=Recognition(0, 0)))
    recorded = PredictionSettings().recorded()
    assert recorded.pop("recognition")["remove"] == REMOVE
    assert plain.recorded() == recorded
