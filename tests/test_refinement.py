"""Edges of probabilities that follow the photo's colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import frame_with_a_small_fluke, write_rgb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flukeseg import Segmenter
from flukeseg.masks.refinement import NOISE, RADIUS, refined
from flukeseg.prediction.settings import PredictionSettings


def windows(values: np.ndarray) -> np.ndarray:
    """The window about each pixel of h×w…, the frame mirroring what is inside: h×w×…×n."""
    pad = [(RADIUS, RADIUS)] * 2 + [(0, 0)] * (values.ndim - 2)
    side = 2 * RADIUS + 1
    padded = np.pad(values.astype(np.float64), pad, mode="reflect")
    seen = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    return seen.reshape(*values.shape, side * side)


def test_it_is_the_filter_of_the_paper():
    rng = np.random.default_rng(5)
    photo = rng.integers(0, 256, (9, 11, 3), np.uint8)
    values = rng.random((9, 11), np.float32)
    slopes, offsets = np.empty((9, 11, 3)), np.empty((9, 11))
    colours, wanted = windows(photo), windows(values)
    for y, x in np.ndindex(9, 11):
        own, mean = colours[y, x], wanted[y, x].mean()
        centred = own - own.mean(1, keepdims=True)
        with_value = (centred * (wanted[y, x] - mean)).mean(1)
        slopes[y, x] = np.linalg.solve(
            centred @ centred.T / own.shape[1] + NOISE * np.eye(3), with_value
        )
        offsets[y, x] = mean - slopes[y, x] @ own.mean(1)
    truth = (windows(slopes).mean(-1) * photo).sum(-1) + windows(offsets).mean(-1)
    np.testing.assert_allclose(refined(values, photo), truth.clip(0, 1), atol=2e-3)


def noisy_halves(border: float, rng: np.random.Generator) -> np.ndarray:
    """A photo 80×120, dark to the left of a border and bright to the right, with noise."""
    share = np.clip(border - np.arange(120), 0, 1)[None, :, None]
    photo = share * (60, 50, 40) + (1 - share) * (120, 140, 160) + rng.normal(0, 5, (80, 120, 3))
    return photo.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("off", [-1.5, -0.7, 0.0, 0.8, 1.5])
def test_an_edge_moves_to_where_colours_change(off):
    rng = np.random.default_rng(1)
    photo = noisy_halves(61.0, rng)
    # the network sees half of the photo's pixels, and is off by `off` of its own
    x = np.arange(60) + 0.5
    values = np.broadcast_to(1 / (1 + np.exp((x - 30.5 - off) / 0.8)), (40, 60))
    found = refined(np.ascontiguousarray(values, np.float32), photo)
    assert found.shape == (80, 120)
    width = (found > 0.5).sum(1)
    assert np.abs(width - 61).mean() < max(0.3, 0.25 * abs(2 * off))
    assert (found[:, :40] > 0.98).all()
    assert (found[:, 80:] < 0.02).all()


def test_where_colours_say_nothing_the_edge_stays():
    rng = np.random.default_rng(2)
    photo = np.clip(rng.normal(100, 3, (40, 60, 3)), 0, 255).astype(np.uint8)
    values = np.zeros((40, 60), np.float32)
    values[:, :31] = 1
    assert (np.abs((refined(values, photo) > 0.5).sum(1) - 31) <= 1).all()


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 150), st.integers(1, 12)),
               elements=st.floats(0, 1, width=32), fill=st.just(np.float32(0.25))),
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_comes_out_is_a_probability_and_of_no_more_pixels_than_there_are(
    values, height, width, channels, seed
):
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    found = refined(values, photo)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    for own, before, there in zip(found.shape, values.shape, photo.shape, strict=False):
        assert own == max(before, min(2 * before, there))


@given(st.integers(0, 2**32 - 1))
def test_strips_and_the_axes_do_not_show(seed):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (150, 14, 3), np.uint8)
    values = cv2.blur(rng.random((150, 14), np.float32), (5, 5))
    turned = refined(np.ascontiguousarray(values.T), photo.transpose(1, 0, 2).copy())
    np.testing.assert_allclose(refined(values, photo), turned.T, atol=1e-4)


@given(st.floats(0, 1, width=32), st.integers(0, 2**32 - 1))
def test_what_is_the_same_everywhere_stays(value, seed):
    photo = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)
    np.testing.assert_allclose(
        refined(np.full((10, 12), value, np.float32), photo), value, atol=1e-5
    )


def test_edges_of_both_looks_are_refined_and_refine_false_leaves_them(dark_network, tmp_path):
    photo = cv2.GaussianBlur(frame_with_a_small_fluke(3), (0, 0), 1)
    path = tmp_path / "photo.png"
    write_rgb(path, photo)
    plain, fine = (
        Segmenter.from_checkpoint(dark_network, size=(64, 128), refine=refine)(path)
        for refine in (False, True)
    )
    ((before,), (after,)) = plain.coarse.second, fine.coarse.second
    assert before.believed
    assert after.believed
    assert before.probability.shape == (64, 128)
    np.testing.assert_array_equal(plain.coarse.image, fine.coarse.image)
    for one in (before, plain.coarse):
        assert one.refined is None
    np.testing.assert_array_equal(plain.coarse.probability, fine.coarse.probability)
    np.testing.assert_allclose(
        fine.coarse.refined, refined(plain.coarse.probability, plain.coarse.image), atol=1e-6
    )
    box = after.box
    np.testing.assert_allclose(
        after.refined, refined(before.probability, box.cut(photo)), atol=1e-6
    )
    np.testing.assert_array_equal(fine.probability > 0.5, fine.mask > 0)
    assert (plain.mask != fine.mask).any()


def test_an_old_folder_and_one_without_refined_edges_record_the_same():
    assert PredictionSettings().recorded()["refine"] is True
    assert "refine" not in PredictionSettings(refine=False).recorded()


def test_refine_is_checked():
    with pytest.raises(ValueError, match="refine=maybe must be true or false"):
        PredictionSettings(refine="maybe")
