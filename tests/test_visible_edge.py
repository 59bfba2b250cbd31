"""Which tips and notches count as visible, and what is found right and wrong of them."""

import numpy as np
import pytest

from flukeseg.anatomy.anatomy import HIDDEN, Anatomy, Keypoint
from flukeseg.anatomy.trailing_edge import NO_EDGE
from flukeseg.evaluation.anatomy.keypoint_figures import compare
from flukeseg.rendering.visible_edge import belongs_to, is_visible, visible_keypoints
from flukeseg.rendering.whale import EDGE

SIZE = (64, 128)
BAR = slice(20, 40), slice(0, 100)
"""Rows and columns of a mask whose upper side is a trailing edge of 96 pixels, from x = 2 on."""


def _visible(path: np.ndarray) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[BAR] = 1
    return np.isfinite(visible_keypoints(path, is_visible(path, mask))[:, 0])


@pytest.mark.parametrize(
    ("left", "visible"),
    [(2.0, True), (0.1, True), (-1.5, True), (-4.0, False)],
    ids=["inside", "at the frame", "hardly cut off", "cut off"],
)
def test_a_tip_is_visible_if_hardly_any_edge_before_it_is_hidden(left, visible):
    path = np.stack([np.linspace(left, 98, 2 * EDGE - 1), np.full(2 * EDGE - 1, 20.0)], 1)
    assert _visible(path).tolist() == [visible, True, True]


def test_points_belong_to_the_nearest_component():
    mask = np.zeros(SIZE, np.uint8)
    mask[20:40, 10:50] = mask[20:40, 60:90] = 1
    fluke = mask.copy()
    fluke[:, 55:] = 0
    points = np.array([[10.5, 19], [53, 30], [57, 30], [70, 30], [-3, 30], [np.nan, np.nan]])
    assert belongs_to(points, fluke, mask).tolist() == [True, True, False, False, True, False]


def test_a_tip_far_from_the_only_visible_one_is_another_tip():
    hidden = Keypoint(np.nan, np.nan, 0.1, HIDDEN)
    outline = np.array([[0, 0], [100, 0], [100, 40], [0, 40]], float)
    truth = np.array([[1.0, 20], [50, 30], [np.nan, np.nan]])
    for x, found in ((3.0, [False, False, True]), (99.0, [False, False, False])):
        tip = Keypoint(x, 20.0, 0.9)
        anatomy = Anatomy(hidden, hidden, tip, NO_EDGE, None, outline)
        figures = compare("upright", anatomy, truth, np.zeros((0, 2)))
        assert (figures.found & figures.visible).tolist() == found
        assert figures.found.sum() == 1
