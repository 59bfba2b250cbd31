import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import write_rgb
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_tools

from flukeseg.errors import InputError
from flukeseg.masks.cleaning import Cleaned, Cleaning, clean
from flukeseg.masks.coco import run_lengths
from flukeseg.masks.geometry import Box, rotated_box, tight_box
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.review import Review, confidence
from flukeseg.prediction.prediction import (
    PhotoProbability,
    Prediction,
    make_prediction,
)
from flukeseg.prediction.products import ProductSettings, encode_products
from flukeseg.rendering import render

EVERYTHING = Cleaning(island_share=0.01, hole_share=0, min_coverage=0)
SIZES = array_shapes(min_dims=2, max_dims=2, max_side=24)
MASKS = arrays(np.uint8, SIZES, elements=st.integers(0, 1))
quick = settings(max_examples=60)
# pycocotools 2.0.11 against numpy 2; nothing of ours
of_coco = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def picture(*rows: str) -> np.ndarray:
    """Give a mask drawn with # and dots."""
    return np.array([[mark == "#" for mark in row] for row in rows], np.uint8)


def block(size=(60, 80), top=10, left=20, height=30, width=40) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def prediction_of(mask: np.ndarray, photo: np.ndarray | None = None) -> Prediction:
    """Give the prediction of a network that is sure of this mask."""
    every = MaskSettings(cleaning=EVERYTHING)
    certain = mask.astype(np.float32)
    return make_prediction(
        PhotoProbability(certain, np.zeros_like(certain), 0.0), mask.shape, every, photo
    )


# Cleaning


def test_islands_go_and_a_second_fluke_stays():
    mask = block()  # 1200 pixels
    mask[50:58, 0:20] = 1  # 160: a fluke
    mask[2:12, 0:11] = 1  # 110: an island
    mask[59, 79] = 1
    cleaned = clean(mask, Cleaning())
    assert cleaned.areas == (1200, 160)
    assert cleaned.removed == 111
    assert cleaned.labels[20, 30] == 1
    assert cleaned.labels[52, 5] == 2
    assert not cleaned.labels[:13, :12].any()
    assert cleaned.labels.dtype == np.uint8
    assert clean(mask, Cleaning(island_share=0.05)).areas == (1200, 160, 110)
    assert clean(mask, Cleaning(island_share=1)).areas == (1200,)


def test_corners_join_pixels():
    assert clean(picture("#..", ".#.", "..#"), EVERYTHING).areas == (3,)


@pytest.mark.parametrize(("rows", "columns", "filled"), [(1, 1, True), (2, 4, True), (3, 3, False)])
def test_holes_are_filled_up_to_their_share(rows, columns, filled):
    mask = block(top=10, left=20, height=8, width=9)  # 72 pixels
    mask[12 : 12 + rows, 22 : 22 + columns] = 0
    # 8 pixels are an eighth of the other 64, 9 are more
    assert clean(mask, Cleaning(hole_share=0.125)).areas == (72 if filled else 72 - rows * columns,)
    assert clean(mask, Cleaning(hole_share=0)).areas == (72 - rows * columns,)


def test_what_is_open_to_the_outside_is_no_hole():
    mask = block()
    mask[30:40, 30:35] = 0  # a notch
    assert clean(mask, Cleaning(hole_share=1)).areas == (1150,)
    cut = picture("#####", "#...#", "#...#")  # by the frame
    assert clean(cut, Cleaning(hole_share=1)).areas == (9,)
    ring = picture(".#.", "#.#", ".#.")  # the sides of a hole must be closed, its corners need not
    assert clean(ring, Cleaning(hole_share=1)).areas == (5,)


def test_too_little_is_no_fluke():
    mask = block((100, 100), height=2, width=2)
    assert clean(mask, Cleaning(min_coverage=0.0004)).areas == (4,)
    cleaned = clean(mask, Cleaning(min_coverage=0.0005))
    assert cleaned.areas == ()
    assert cleaned.removed == 4
    assert not cleaned.labels.any()


def test_empty_and_full_masks_and_single_pixels():
    for size in ((1, 1), (1, 9), (7, 1), (5, 6)):
        empty = clean(np.zeros(size, np.uint8), Cleaning())
        assert (empty.areas, empty.removed) == ((), 0)
        assert empty.labels.shape == size
        full = clean(np.ones(size, np.uint8), Cleaning())
        assert full.areas == (np.prod(size),)
        assert (full.labels == 1).all()


def test_of_two_equal_flukes_the_upper_is_first():
    mask = picture("...##", "##...")
    assert clean(mask, EVERYTHING).labels.max(1).tolist() == [1, 2]


@given(MASKS)
@quick
def test_labels_stand_in_the_order_of_their_areas(mask):
    cleaned = clean(mask, EVERYTHING)
    counts = [np.count_nonzero(cleaned.labels == i + 1) for i in range(len(cleaned.areas))]
    assert list(cleaned.areas) == counts == sorted(counts, reverse=True)
    assert cleaned.removed + sum(counts) == np.count_nonzero(mask)
    np.testing.assert_array_equal(cleaned.labels > 0, mask)


def test_more_flukes_than_a_label_can_count():
    mask = np.zeros((40, 40), np.uint8)
    mask[::2, ::2] = 1  # 400 single pixels
    cleaned = clean(mask, EVERYTHING)
    assert len(cleaned.areas) == cleaned.labels.max()
    assert sum(cleaned.areas) == np.count_nonzero(cleaned.labels)
    assert sum(cleaned.areas) + cleaned.removed == 400


CLEANINGS = st.builds(
    Cleaning, st.sampled_from([0.01, 0.1, 0.5, 1.0]), st.floats(0, 1), st.floats(0, 0.5)
)


@given(MASKS, CLEANINGS)
@quick
@example(picture("#....", "...##", "##..."), Cleaning(1, 0, 0))
def test_a_clean_mask_is_labelled_again_the_same(mask, cleaning):
    """The COCO file is made from the masks' files."""
    first = clean(mask, cleaning)
    again = clean((first.labels > 0).astype(np.uint8), EVERYTHING)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert again.areas == first.areas
    assert again.removed == 0


# Geometry


@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.floats(0, 2), st.data())
@quick
def test_grown_boxes_stay_inside_the_frame(size, margin, data):
    x, y = data.draw(st.integers(0, size[1] - 1)), data.draw(st.integers(0, size[0] - 1))
    box = Box(x, y, data.draw(st.integers(1, size[1] - x)), data.draw(st.integers(1, size[0] - y)))
    grown = box.grow(margin, size)
    assert grown.cut(np.zeros(size)).shape == (grown.height, grown.width)
    assert 0 <= grown.x <= box.x
    assert 0 <= grown.y <= box.y
    assert box.x + box.width <= grown.x + grown.width <= size[1]
    assert box.y + box.height <= grown.y + grown.height <= size[0]
    assert box.grow(0, size) == box


def test_a_box_grows_by_a_share_of_its_sides():
    assert Box(20, 30, 10, 40).grow(0.2, (100, 100)) == Box(18, 22, 14, 56)


@given(MASKS)
@quick
def test_the_tight_box_is_tight(mask):
    box = tight_box(mask)
    if box is None:
        assert not mask.any()
        return
    assert box.cut(mask).sum() == mask.sum()
    inside = box.cut(mask)
    for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert side.any()


@given(MASKS)
@quick
def test_the_rotated_box_holds_all_corners_of_all_pixels(mask):
    box = rotated_box(mask)
    if box is None:
        assert not mask.any()
        return
    assert -90 < box.angle <= 90
    assert box.width >= box.height
    y, x = np.nonzero(mask)
    points = np.concatenate([np.stack([x + i, y + j], 1) for i in (0, 1) for j in (0, 1)])
    angle = np.radians(box.angle)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-np.sin(angle), np.cos(angle)])
    away = points - [box.x, box.y]
    assert np.abs(away @ along).max() <= box.width / 2 + 1e-3
    assert np.abs(away @ across).max() <= box.height / 2 + 1e-3
    assert box.width * box.height <= np.prod(tight_box(mask)[2:]) + 1e-2  # and is the smallest


@pytest.mark.parametrize("angle", [-80, -45, -20, 0, 5, 30, 60, 90])
def test_the_rotated_box_of_a_drawn_rectangle(angle):
    corners = cv2.boxPoints(((150.0, 140.0), (160.0, 60.0), float(angle)))
    mask = cv2.fillConvexPoly(np.zeros((300, 300), np.uint8), corners.round().astype(int), 1)
    box = rotated_box(mask)
    assert abs((box.angle - angle + 90) % 180 - 90) < 1
    assert (box.x, box.y) == pytest.approx((150.5, 140.5), abs=1)
    assert (box.width, box.height) == pytest.approx((161, 61), abs=2)


# Review and confidence

ISLANDS = block()
ISLANDS[50:55, :6] = 1
REASONS = {
    "empty": (np.zeros((60, 80), np.uint8), 0.0),
    "cut by the frame": (block(left=40), 0.0),
    "several flukes": (block() | block(top=50, left=2, height=8, width=20), 0.0),
    "splash islands": (ISLANDS, 0.0),
    "views disagree": (block(), 0.11),
    "covers the frame": (block(top=1, left=1, height=58, width=78), 0.0),
    "tiny": (block(height=4, width=5), 0.0),
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_to_look(reason):
    mask, disagreement = REASONS[reason]
    assert Review().reasons(clean(mask, Cleaning()), disagreement, 0.95) == (reason,)


def test_low_confidence_is_a_reason_to_look():
    for limit, reasons in ((0.94, ("unsure",)), (0.8, ())):
        assert Review(unsure=limit).reasons(clean(block(), Cleaning()), 0, 0.85) == reasons
    empty = clean(np.zeros((60, 80), np.uint8), Cleaning())
    assert Review().reasons(empty, 0, 0.2) == ("empty",)  # nobody looks at half a card of sea


@pytest.mark.parametrize("disagreement", [0.0, 0.1, np.nan])
def test_a_good_mask_gives_no_reason(disagreement):
    assert Review().reasons(clean(block(), Cleaning()), disagreement, 0.95) == ()


def test_reasons_follow_their_settings():
    cleaned = Cleaned(block(left=0), (1200,), 100)
    assert Review().reasons(cleaned, 0.5, 0.95) == (
        "cut by the frame", "splash islands", "views disagree",
    )  # fmt: skip
    assert Review(islands=0.1, frame=0.9, disagreement=0.5).reasons(cleaned, 0.5, 0.95) == ()
    assert Review(islands=1, frame=1, tiny=0.3, large=0.2).reasons(cleaned, 0, 0.95) == (
        "covers the frame", "tiny",
    )  # fmt: skip


def test_confidence_by_hand():
    probability = np.array([[0.9, 0.6], [0.3, 0.1]], np.float32)
    mask = (probability > 0.5).astype(np.uint8)
    assert confidence(probability, mask) == pytest.approx(2 * 1.5 / (2 + 1.9))
    assert confidence(probability, 0 * mask) == pytest.approx(0.1)
    assert confidence(mask.astype(np.float32), mask) == 1
    assert confidence(0 * probability, 0 * mask) == 1
    assert confidence(probability, 3 * mask) == confidence(probability, mask)  # labels will do


@given(MASKS, st.floats(0.01, 0.99))
@quick
def test_confidence_is_a_share(mask, weight):
    blurred = cv2.blur(mask.astype(np.float32), (3, 3)) * np.float32(weight)
    assert 0 <= confidence(blurred, (blurred > 0.5).astype(np.uint8)) <= 1


# Products


@pytest.fixture(scope="module")
def whale():
    """Give a rendered photo with its mask, and a second fluke."""
    rendering = render((99, 5), (64, 128))
    photo, mask = rendering.image, rendering.mask.copy()
    mask[:, -8:] = 0
    mask[2:22, -5:] = 1
    return SimpleNamespace(photo=photo, mask=mask, prediction=prediction_of(mask, photo))


def test_a_cut_out_has_the_mask_as_alpha(whale):
    for index, box in enumerate(whale.prediction.boxes):
        cutout = whale.prediction.cutout(index)
        fluke = box.cut(whale.prediction.fluke(index)) > 0
        np.testing.assert_array_equal(cutout[..., 3], 255 * fluke)
        np.testing.assert_array_equal(cutout[fluke][:, :3], box.cut(whale.photo)[fluke])
        assert (cutout[~fluke][:, :3] == 255).all()
        np.testing.assert_array_equal(whale.prediction.white(index), cutout[..., :3])


def test_a_crop_is_the_photo_with_a_margin(whale):
    x, y, width, height = whale.prediction.boxes[1]
    assert (x, y, width, height) == (123, 2, 5, 20)
    crop = whale.prediction.crop(1, margin=0.2)
    # four rows below, and above no more than there are; one column to the left, none to the right
    np.testing.assert_array_equal(crop, whale.photo[0:26, 122:128])
    np.testing.assert_array_equal(whale.prediction.crop(1, 0), whale.photo[2:22, 123:128])


def test_an_overlay_leaves_the_photo_alone(whale):
    before = whale.photo.copy()
    drawn = whale.prediction.overlay()
    np.testing.assert_array_equal(whale.photo, before)
    changed = (drawn != before).any(-1)
    assert drawn.shape == before.shape
    assert {tuple(colour) for colour in drawn[changed]} <= {(255, 0, 255), (255, 255, 0)}
    assert (drawn[2, 125] == (255, 0, 255)).all()  # the second fluke's upper edge
    assert not changed[10, 126]  # and its inside


def test_photo_and_mask_make_four_channels(whale):
    stacked = whale.prediction.rgbm()
    np.testing.assert_array_equal(stacked, np.dstack([whale.photo, 255 * whale.mask]))
    for size in ((32, 64), (7, 5), (200, 300)):
        small = whale.prediction.rgbm(size)
        assert small.shape == (*size, 4)
        assert set(np.unique(small[..., 3])) == {0, 255}
        assert small[..., 3].mean() == pytest.approx(255 * whale.mask.mean(), rel=0.1)


def test_there_is_no_cut_out_of_nothing(whale):
    for index in (2, -1):
        with pytest.raises(InputError, match=f"no fluke {index}: the photo has 2"):
            whale.prediction.cutout(index)
    with pytest.raises(InputError, match="no photo"):
        prediction_of(whale.mask).overlay()


# COCO and files


@of_coco
@given(MASKS)
@quick
@example(np.zeros((3, 4), np.uint8))
@example(np.ones((3, 4), np.uint8))
@example(np.ones((1, 1), np.uint8))
def test_run_lengths_are_those_of_coco(mask):
    lengths = run_lengths(mask)
    assert sum(lengths) == mask.size
    assert all(lengths[1:])
    encoded = coco_tools.frPyObjects({"size": list(mask.shape), "counts": lengths}, *mask.shape)
    np.testing.assert_array_equal(coco_tools.decode(encoded), mask)


@of_coco
@given(MASKS)
@quick
def test_annotations_are_of_their_flukes(mask):
    prediction = prediction_of(mask)
    found = prediction.coco()
    assert len(found) == len(prediction.areas)
    for index, annotation in enumerate(found):
        runs = coco_tools.frPyObjects(annotation["segmentation"], *mask.shape)
        np.testing.assert_array_equal(coco_tools.decode(runs), prediction.fluke(index))
        assert annotation["area"] == coco_tools.area(runs) == prediction.areas[index]
        assert annotation["bbox"] == coco_tools.toBbox(runs).tolist()
        for polygon in annotation["polygons"]:
            assert len(polygon) % 2 == 0
            assert len(polygon) >= 6  # less and COCO's own tools refuse it


def test_polygons_run_through_the_centres_of_the_outermost_pixels():
    (annotation,) = prediction_of(block()).coco()
    (polygon,) = annotation["polygons"]
    corners = set(zip(polygon[::2], polygon[1::2], strict=True))
    assert corners == {(20.5, 10.5), (59.5, 10.5), (59.5, 39.5), (20.5, 39.5)}


def decoded(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


@given(MASKS, st.integers(0, 2**32 - 1))
@quick
def test_a_mask_comes_back_from_every_format(mask, seed):
    photo = np.random.default_rng(seed).integers(0, 255, (*mask.shape, 3), np.uint8)
    prediction = prediction_of(mask, photo)
    wanted = ProductSettings(products=("cutout", "rgbm"), rgbm_size=None)
    files = dict(encode_products(prediction, "sub/x", wanted))
    levels = 255 * mask
    np.testing.assert_array_equal(decoded(files.pop("mask/sub/x.png")), levels)
    stacked = decoded(files.pop("rgbm/sub/x.png"))
    np.testing.assert_array_equal(stacked[..., 3], levels)
    np.testing.assert_array_equal(stacked[..., 2::-1], photo)
    pasted = np.zeros_like(mask)
    names = [f"cutout/sub/x{end}.png" for end in ("", *(f".fluke{i}" for i in range(2, 999)))]
    for box, name in zip(prediction.boxes, names, strict=False):
        box.cut(pasted)[:] |= decoded(files.pop(name))[..., 3]
    np.testing.assert_array_equal(pasted, levels)
    assert not files


def test_every_product_has_its_file(whale, tmp_path):
    every = ("probability", "uncertainty", "overlay", "cutout", "white", "crop", "rgbm")
    made = ProductSettings(products=every, probability_bits=16, rgbm_size=(10, 20))
    files = dict(encode_products(whale.prediction, "x", made))
    twice = [f"{p}/x{end}.png" for p in ("cutout", "white", "crop") for end in ("", ".fluke2")]
    once = [f"{p}/x.png" for p in ("mask", "probability", "uncertainty", "rgbm", "rgbm_20x10")]
    assert sorted(files) == sorted([*twice, *once, "overlay/x.jpg"])
    assert next(iter(files)) == "mask/x.png"
    # a file's colours are those of the array
    write_rgb(tmp_path / "white.png", whale.prediction.white())
    np.testing.assert_array_equal(
        decoded(files["white/x.png"]), cv2.imread(str(tmp_path / "white.png"))
    )


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (16, 65535)])
def test_probabilities_are_whole_numbers_of_full_scale(bits, top):
    ramp = np.linspace(0, 1, 40, dtype=np.float32).reshape(5, 8)
    prediction = make_prediction(PhotoProbability(ramp, ramp / 2, 0.2), (5, 8), MaskSettings())
    wanted = ProductSettings(products=("probability", "uncertainty"), probability_bits=bits)
    files = dict(encode_products(prediction, "x", wanted))
    for product in wanted.products:
        levels = decoded(files[f"{product}/x.png"])
        assert levels.max() == top
        assert np.abs(levels / top - ramp).max() <= 0.5 / top + 1e-6


def test_uncertainty_of_a_single_look_is_black():
    spread = np.full((4, 6), np.nan, np.float32)
    certain = np.ones((4, 6), np.float32)
    prediction = make_prediction(PhotoProbability(certain, spread, np.nan), (8, 12), MaskSettings())
    wanted = ProductSettings(products=("uncertainty",))
    assert not decoded(dict(encode_products(prediction, "x", wanted))["uncertainty/x.png"]).any()
    assert np.isnan(prediction.disagreement)


BAD = {
    "threshold": itertools.product([MaskSettings], [0, 1, -0.1, 1.5, np.nan, "a", True, None]),
    "cleaning.island_share": itertools.product([Cleaning], [0, 0.009, 1.1, np.nan, "a", True]),
    "cleaning.hole_share": itertools.product([Cleaning], [-0.1, 1.1, None]),
    "cleaning.min_coverage": itertools.product([Cleaning], [-0.1, 1.1, "a"]),
    "review.frame": itertools.product([Review], [-0.1, 1.1, np.nan, "a", None]),
    "review.tiny": itertools.product([Review], [2]),
    "crop_margin": itertools.product([ProductSettings], [-1, 2.1, np.nan, np.inf, True, "a"]),
    "probability_bits": itertools.product([ProductSettings], [12, 0, "8", None]),
}


@pytest.mark.parametrize(
    ("key", "kind", "value"), [(key, *case) for key, cases in BAD.items() for case in cases]
)
def test_bad_settings_are_the_users_to_mend(key, kind, value):
    with pytest.raises(InputError, match=f"^{key}={value}") as caught:
        kind(**{key.split(".")[-1]: value})
    assert "\n" not in str(caught.value)


# Up to the photo's size


def test_probabilities_are_enlarged_and_not_a_hard_mask():
    """A slanting edge as a network gives it, eight times enlarged."""
    size, times = (24, 48), 8
    y, x = np.mgrid[: size[0] * times, : size[1] * times] + 0.5
    distance = x - (150 + 0.4 * y)  # from the edge, in pixels of the photo
    small = distance.reshape(size[0], times, size[1], times).mean((1, 3))
    probability = (1 / (1 + np.exp(-small / times))).astype(np.float32)
    truth = distance > 0
    settings = MaskSettings(cleaning=EVERYTHING)
    prediction = make_prediction(
        PhotoProbability(probability, probability * 0, 0.0), truth.shape, settings
    )
    hard = np.kron(probability > 0.5, np.ones((times, times), bool))
    wrong = np.count_nonzero((prediction.labels > 0) != truth)
    assert wrong < 0.1 * np.count_nonzero(hard != truth)
    assert prediction.probability.shape == prediction.size == truth.shape
    assert len(np.unique(prediction.probability)) > 10_000  # and is no mask


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (32, 64), (31, 77)])
def test_predictions_of_any_size(size):
    probability = render((99, 1), (32, 64)).mask.astype(np.float32)
    prediction = make_prediction(
        PhotoProbability(probability, probability / 2, 0.0), size, MaskSettings()
    )
    assert prediction.mask.shape == prediction.uncertainty.shape == size
    assert prediction.coverage == np.count_nonzero(prediction.mask) / prediction.mask.size
    assert 0 <= prediction.confidence <= 1
    assert len(prediction.rotated_boxes) == len(prediction.boxes) == len(prediction.areas)
