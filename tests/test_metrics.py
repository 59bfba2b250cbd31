"""How good a mask is: by hand, by brute force, and against MONAI."""

from functools import cache

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from segmentation_models_pytorch.metrics import get_stats

from flukeseg.errors import InputError
from flukeseg.masks.metrics import (
    COUNTS,
    assd,
    boundary_iou,
    dice,
    false_fluke,
    hd95,
    iou,
    missed,
    photo_metrics,
    pixel_counts,
    surface_dice,
    trailing_edge_distance,
)
from flukeseg.masks.surfaces import outline_distances, resampled, surface, surface_distances
from flukeseg.rendering import render

PERFECT = {"hd95": 0, "assd": 0, "missed": 0, "false": 0}  # every other one is 1
EMPTY = np.zeros((6, 8), np.uint8)  # the diagonal is 10


def _mask(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of boxes x, y, width, height."""
    mask = np.zeros(size, np.uint8)
    for x, y, wide, tall in boxes:
        mask[y : y + tall, x : x + wide] = 1
    return mask


def _edge(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


def _assert_close(figures: dict[str, float], expected: dict[str, float], within=1e-6) -> None:
    assert figures.keys() == expected.keys()
    for name, value in figures.items():
        assert type(value) is float, name
        assert value == pytest.approx(expected[name], rel=within, abs=within), name


def _assert_perfect(figures: dict[str, float]) -> None:
    assert figures == {name: PERFECT.get(name, 1) for name in figures}


# by hand


def test_square_beside_itself():
    """Two 4 × 4 squares, one pixel apart: 12 pixels shared; of 12 surface pixels 6 coincide."""
    predicted, truth = _mask((10, 10), (2, 2, 4, 4)), _mask((10, 10), (3, 2, 4, 4))
    assert dice(predicted, truth) == 12 / 16
    assert iou(predicted, truth) == 12 / 20
    assert boundary_iou(predicted, truth) == 6 / 18
    assert hd95(predicted, truth) == 25  # one pixel of four
    assert assd(predicted, truth) == 12.5
    assert not missed(predicted, truth)
    assert not false_fluke(predicted, truth)
    # a tenth of the width is meant as 115.2 pixels
    assert surface_dice(predicted, truth, 114) == 0.5
    assert surface_dice(predicted, truth, 116) == 1


def test_distances_in_a_right_triangle():
    predicted, truth = _mask((10, 10), (1, 1, 1, 1)), _mask((10, 10), (4, 5, 1, 1))
    assert hd95(predicted, truth) == assd(predicted, truth) == 500  # 5 pixels of a fluke 1 wide


def test_percentile_lies_between_pixels():
    """A row of ten against the same less one: distances 1 once and 0 nine times, and 0."""
    truth, predicted = _mask((5, 20), (3, 2, 10, 1)), _mask((5, 20), (3, 2, 9, 1))
    assert hd95(predicted, truth) == pytest.approx(5.5)  # 0.55 pixels of ten
    assert assd(predicted, truth) == pytest.approx(10 / 19)


def test_band_follows_the_diagonal():
    """In 30 × 40 a share of 0.1 is 5 pixels: of 20 × 20 all but 10 × 10 is band."""
    truth, inside = _mask((30, 40), (5, 5, 20, 20)), _mask((30, 40), (10, 10, 10, 10))
    assert boundary_iou(inside, truth, 0.1) == 0  # the inner square is all band, and none of 300
    assert boundary_iou(inside, truth, 0.2) == 100 / 400
    assert boundary_iou(inside, truth, 0) == 0  # one pixel at least
    assert boundary_iou(truth, truth, 0.001) == 1


def test_tolerance_is_of_a_photo_1152_wide():
    one, other = _mask((9, 2304), (50, 4, 40, 1)), _mask((9, 2304), (52, 4, 40, 1))
    assert surface_dice(one, other, 1) == 1  # 2 pixels here
    assert surface_dice(one, other, 0.99) == 78 / 80
    small, shifted = one[:, :384], np.roll(one, 1, 1)[:, :384]
    assert surface_dice(small, shifted, 3) == 1  # 1 pixel here
    assert surface_dice(small, shifted, 2.99) == 78 / 80


def test_both_empty():
    _assert_perfect(photo_metrics(EMPTY, EMPTY))


def test_one_empty():
    truth = _mask((6, 8), (2, 1, 4, 3))
    bad = dict.fromkeys(photo_metrics(truth, truth), 0.0)
    lost = bad | {"hd95": 250, "assd": 250, "missed": 1}  # 10 pixels of a fluke 4 wide
    _assert_close(photo_metrics(EMPTY, truth), lost)
    made_up = bad | {"hd95": 125, "assd": 125, "false": 1}  # of a photo 8 wide
    _assert_close(photo_metrics(truth, EMPTY), made_up)
    assert missed(EMPTY, truth)
    assert false_fluke(truth, EMPTY)
    assert surface_dice(EMPTY, truth, 1e9) == 0


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.ones((6, 8), np.uint8), id="full frame"),
        pytest.param(np.ones((1, 1), np.uint8), id="one by one"),
        pytest.param(np.zeros((1, 1), np.uint8), id="one by one, empty"),
        pytest.param(_mask((6, 8), (3, 3, 1, 1)), id="single pixel"),
        pytest.param(_mask((6, 8), (7, 5, 1, 1)), id="corner pixel"),
        pytest.param(_mask((6, 8), (0, 3, 8, 1)), id="one row"),
        pytest.param(_mask((1, 50), (3, 0, 20, 1)), id="photo of one row"),
        pytest.param(_mask((50, 1), (0, 3, 1, 20)), id="photo of one column"),
        pytest.param(_mask((6, 8), (0, 0, 3, 6)), id="at the frame"),
        pytest.param(_mask((20, 30), (1, 1, 5, 5), (20, 9, 4, 4), (9, 18, 1, 2)), id="components"),
        pytest.param(_mask((3, 5000), (100, 1, 3000, 2)), id="very wide"),
    ],
)
def test_awkward_masks(mask):
    _assert_perfect(photo_metrics(mask, mask))
    _assert_perfect(photo_metrics(mask > 0, mask * 255))
    for other in (np.ones_like(mask), np.zeros_like(mask), mask[::-1], mask[:, ::-1]):
        for predicted, truth in ((mask, other), (other, mask)):
            figures = photo_metrics(predicted, truth, _edge((0.2, 0.5), (0.9, 0.5)))
            assert np.isfinite(list(figures.values())).all()


@pytest.mark.parametrize("figure", [dice, iou, hd95, assd, boundary_iou, missed, photo_metrics])
def test_sizes_must_agree(figure):
    with pytest.raises(InputError, match="predicted mask is 8 × 6 and the true one 6 × 8 pixels"):
        figure(EMPTY, EMPTY.T)
    with pytest.raises(InputError, match="one channel"):
        figure(EMPTY[..., None], EMPTY[..., None])


def test_masks_are_left_alone():
    mask, edge = render(1, (60, 120)).mask, _edge((20, 20), (90, 30))
    copies = mask.copy(), edge.copy()
    mask.setflags(write=False)
    edge.setflags(write=False)
    photo_metrics(mask, np.roll(mask, 3, 1), edge)
    assert np.array_equal(mask, copies[0])
    assert np.array_equal(edge, copies[1])


# the trailing edge, by hand

HALF = _mask((10, 20), (0, 5, 20, 5))  # its outline is y = 5


def test_edge_between_pixels():
    mean, p95, near = trailing_edge_distance(HALF, _edge((2, 5.3), (8, 5.3)))
    assert (mean, p95, near) == (pytest.approx(5), pytest.approx(5), 0)  # 0.3 of 6 pixels
    assert trailing_edge_distance(HALF, _edge((2, 5), (8, 5))) == (0, 0, 1)
    mean, _, near = trailing_edge_distance(HALF, _edge((2, 4.7), (8, 4.7)), width=100)
    assert (mean, near) == (pytest.approx(0.3), 1)


def test_edge_running_away():
    """Distances 0 to 4 evenly, of a fluke 20 wide."""
    mean, p95, near = trailing_edge_distance(HALF, _edge((7, 1), (7, 5)), width=20)
    assert mean == pytest.approx(10)
    assert p95 == pytest.approx(19, abs=0.02)
    assert near == pytest.approx(0.1 / 4, abs=0.001)


def test_corner_is_nearest():
    pixel = _mask((9, 9), (4, 4, 1, 1))
    assert trailing_edge_distance(pixel, _edge((2, 1)), width=100)[0] == pytest.approx(13**0.5)
    assert trailing_edge_distance(pixel, _edge((4.5, 4.5)), width=100)[0] == 0.5


def test_spacing_of_vertices_does_not_matter():
    line = np.linspace((1, 1), (19, 8), 50)
    crowded = np.concatenate([np.linspace(line[0], line[3], 999), line[30:31], line[-1:]])
    one, other = (trailing_edge_distance(HALF, points) for points in (line, crowded))
    assert one == pytest.approx(other, rel=1e-9)
    assert trailing_edge_distance(HALF, line[::-1]) == pytest.approx(one, rel=1e-3)


def test_nan_lifts_the_pen():
    apart = _edge((1, 5), (4, 5), (np.nan, np.nan), (10, 5), (19, 5))
    detour = _edge((1, 5), (4, 5), (7, 0), (10, 5), (19, 5))
    assert trailing_edge_distance(HALF, apart) == (0, 0, 1)
    assert trailing_edge_distance(HALF, detour)[0] > 1
    x = resampled(apart)[:, 0]
    assert not ((x > 4) & (x < 10)).any()
    assert np.diff(x[x > 9]) == pytest.approx(np.diff(x)[0])


def test_frame_is_no_outline():
    left = _mask((20, 20), (0, 0, 5, 20))
    along_frame = trailing_edge_distance(left, _edge((0, 2), (0, 18)), width=100)
    assert along_frame == (5, 5, 0)
    outside = _edge((5, 2), (5, 18), (np.nan, np.nan), (-9, 2), (-9, 18))
    assert trailing_edge_distance(left, outside) == (0, 0, 1)


def test_no_outline_and_no_edge():
    edge = _edge((2, 3), (6, 3))
    for mask in (EMPTY, np.ones_like(EMPTY)):
        assert trailing_edge_distance(mask, edge) == (250, 250, 0)  # 10 pixels of 4
    for nothing in (np.zeros((0, 2)), _edge((np.nan, np.nan)), _edge((-5, -5), (-1, -5))):
        assert np.isnan(trailing_edge_distance(HALF, nothing)).all()
        assert np.isnan(photo_metrics(HALF, HALF, nothing)["trailing_mean"])
    assert "trailing_mean" not in photo_metrics(HALF, HALF)


def test_photo_figures_measures_the_edge_by_the_true_fluke():
    truth, edge = _mask((10, 20), (4, 5, 10, 5)), _edge((6, 4.6), (8, 4.6))
    assert photo_metrics(HALF, truth, edge)["trailing_mean"] == pytest.approx(4)  # 0.4 of 10
    assert photo_metrics(HALF, HALF * 0, edge)["trailing_mean"] == pytest.approx(2)  # 0.4 of 20


def test_rendered_masks_fit_their_edges():
    """An exact mask lies a fifth of a pixel from the curve it was made of."""
    means = []
    for seed in range(12):
        one = render(seed, (192, 384))
        if len(one.trailing_edge) < 30:
            continue
        means.append(trailing_edge_distance(one.mask, one.trailing_edge, width=100)[0])
    assert len(means) > 8
    assert np.median(means) < 0.25
    assert max(means) < 0.5


# whatever the masks

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[hnp.arrays(np.bool_, shape)] * 2))


def _size_free(figures: dict[str, float], truth: np.ndarray) -> dict[str, float]:
    """Figures with distances in pixels, and without those that depend on the photo's width."""
    wide = int(np.ptp(np.flatnonzero(truth.any(0)))) + 1 if truth.any() else truth.shape[1]
    kept = {name: value for name, value in figures.items() if not name.startswith("surface")}
    return kept | {name: figures[name] * wide for name in ("hd95", "assd")}


@settings(max_examples=100)
@given(PAIRS)
def test_range_and_symmetry(pair):
    predicted, truth = pair
    figures, swapped = photo_metrics(predicted, truth), photo_metrics(truth, predicted)
    for name, value in figures.items():
        assert 0 <= value <= (np.inf if name in ("hd95", "assd") else 1), name
    assert figures["iou"] <= figures["dice"]
    assert figures["surface_dice_1"] <= figures["surface_dice_3"]
    assert figures["missed"] == swapped.pop("false")
    assert figures["false"] == swapped.pop("missed")
    one = _size_free(figures, truth)
    other = _size_free(swapped, predicted)
    _assert_close({name: one[name] for name in other}, other)


@settings(max_examples=50)
@given(PAIRS)
def test_pixel_counts_agree_with_smp(pair):
    predicted, truth = (torch.from_numpy(mask.astype(np.int64))[None, None] for mask in pair)
    expected = get_stats(predicted, truth, mode="binary")[:3]
    assert pixel_counts(*pair) == {
        name: int(count) for name, count in zip(COUNTS, expected, strict=True)
    }


@settings(max_examples=50)
@given(PAIRS)
def test_same_masks_are_perfect(pair):
    _assert_perfect(photo_metrics(pair[0], pair[0]))


@settings(max_examples=50)
@given(PAIRS)
def test_flipped_and_transposed(pair):
    predicted, truth = pair
    figures = photo_metrics(predicted, truth)
    _assert_close(photo_metrics(predicted[::-1], truth[::-1]), figures)
    _assert_close(photo_metrics(predicted[:, ::-1], truth[:, ::-1]), figures)
    turned = _size_free(photo_metrics(predicted.T, truth.T), truth.T)
    _assert_close(turned, _size_free(figures, truth))


@settings(max_examples=50)
@given(PAIRS, st.integers(0, 8), st.integers(0, 8))
def test_moved_within_the_frame(pair, down, right):
    """No pixel of either mask touches the frame, here or there."""

    def placed(y: int, x: int) -> dict[str, float]:
        masks = []
        for mask in pair:
            canvas = np.zeros((24, 24), bool)
            canvas[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
            masks.append(canvas)
        figures = photo_metrics(*masks, _edge((x + 1, y + 0.3), (x + 9, y + 3)))
        figures.pop("trailing_within_05")  # a point or two lie right at the limit
        return figures

    _assert_close(placed(1 + down, 1 + right), placed(1, 1), 1e-5)


@settings(max_examples=30)
@given(PAIRS, st.integers(0, 2**32))
def test_edge_flipped_and_transposed(pair, seed):
    mask = pair[0]
    edge = np.random.default_rng(seed).uniform(0, mask.shape[::-1], (4, 2))
    expected = trailing_edge_distance(mask, edge, 10)
    mirrored = np.array([mask.shape[1], 0]) + np.array([-1, 1]) * edge
    for turned, along in ((mask[:, ::-1], mirrored), (mask.T, edge[:, ::-1])):
        far = trailing_edge_distance(turned, along, 10)
        assert far[:2] == pytest.approx(expected[:2], rel=1e-5, abs=1e-5)
        assert far[2] == pytest.approx(expected[2], abs=0.005)  # points right at the limit


# brute force


def _ring(mask: np.ndarray) -> np.ndarray:
    """Surface pixels as rows y, x."""
    padded = np.pad(mask.astype(bool), 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask.astype(bool) & ~inner)


def _band(mask: np.ndarray, thick: int) -> np.ndarray:
    left = mask.astype(bool)
    for _ in range(thick):
        padded = np.pad(left, 1)
        height, width = mask.shape
        left = np.all(
            [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0
        )
    return mask.astype(bool) & ~left


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum() if (one | other).any() else 1.0


def _slow(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    height, width = truth.shape
    diagonal = (height**2 + width**2) ** 0.5
    p, t = predicted.astype(bool), truth.astype(bool)
    a, b = _ring(p), _ring(t)
    figures = {
        "dice": 2 * (p & t).sum() / (p.sum() + t.sum()) if (p | t).any() else 1.0,
        "iou": _overlap(p, t),
        "missed": float(t.any() and not p.any()),
        "false": float(p.any() and not t.any()),
    }
    for name, share in (("boundary_iou_2", 0.02), ("boundary_iou_05", 0.005)):
        thick = max(1, round(share * diagonal))
        figures[name] = _overlap(_band(p, thick), _band(t, thick))
    unit = np.ptp(np.flatnonzero(t.any(0))) + 1 if t.any() else width
    if len(a) and len(b):
        apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
        there, back = apart.min(1), apart.min(0)
        worst = max(np.percentile(there, 95), np.percentile(back, 95))
        mean = (there.sum() + back.sum()) / (len(a) + len(b))
        for tolerance in (1, 3):
            near = sum((d <= tolerance * width / 1152).sum() for d in (there, back))
            figures[f"surface_dice_{tolerance}"] = near / (len(a) + len(b))
    else:
        worst = mean = diagonal if len(a) or len(b) else 0
        figures |= dict.fromkeys(("surface_dice_1", "surface_dice_3"), float(not worst))
    return figures | {"hd95": worst * 100 / unit, "assd": mean * 100 / unit}


@cache
def _rendered(seed: int) -> np.ndarray:
    return render(seed, (48, 96)).mask


def _blob(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Noise, blurred or not, cut at some height: from specks to one large shape, or nothing."""
    field = rng.standard_normal(size).astype(np.float32)
    blur = rng.uniform(0, 6)
    if blur > 1:
        field = cv2.GaussianBlur(field, (0, 0), blur)
    return (field > np.quantile(field, rng.choice([0.1, 0.5, 0.8, 0.95, 1]))).astype(np.uint8)


def _spoilt(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A mask as a network might have it: shifted, thicker or thinner, holed, with islands."""
    shift = np.float32([[1, 0, rng.integers(-4, 5)], [0, 1, rng.integers(-4, 5)]])
    mask = cv2.warpAffine(mask, shift, mask.shape[::-1])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(rng.integers(1, 8)),) * 2)
    mask = cv2.morphologyEx(mask, int(rng.choice([0, 1, 2, 3])), kernel)
    for value in rng.integers(0, 2, int(rng.integers(0, 4))):
        y, x = (int(rng.integers(0, side)) for side in mask.shape)
        mask[y : y + int(rng.integers(1, 6)), x : x + int(rng.integers(1, 6))] = value
    return mask


def _pair(rng: np.random.Generator, biggest: int) -> tuple[np.ndarray, np.ndarray]:
    size = tuple(int(side) for side in rng.integers(1, biggest, 2))
    kind = rng.integers(0, 4)
    if kind == 0:
        return _blob(rng, size), _blob(rng, size)
    if kind == 1:
        return tuple((rng.random((2, *size)) < rng.choice([0.01, 0.5, 0.9])).astype(np.uint8))
    truth = _rendered(int(rng.integers(0, 40))) if kind == 2 else _blob(rng, size)
    return _spoilt(rng, truth), truth


def test_against_brute_force():
    rng = np.random.default_rng(5)
    seen = []
    for _ in range(300):
        predicted, truth = _pair(rng, 48)
        figures = photo_metrics(predicted, truth)
        _assert_close(figures, _slow(predicted, truth))
        seen.append(figures)
    for name in seen[0]:  # the pairs are not all alike
        assert len({one[name] for one in seen}) > (1 if name in ("missed", "false") else 40)


def test_wide_bands_against_brute_force():
    rng = np.random.default_rng(6)
    for _ in range(60):
        predicted, truth = _pair(rng, 40)
        share = rng.uniform(0, 0.4)
        thick = max(1, round(share * np.hypot(*truth.shape)))
        expected = _overlap(_band(predicted, thick), _band(truth, thick))
        assert boundary_iou(predicted, truth, share) == expected


def _slow_outline(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to the nearest side of a pixel between fluke and water."""
    sides = []
    for y, x in np.ndindex(*mask.shape):
        if y and mask[y, x] != mask[y - 1, x]:
            sides.append((x, y, x + 1, y))
        if x and mask[y, x] != mask[y, x - 1]:
            sides.append((x, y, x, y + 1))
    if not sides:
        return np.full(len(points), np.inf)
    x0, y0, x1, y1 = np.array(sides).T
    nearest_x, nearest_y = np.clip(points[:, :1], x0, x1), np.clip(points[:, 1:], y0, y1)
    return np.hypot(points[:, :1] - nearest_x, points[:, 1:] - nearest_y).min(1)


def test_outline_against_brute_force():
    rng = np.random.default_rng(7)
    for _ in range(300):
        mask = _pair(rng, 24)[0]
        points = rng.uniform(0, mask.shape[::-1], (int(rng.integers(1, 30)), 2))
        # between pixels too, and on the frame
        points[::3] = np.round(points[::3])
        points[1::3, 0] = np.round(points[1::3, 0])
        np.testing.assert_allclose(
            outline_distances(mask, points), _slow_outline(mask, points), rtol=1e-9, atol=1e-9
        )


def test_far_apart_in_a_large_photo():
    """Squares of such distances are beyond float32."""
    one, other = np.zeros((2, 2400, 3600), np.uint8)
    one[5, 7], other[2390, 3581:3590] = 1, 1
    there, back = surface_distances(one, other)
    np.testing.assert_allclose(there, np.hypot(2385, 3574), rtol=1e-15)
    np.testing.assert_allclose(back, np.hypot(2385, np.arange(3574, 3583)), rtol=1e-15)


def test_whole_distances_are_whole():
    one, other = np.zeros((2, 3, 900), np.uint8)
    one[1, 0], other[1] = 1, 1
    assert np.array_equal(surface_distances(other, one)[0], np.arange(900.0))


# MONAI


@pytest.fixture(scope="module")
def monai_metrics():
    pytest.importorskip("monai", reason="compares with MONAI where it is installed")
    return pytest.importorskip("monai.metrics")


# of MONAI's functions one calls another with an argument that is to go
CALLS_ITSELF_DEPRECATED = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")


@CALLS_ITSELF_DEPRECATED
def test_against_monai(monai_metrics):
    """500 pairs, neither mask empty: there MONAI has NaN or infinity."""
    from monai.metrics import utils

    rng = np.random.default_rng(11)
    pairs = 0
    while pairs < 500:
        predicted, truth = _pair(rng, 64)
        if not (predicted.any() and truth.any()):
            continue
        pairs += 1
        edges = utils.get_mask_edges(predicted, truth, crop=False)
        assert np.array_equal(surface(predicted), edges[0])
        assert np.array_equal(surface(truth), edges[1])
        apart = [utils.get_surface_distance(*pair) for pair in (edges, edges[::-1])]
        pooled = np.concatenate(apart).astype(float)
        pixels = 100 / (np.ptp(np.flatnonzero(truth.any(0))) + 1)
        worst = max(np.percentile(distance.astype(float), 95) for distance in apart)
        # beside what distances can be: those are float32 in MONAI
        tolerance = float(rng.choice([0, 1.01, 2.01, 2.24, 3.5]))
        meant = tolerance * 1152 / truth.shape[1]
        near = surface_dice(predicted, truth, meant)
        assert hd95(predicted, truth) == pytest.approx(worst * pixels, rel=1e-6)
        assert assd(predicted, truth) == pytest.approx(pooled.mean() * pixels, rel=1e-6)
        assert near == pytest.approx((pooled <= tolerance).mean(), rel=1e-6)
        if pairs % 10:
            continue
        # MONAI's own sums take as long as all of the above ten times
        p, t = (torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth))
        whole = {"include_background": True}
        worst = monai_metrics.compute_hausdorff_distance(p, t, percentile=95, **whole).item()
        mean = monai_metrics.compute_average_surface_distance(p, t, symmetric=True, **whole).item()
        assert hd95(predicted, truth) / pixels == pytest.approx(worst, abs=1e-4)  # float32 rank
        assert assd(predicted, truth) == pytest.approx(mean * pixels, rel=1e-6)
        nsd = monai_metrics.compute_surface_dice(p, t, [tolerance], **whole).item()
        assert near == pytest.approx(nsd, rel=1e-6)
        overlap = monai_metrics.compute_dice(p, t).item(), monai_metrics.compute_iou(p, t).item()
        assert (dice(predicted, truth), iou(predicted, truth)) == pytest.approx(overlap, rel=1e-6)
