"""Affine transforms in parts, where an image is longer than OpenCV transforms at once."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeseg.images import warping

SIDES = st.integers(1, 60)


@given(
    SIDES, SIDES, st.tuples(SIDES, SIDES), st.integers(0, 359),
    st.sampled_from([0.3, 1, 2.5]), st.integers(-30, 30),
    st.sampled_from([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE]), st.integers(0, 99),
)  # fmt: skip
def test_parts_are_those_of_the_whole(height, width, size, angle, scale, shift, border, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += shift
    whole = warping.warp(image, matrix, size, border)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warping, "LONGEST", 16)
        parts = warping.warp(image, matrix, size, border)
    assert parts.shape == whole.shape == (*size, 3)
    # OpenCV rounds places to 1/32 of a pixel, and 255 levels may lie between neighbours
    assert np.abs(parts.astype(int) - whole).max() <= 2 * 255 / 32 + 1


def test_a_panorama_is_cut():
    image = np.zeros((3, 40_000), np.uint8)
    image[:, 39_000:] = 255
    cut = warping.warp(image, np.float64([[1, 0, -38_990], [0, 1, 0]]), (3, 20), 0)
    assert cut.tolist() == [[0] * 10 + [255] * 10] * 3
    shrunk = warping.warp(image, np.float64([[0.001, 0, 0], [0, 1, 0]]), (3, 40), 0)
    assert shrunk.tolist() == [[0] * 39 + [255]] * 3
