"""The aligned fluke: fixed points, both ways, and what is cut out of the photo."""

import numpy as np
import pytest

from flukeseg.anatomy.alignment import LINE_AT, NOTCH_AT, TIPS_IN, align
from flukeseg.errors import InputError

LEFT, RIGHT, NOTCH = np.array([100.0, 80.0]), np.array([500.0, 140.0]), np.array([290.0, 190.0])


def _fixed(size: tuple[int, int]) -> np.ndarray:
    height, width = size
    x = np.array([TIPS_IN, 1 - TIPS_IN, 0.5]) * width
    y = np.array([LINE_AT, LINE_AT, NOTCH_AT]) * height
    return np.stack([x, y], 1)


@pytest.mark.parametrize("size", [(256, 512), (100, 300)])
def test_tips_lie_on_fixed_points(size):
    transform = align(LEFT, RIGHT, size=size)
    np.testing.assert_allclose(
        transform.to_aligned(np.array([LEFT, RIGHT])), _fixed(size)[:2], atol=1e-9
    )
    linear = transform.matrix[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.eye(2) * np.linalg.det(linear), atol=1e-12)
    assert np.linalg.det(linear) > 0


def test_the_notch_lies_on_a_fixed_point_too():
    transform = align(LEFT, RIGHT, NOTCH)
    np.testing.assert_allclose(
        transform.to_aligned(np.array([LEFT, RIGHT, NOTCH])), _fixed((256, 512)), atol=1e-9
    )


def test_trailing_edge_down_is_turned_not_mirrored():
    transform = align(LEFT, RIGHT, trailing_edge_up=False)
    np.testing.assert_allclose(
        transform.to_aligned(np.array([RIGHT, LEFT])), _fixed((256, 512))[:2], atol=1e-9
    )
    assert np.linalg.det(transform.matrix[:, :2]) > 0


def test_points_go_both_ways():
    points = np.random.default_rng(0).uniform(0, 600, (50, 2))
    for transform in (align(LEFT, RIGHT), align(LEFT, RIGHT, NOTCH, trailing_edge_up=False)):
        np.testing.assert_allclose(
            transform.to_photo(transform.to_aligned(points)), points, atol=1e-9
        )


def test_pixels_go_where_points_go():
    photo = np.zeros((300, 600, 3), np.uint8)
    photo[75:86, 95:106] = 255  # centred on 100.5, 80.5
    cut = align(LEFT + 0.5, RIGHT + 0.5).cut_photo(photo)
    y, x = np.nonzero(cut[..., 0] > 127)
    np.testing.assert_allclose([x.mean() + 0.5, y.mean() + 0.5], _fixed((256, 512))[0], atol=0.3)


def test_rgbm_keeps_colours_outside_the_mask():
    photo = np.full((300, 600, 3), 200, np.uint8)
    mask = np.zeros((300, 600), np.uint8)
    mask[80:200, 150:450] = 1
    transform = align(LEFT, RIGHT)
    rgbm = transform.cut_rgbm(photo, mask)
    assert rgbm.shape == (256, 512, 4)
    assert set(np.unique(rgbm[..., 3])) == {0, 255}
    x, y = np.floor(transform.to_aligned(np.array([[300.5, 150.5], [130.5, 100.5]]))).astype(int).T
    assert rgbm[y, x].tolist() == [[200, 200, 200, 255], [200, 200, 200, 0]]


def test_shrinking_averages():
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 2, (1500, 3000, 1)).astype(np.uint8).repeat(3, 2) * 255
    cut = align(LEFT * 5, RIGHT * 5).cut_photo(photo)
    assert cut[100:200, 100:400].std() < 40  # single pixels would give 127


def test_without_both_tips_there_is_no_alignment():
    with pytest.raises(InputError, match="both of its tips"):
        align(np.full(2, np.nan), RIGHT)
    with pytest.raises(InputError, match="both of its tips"):
        align(LEFT, LEFT)
    with pytest.raises(InputError, match="line between its tips"):
        align(LEFT, RIGHT, (LEFT + RIGHT) / 2)
