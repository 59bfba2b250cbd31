"""Whether a component is a fluke: what is rendered that is none, the network, and what is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeseg.errors import InputError
from flukeseg.masks import recognition_features
from flukeseg.masks.cleaning import Cleaned, Cleaning, clean
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability, SecondLook
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
from flukeseg.masks.recognition_features import CROP, crop_photo, photo_features
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.prediction.prediction import Prediction, make_prediction
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.rendering import render, render_not_fluke
from flukeseg.rendering.dorsal_fins import draw_fin
from flukeseg.training.small_networks.recognition_encoder import Encoder, to_halved_onnx
from flukeseg.training.small_networks.recognition_fit import (
    LookNetwork,
    RecognitionNetwork,
    calibrate,
    fit_look,
)
from flukeseg.training.small_networks.recognition_samples import STORED, WIDER, Samples, cut_view

SIZE = (96, 192)


def fin(number: int) -> np.ndarray:
    """Mask of a falcate dorsal fin, cut off by the water."""
    points = draw_fin(np.random.default_rng(number), 60, 60, 25, 0.6) + np.array([96, 80])
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def largest(mask: np.ndarray) -> np.ndarray:
    return (clean(mask, Cleaning()).labels == 1).astype(np.uint8)


def paint(mask: np.ndarray) -> np.ndarray:
    """A dark body of a mask on water."""
    noise = np.random.default_rng(0).normal(0, 6, (*mask.shape, 3))
    colours = np.where(mask[..., None] > 0, (50, 52, 55), (120, 140, 150))
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def seen(mask: np.ndarray, image: np.ndarray) -> PhotoProbability:
    """What a network that is sure of a mask sees of a photo."""
    sure = mask.astype(np.float32)
    return PhotoProbability(sure, 0 * sure, 0.0, image=image)


def likely(mask: np.ndarray, image: np.ndarray) -> float:
    """How likely a mask of a photo is a fluke, if a network is sure of it."""
    return fluke_probabilities(mask, 1, mask.astype(np.float32), seen(mask, image))[0]


def view(mask: np.ndarray, probability: np.ndarray) -> np.ndarray:
    return view_component(mask, 1, probability, tight_box(mask))


@pytest.fixture(scope="module")
def flukes() -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks and pictures."""
    drawn = [render((5, number), SIZE) for number in range(12)]
    return [(largest(one.mask), one.image) for one in drawn if one.mask.mean() > 0.05]


def predict_sure(mask: np.ndarray, recognition: Recognition) -> Prediction:
    settings = MaskSettings(recognition=recognition)
    return make_prediction(seen(mask, paint(mask)), mask.shape, settings)


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
    shape = RecognitionNetwork().eval()
    names = shape.state_dict()
    shape.load_state_dict({name: torch.from_numpy(_weights()[name]) for name in names})
    own = {
        name.removeprefix("look."): torch.from_numpy(values)
        for name, values in _weights().items()
        if name.startswith("look.")
    }
    look = LookNetwork(own["mean"].expand(2, -1)).eval()
    look.hidden = torch.nn.Linear(*own["hidden.weight"].T.shape)
    look.last = torch.nn.Linear(*own["last.weight"].T.shape)
    look.load_state_dict(own)
    rng = np.random.default_rng(0)
    views = rng.random((3, SIDE, SIDE, 3), np.float32)
    features = rng.random((3, len(own["mean"])), np.float32)
    with torch.inference_mode():
        turned = torch.from_numpy(views).permute(0, 3, 1, 2)
        by_shape = (shape(turned) + shape(turned.flip(3))).numpy() / 2
        by_look = look(torch.from_numpy(features)).numpy()
    first, second, offset = _weights()["calibration"]
    logits = first * by_shape + second * by_look + offset
    assert recognise(views, features) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-4)


def test_the_encoder_of_a_network_computes_features(flukes, monkeypatch):
    _, image = flukes[0]
    crop = np.ascontiguousarray(image[:CROP, :CROP])
    crop = cv2.resize(crop, (CROP, CROP))
    inside = np.ones((CROP, CROP, 3), np.float32)
    network = load_module(find_checkpoint("rendered")).network
    content = to_halved_onnx(Encoder(network).eval()).SerializeToString()
    monkeypatch.setattr(recognition_features, "_content", lambda: content)
    monkeypatch.setattr(recognition_features, "_idle", [])
    with torch.inference_mode():
        stages = Encoder(network)(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)
    means = [stage.mean((2, 3))[0].numpy() for stage in stages]
    found = photo_features(crop, inside)  # nothing around: the other means are 0
    expected = [part for mean in means for part in (mean, 0 * mean)]
    expected = np.concatenate([*expected, stages[-1].amax((2, 3))[0].numpy()])
    assert found == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert np.corrcoef(found, expected)[0, 1] > 0.9999


def test_flukes_are_told_from_fins(flukes):
    fins = [fin(number) for number in range(10)]
    assert np.median([likely(*one) for one in flukes]) > 0.9
    assert np.median([likely(mask, paint(mask)) for mask in fins]) < 0.1


def test_mirrored_and_enlarged_is_as_likely(flukes):
    mask, image = flukes[0]
    expected = likely(mask, image)
    mirrored = (np.ascontiguousarray(one[:, ::-1]) for one in (mask, image))
    assert likely(*mirrored) == pytest.approx(expected, abs=0.1)
    large = np.kron(mask, np.ones((3, 3), np.uint8))
    assert likely(large, image) == pytest.approx(expected, abs=0.1)


def test_a_crop_shows_the_component_wherever_its_pixels_are():
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[40:60, 120:160] = 255
    box = Box(120, 40, 40, 20)
    sure = np.zeros((100, 200), np.float32)
    seen_once = PhotoProbability(sure, sure, 0.0, image=cv2.resize(photo, (100, 100)))  # squeezed
    part = Box(100, 30, 80, 40)
    look = SecondLook(part, sure, sure, 0.0, True, image=np.repeat(part.cut(photo), 2, 1))
    for coarse in (seen_once, seen_once._replace(image=photo * 0, second=(look,))):
        crop = crop_photo(coarse, box, photo.shape[:2])
        across = CROP / 1.6 / 2  # half of the box's width in the crop
        y, x = np.mgrid[:CROP, :CROP] + 0.5 - CROP / 2
        inside = (np.abs(x) < across - 4) & (np.abs(y) < across / 2 - 4)
        outside = (np.abs(x) > across + 4) | (np.abs(y) > across / 2 + 4)
        assert crop[inside].min() > 250
        assert crop[outside].max() < 5


def test_recognition_needs_the_pixels():
    mask = fin(1)
    sure = mask.astype(np.float32)
    with pytest.raises(InputError, match="recognition needs the pixels of the photo"):
        make_prediction(
            PhotoProbability(sure, sure, 0.0), SIZE, MaskSettings(recognition=Recognition(0.1, 0))
        )


def test_features_that_tell_flukes_are_learnt():
    rng = np.random.default_rng(0)
    flukes = np.arange(256) % 2 == 0
    features = rng.normal(0, 1, (256, 2, 8)) + 3 * np.eye(8)[1] * flukes[:, None, None]
    nothing = np.zeros((256, 1, 1, 3), np.uint8)
    network = fit_look(Samples(nothing, features.astype(np.float16), flukes, np.arange(256)), 0)
    with torch.inference_mode():
        logits = network(torch.from_numpy(features[:, 0].astype(np.float32))).numpy()
    assert ((logits > 0) == flukes).mean() > 0.9


def test_a_view_shows_where_the_photo_ends():
    mask = np.zeros((40, 80), np.uint8)
    mask[:10, 30:50] = 1
    seen_there = view(mask, np.full(mask.shape, 0.25, np.float32))
    component, probability, inside = np.moveaxis(seen_there, -1, 0)
    assert set(np.unique(inside)) == {0, 1}
    assert not inside[: SIDE // 5].any()  # above the photo
    assert inside[-1].all()
    assert (probability == 0.25 * inside).all()
    assert component.sum() == pytest.approx(10 * 20 * (SIDE / (1.2 * 20)) ** 2, rel=0.1)


def test_what_is_fitted_is_what_is_seen():
    """Both are cut at whole pixels, so they differ by chance, but not on average."""
    rng, apart = np.random.default_rng(0), []
    for width, height in rng.integers(20, 200, (30, 2)).tolist():
        mask = np.zeros((400, 400), np.uint8)
        Box(*rng.integers(0, 200, 2).tolist(), width, height).cut(mask)[:] = 1
        sure = mask.astype(np.float32)
        box = tight_box(mask)
        fitted = cut_view(view_component(mask, 1, sure, box, STORED, WIDER))[..., 0]
        own = view(mask, sure)[..., 0]
        middles = [np.average(np.mgrid[:SIDE, :SIDE], (1, 2), [one, one]) for one in (fitted, own)]
        apart.append([*(middles[0] - middles[1]), np.sqrt(fitted.sum() / own.sum()) - 1])
    assert np.mean(apart, 0) == pytest.approx([0, 0, 0], abs=0.15)


def test_calibration_finds_factors_and_offset():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 2))
    flukes = rng.random(4000) < 1 / (1 + np.exp(-logits.sum(1)))
    found = calibrate((logits - [1, 0]) / [2, 4], flukes)
    assert found == pytest.approx((2, 4, 1), abs=0.4)


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
    removed = predict_sure(mask, Recognition(remove=1, doubt=1))
    assert (removed.areas, removed.mask.any(), removed.reasons) == ((), False, ("empty",))
    assert removed.fluke_probability == likely(mask, paint(mask))
    assert removed.confidence == 1 - removed.fluke_probability
    flagged = predict_sure(mask, Recognition(remove=0, doubt=1))
    assert flagged.fluke_probabilities == (flagged.fluke_probability,)
    assert "perhaps no fluke" in flagged.reasons
    off = predict_sure(mask, Recognition(remove=0, doubt=0))
    assert np.array_equal(off.mask, mask * 255)
    assert "perhaps no fluke" not in off.reasons


def test_a_photo_without_a_mask_has_no_probability():
    assert np.isnan(predict_sure(np.zeros(SIZE, np.uint8), Recognition(0.5, 0.5)).fluke_probability)


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


def test_threads_see_the_same_features():
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (CROP, CROP, 3), np.uint8) for _ in range(6)]
    view = np.ones((CROP, CROP, 3), np.float32)
    alone = [photo_features(crop, view) for crop in crops]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(photo_features, crops, [view] * 6))
    np.testing.assert_allclose(together, alone, atol=1e-4)
