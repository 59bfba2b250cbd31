"""A second look: made where the photo has the pixels, believed where it agrees and is surer."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import frame_with_a_small_fluke, predict_with, silhouette, write_rgb
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from flukeseg import Segmenter
from flukeseg.evaluation import wide_frames
from flukeseg.images.reading import read_mask
from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.masks.cleaning import Cleaned, Cleaning, clean
from flukeseg.masks.geometry import Box
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability
from flukeseg.masks.second_look import (
    boxes_to_look_at,
    cut_map,
    gain,
    is_confirmed,
    is_kept,
    lay_over,
    with_edge,
)
from flukeseg.model.predictor import Predictor
from flukeseg.model.runtimes import RuntimePredictor
from flukeseg.model.tta import average_looks
from flukeseg.prediction.inputs import InputPhoto
from flukeseg.prediction.loader import PhotoFile, cut_photo
from flukeseg.prediction.looking import Looker
from flukeseg.prediction.prediction import make_prediction
from flukeseg.prediction.settings import PredictionSettings

FIRST, SECOND = (32, 64), (43, 85)


def flukes(*boxes: tuple[int, int, int, int]) -> Cleaned:
    """Flukes of a first look of 32 × 64: x, y, width, height of each."""
    mask = np.zeros(FIRST, np.uint8)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = 1
    return clean(mask, Cleaning(min_coverage=0))


def looked_at(cleaned: Cleaned, photo: tuple[int, int]) -> list[Box]:
    return boxes_to_look_at(cleaned, photo, FIRST, SECOND)


def test_a_small_fluke_gets_its_box_and_a_margin():
    (box,) = looked_at(flukes((20, 10, 10, 5)), (320, 640))
    # 200 to 300 and 100 to 150 with a fifth more at each end, at multiples of 8 outside that
    assert box == Box(176, 88, 144, 72)


@pytest.mark.parametrize(
    ("fluke", "photo"),
    [
        pytest.param((2, 2, 60, 28), (40, 80), id="fills the frame of a photo hardly larger"),
        pytest.param((20, 10, 10, 5), (32, 64), id="photo of the first look's size"),
        pytest.param((20, 10, 10, 5), (38, 78), id="photo hardly larger"),
    ],
)
def test_where_the_photo_has_no_more_to_show_there_is_no_second_look(fluke, photo):
    assert looked_at(flukes(fluke), photo) == []


def test_a_fluke_that_fills_the_frame_is_seen_closer_too():
    assert looked_at(flukes((2, 2, 60, 28)), (320, 640)) == [Box(0, 0, 640, 320)]


def test_each_fluke_has_its_own_look_and_pieces_share_one():
    apart = flukes((2, 4, 8, 4), (48, 20, 8, 4))
    assert len(looked_at(apart, (320, 640))) == 2
    pieces = flukes((20, 10, 8, 4), (30, 10, 8, 4))
    (box,) = looked_at(pieces, (320, 640))
    assert box.x <= 200
    assert box.x + box.width >= 380


def test_boxes_stay_inside_the_photo():
    (box,) = looked_at(flukes((0, 0, 8, 4)), (323, 645))
    assert (box.x, box.y) == (0, 0)
    (box,) = looked_at(flukes((56, 28, 8, 4)), (323, 645))
    assert (box.x + box.width, box.y + box.height) == (645, 323)


def test_gain_is_of_the_photos_own_pixels():
    # a quarter of each side, seen at the photo's own scale, after a tenth of that
    assert gain(Box(0, 0, 160, 80), (320, 640), FIRST, (80, 160)) == pytest.approx(10)
    assert gain(Box(0, 0, 160, 80), (320, 640), FIRST, (160, 320)) == pytest.approx(10)


def soft(left: int, right: int, inside: float) -> np.ndarray:
    values = np.full((8, 16), 0.01, np.float32)
    values[2:6, left:right] = inside
    return values


@pytest.mark.parametrize(
    ("first", "overview", "confirmed"),
    [
        pytest.param(soft(4, 12, 0.9), soft(4, 12, 0.99), True, id="the same and surer"),
        pytest.param(soft(4, 12, 0.9), soft(4, 13, 0.99), True, id="a little more"),
        pytest.param(soft(4, 12, 0.9), soft(4, 12, 0.8), False, id="the same, not as sure"),
        pytest.param(soft(4, 12, 0.9), soft(0, 4, 0.99), False, id="elsewhere"),
        pytest.param(soft(4, 12, 0.9), soft(4, 12, 0.1), False, id="nothing"),
        pytest.param(soft(4, 12, 0.95), soft(4, 7, 0.99), False, id="the first was sure of more"),
        pytest.param(soft(4, 7, 0.52), soft(4, 14, 0.99), True, id="the first was unsure"),
        pytest.param(soft(4, 12, 0.1), soft(4, 12, 0.2), False, id="both nothing"),
    ],
)
def test_an_overview_confirms_where_it_agrees_and_is_surer(first, overview, confirmed):
    assert is_confirmed(first, overview, 0.5) is confirmed


@pytest.mark.parametrize(
    ("close", "kept"),
    [
        pytest.param(soft(4, 12, 0.99), True, id="surer"),
        pytest.param(soft(4, 12, 0.949), True, id="hardly less sure"),
        pytest.param(soft(4, 12, 0.9), False, id="less sure"),
        pytest.param(soft(4, 11, 0.99), False, id="an eighth is lost"),
    ],
)
def test_a_close_look_is_kept_where_it_says_the_same(close, kept):
    assert is_kept(soft(4, 12, 0.95), close, 0.5) is kept


def test_both_looks_say_what_is_fluke_and_the_close_one_where_its_edge_is():
    y, x = np.mgrid[0:48, 0:96].astype(np.float32)
    edge = 1 / (1 + np.exp(((x - 40.3) / 0.3).clip(-30, 30)))
    blurred = resize_map(resize_map(edge, (24, 48)), (48, 96))
    assert np.abs(blurred - edge).max() > 0.2
    # agreeing but for its sharpness, the edge stays where it is and as sharp
    np.testing.assert_allclose(with_edge(blurred, edge), edge, atol=0.02)
    # what the overview alone finds, as here in the middle of the left half, is added
    less = np.where((y >= 12) & (y < 36) & (x < 24), 0.1, edge).astype(np.float32)
    np.testing.assert_allclose(with_edge(edge, less)[18:30, :18], 1, atol=0.02)
    # and what it does not find is taken away; where nothing is to be changed, nothing is
    more = np.where((y >= 12) & (y < 36) & (x >= 66), 0.9, edge).astype(np.float32)
    np.testing.assert_allclose(with_edge(edge, more)[18:30, 78:], 0, atol=0.02)
    np.testing.assert_allclose(with_edge(edge, more)[:, :60], edge[:, :60], atol=0.02)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_an_overview_with_an_edge_is_a_probability_and_alike_looks_are_left(seed, height, width):
    rng = np.random.default_rng(seed)
    overview, close = (rng.random(size, np.float32) for size in ((7, 9), (height, width)))
    found = with_edge(overview, close)
    assert found.shape == close.shape
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    np.testing.assert_array_equal(with_edge(close, close), close)


def test_a_map_is_cut_where_its_box_is():
    rows, columns = np.mgrid[0:32, 0:64].astype(np.float32)
    photo, box = (320, 640), Box(96, 48, 200, 120)
    large = resize_map(columns + 100 * rows, photo)
    part = cut_map(columns + 100 * rows, photo, box, (120, 200))
    np.testing.assert_allclose(part, box.cut(large), atol=0.05)


def test_a_box_is_replaced_without_a_seam_and_to_the_frame():
    whole = np.zeros((64, 128), np.float32)
    lay_over(whole, np.ones((4, 4), np.float32), Box(64, 0, 64, 32))
    assert (whole[:24, 80:] == 1).all()
    assert (whole[:, :64] == 0).all()
    assert (whole[32:] == 0).all()
    assert whole[0, 64] < 0.2
    assert np.abs(np.diff(whole, axis=0)).max() < 0.6


class DarkIsFluke(nn.Module):
    """A network: what is darker than grey is fluke, unless that is more than a share of it."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: Tensor) -> Tensor:
        dark = 0.5 - image.mean(1, keepdim=True)
        share = (dark > 0).float().mean((1, 2, 3), keepdim=True)
        return torch.sigmoid(20 * torch.where(share > self.most, -dark.abs(), dark))


def look_twice(
    photo: np.ndarray, network: DarkIsFluke | None = None, together: int = 1
) -> PhotoProbability:
    """Look at a photo twice by such a network."""
    predictor = Predictor([network or DarkIsFluke(1)], FIRST)
    looker = Looker(predictor, MaskSettings(), SECOND, together=together)
    small = np.moveaxis(resize_photo(photo, FIRST), -1, 0)[None]
    size = photo.shape[:2]
    (looked,) = looker.look_again(predictor.see(small), [size], [partial(cut_photo, photo, size)])
    return looked


@pytest.fixture
def wide() -> np.ndarray:
    """A bright photo with two dark discs."""
    y, x = np.mgrid[0:256, 0:512]
    photo = np.full((256, 512, 3), 200, np.uint8)
    photo[(x - 101.3) ** 2 + (y - 90.7) ** 2 < 30**2] = 40
    photo[(x - 400.2) ** 2 + (y - 150.1) ** 2 < 20**2] = 40
    return photo


def test_a_second_look_places_edges_better(wide):
    truth = (wide[..., 0] < 100).astype(np.uint8)
    looked = look_twice(wide)
    assert [look.believed for look in looked.second] == [True, True]
    both = make_prediction(looked, wide.shape[:2], MaskSettings()).mask > 0
    once = make_prediction(looked._replace(second=()), wide.shape[:2], MaskSettings()).mask > 0
    assert np.count_nonzero(both != truth) < 0.5 * np.count_nonzero(once != truth)


def test_a_second_look_that_disagrees_is_refused(wide):
    looked = look_twice(wide, DarkIsFluke(0.15))
    assert [look.believed for look in looked.second] == [False, False]
    both = make_prediction(looked, wide.shape[:2], MaskSettings())
    once = make_prediction(looked._replace(second=()), wide.shape[:2], MaskSettings())
    np.testing.assert_array_equal(both.probability, once.probability)


def test_disagreement_is_that_of_the_looks_that_count(wide):
    looked = look_twice(wide)._replace(disagreement=0.0)
    seconds = tuple(look._replace(disagreement=0.2) for look in looked.second)
    size = wide.shape[:2]
    assert make_prediction(looked._replace(second=seconds), size, MaskSettings()).disagreement == (
        pytest.approx(0.2)
    )
    one = (seconds[0], seconds[1]._replace(believed=False))
    found = make_prediction(looked._replace(second=one), size, MaskSettings())
    assert found.disagreement == pytest.approx(0.2 * found.areas[0] / sum(found.areas))


def test_a_first_look_as_close_as_an_overview_stands_for_it(wide):
    y, x = np.mgrid[0:256, 0:512]
    large = np.full((256, 512, 3), 200, np.uint8)
    large[((x - 255.3) / 220) ** 2 + ((y - 127.7) / 110) ** 2 < 1] = 40
    sizes = []

    class Counting(DarkIsFluke):
        def forward(self, image: Tensor) -> Tensor:
            sizes.append(tuple(image.shape[2:]))
            return super().forward(image)

    (look,) = look_twice(large, Counting(1)).second
    assert look.believed
    assert sizes == [FIRST, SECOND]
    sizes.clear()
    look_twice(wide, Counting(1))
    assert sizes.count((SECOND[0] // 2, SECOND[1] // 2)) == 2


@pytest.mark.parametrize("predictor", ["torch", "another runtime"])
@pytest.mark.parametrize(
    ("second", "twice", "chosen"),
    [(SECOND, True, True), (SECOND, False, False), (FIRST, True, False)],
)
def test_photos_with_few_pixels_are_seen_at_two_sizes(predictor, second, twice, chosen):
    rng = np.random.default_rng(0)
    photos = [
        rng.integers(0, 256, (*size, 3), np.uint8) for size in ((10, 20), (64, 128), (21, 42))
    ]
    network = DarkIsFluke(1)
    see = Predictor([network], FIRST)
    if predictor != "torch":
        see = RuntimePredictor([lambda image: network(torch.from_numpy(image)).numpy()], FIRST)
    images = np.stack([np.moveaxis(resize_photo(photo, FIRST), -1, 0) for photo in photos])
    looker = Looker(see, MaskSettings(), second, twice)
    found = looker.look_once(images, [photo.shape[:2] for photo in photos])
    once = [see.see(image[None])[0].probability for image in images]
    np.testing.assert_allclose(found[1].probability, once[1], atol=1e-6)
    for number in (0, 2):
        pixels = np.moveaxis(images[number], 0, -1)
        overview = np.moveaxis(resize_photo(pixels, (SECOND[0] // 2, SECOND[1] // 2)), -1, 0)
        smaller = resize_map(see.see(overview[None])[0].probability, FIRST)
        truth = (once[number] + smaller) / 2 if chosen else once[number]
        np.testing.assert_allclose(found[number].probability, truth, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 12), (5, 9), (16, 24)]), st.booleans())
def test_the_mean_of_two_looks_is_that_of_their_views(seed, size, is_single):
    rng = np.random.default_rng(seed)
    views = rng.random((2, 1 if is_single else 3, 8, 12), np.float32)
    looks = [
        PhotoProbability(own.mean(0), own.std(0), float("nan") if is_single else 0.1)
        if not is_single
        else PhotoProbability(own[0], np.full_like(own[0], np.nan), float("nan"))
        for own in views
    ]
    mean = average_looks(*looks)
    every = views.reshape(-1, 8, 12)
    np.testing.assert_allclose(mean.probability, every.mean(0), atol=1e-6)
    np.testing.assert_allclose(mean.spread, every.std(0), atol=1e-6)
    assert (0.0 if is_single else 0.1) <= mean.disagreement <= 1
    # a look is its own mean with itself, and the other's size does not count
    same = average_looks(looks[0], looks[0])
    np.testing.assert_allclose(same.probability, looks[0].probability, atol=1e-6)
    assert same.disagreement == pytest.approx(0.0 if is_single else 0.1)
    other = looks[1]._replace(
        probability=resize_map(looks[1].probability, size), spread=resize_map(looks[1].spread, size)
    )
    assert average_looks(looks[0], other).probability.shape == (8, 12)


def test_looks_at_all_of_a_photo_that_contradict_each_other_disagree():
    flat = np.full((4, 6), np.nan, np.float32)
    full, empty = (np.full((4, 6), value, np.float32) for value in (0.9, 0.0))
    contradicting = average_looks(
        PhotoProbability(full, flat, float("nan")), PhotoProbability(empty, flat, float("nan"))
    )
    assert contradicting.disagreement == 0.5  # the mean's mask is empty, as one of theirs
    np.testing.assert_allclose(contradicting.spread, 0.45, atol=1e-6)


def test_a_prediction_leaves_what_was_seen_as_it_is(wide):
    looked = look_twice(wide)
    # edges may be refined at the photo's own pixels
    sizes = [(look.box.height, look.box.width) for look in looked.second]
    looked = looked._replace(
        refined=resize_map(looked.probability, wide.shape[:2]),
        second=tuple(
            look._replace(refined=resize_map(look.probability, size))
            for look, size in zip(looked.second, sizes, strict=True)
        ),
    )
    before = [looked.refined.copy(), *(look.refined.copy() for look in looked.second)]
    first, again = (make_prediction(looked, wide.shape[:2], MaskSettings()) for _ in range(2))
    np.testing.assert_array_equal(first.mask, again.mask)
    np.testing.assert_array_equal(first.probability, again.probability)
    assert first.uncertainty.shape == wide.shape[:2]
    after = [looked.refined, *(look.refined for look in looked.second)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_of_photos_share_a_batch(wide):
    for one, two in zip(look_twice(wide).second, look_twice(wide, together=3).second, strict=True):
        np.testing.assert_allclose(one.probability, two.probability, atol=1e-6)


def test_a_photo_that_is_gone_keeps_its_first_look(wide, caplog):
    predictor = Predictor([DarkIsFluke(1)], FIRST)
    small = np.moveaxis(resize_photo(wide, FIRST), -1, 0)[None]
    gone = PhotoFile(InputPhoto("gone.jpg", "gone"), wide.shape[:2])
    looker = Looker(predictor, MaskSettings(), SECOND)
    (looked,) = looker.look_at_files(predictor.see(small), [gone])
    assert looked.second == ()
    assert "no second look: gone.jpg" in caplog.text


def test_looks_are_checked():
    with pytest.raises(ValueError, match="look=twice must be one of auto, once"):
        PredictionSettings(look="twice")


def test_an_old_folder_and_one_of_single_looks_record_the_same():
    settings = PredictionSettings()
    assert settings.recorded()["look"] == "auto"
    assert "look" not in replace(settings, look="once").recorded()


# The job, with a tiny network

WITH = ("size=[64,128]", "batch_size=2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Three photos with a fluke that is small in the frame, and two without the pixels."""
    root = tmp_path_factory.mktemp("photos")
    for i in (1, 3, 6):
        write_rgb(root / f"small{i}.png", frame_with_a_small_fluke(i))
    for i in (0, 1):
        write_rgb(root / f"large{i}.png", silhouette(i, (64, 128)))
    return root


@pytest.fixture(scope="module")
def masks(photos, dark_network, tmp_path_factory) -> Path:
    """A prediction with second looks."""
    out = tmp_path_factory.mktemp("masks") / "out"
    predict_with(f"checkpoint={dark_network}", f"source={photos}", f"output={out}", *WITH)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "mask").iterdir())}


def test_a_photo_without_need_has_the_same_bytes(run_predict, photos, masks, dark_network):
    run_predict(f"checkpoint={dark_network}", f"source={photos}", "output=once", "look=once", *WITH)
    once, both = contents(Path("once")), contents(masks)
    assert {name for name in both if once[name] != both[name]} == {
        "small1.png", "small3.png", "small6.png"
    }  # fmt: skip


def test_in_parts_and_started_again_masks_are_the_same(run_predict, photos, masks, dark_network):
    given = f"checkpoint={dark_network}", *WITH
    all_of_them = f"source={photos}"
    for shard in ("1/2", "2/2"):
        run_predict(*given, all_of_them, "output=parts", f"shard={shard}")
    run_predict(*given, f"source={photos}/small3.png", "output=again")
    run_predict(*given, all_of_them, "output=again")
    assert contents(Path("parts")) == contents(Path("again")) == contents(masks)


def test_from_python_there_are_second_looks_too(photos, masks, dark_network):
    segmenter = Segmenter.from_checkpoint(dark_network, size=(64, 128))
    for path in sorted(photos.iterdir()):
        prediction = segmenter(path)
        assert bool(prediction.coarse.second) == path.name.startswith("small")
        np.testing.assert_array_equal(prediction.mask > 0, read_mask(masks / "mask" / path.name))


def test_an_exported_network_looks_twice_too(run_predict, photos, masks, dark_network):
    onnx = dark_network.with_suffix(".onnx")
    run_predict(f"checkpoint={onnx}", f"source={photos}", "output=file", "runtime=auto", *WITH)
    for path in sorted((masks / "mask").iterdir()):
        same = read_mask(path) == read_mask(Path("file/mask") / path.name)
        assert np.count_nonzero(~same) <= 4


def test_the_gain_is_measured_by_a_command(tmp_path, dark_network, monkeypatch, capsys):
    for name in ("one", "two"):
        write_rgb(tmp_path / f"images/{name}.png", frame_with_a_small_fluke(3))
        mask = (frame_with_a_small_fluke(3)[..., 0] < 100).astype(np.uint8) * 255
        write_rgb(tmp_path / f"masks/{name}.png", np.repeat(mask[..., None], 3, axis=2))
    command = ["wide_frames", "--count=0", f"--checkpoint={dark_network}", f"--output={tmp_path}"]
    monkeypatch.setattr(sys, "argv", command)
    wide_frames.main()
    assert "frames: 2 believed, better" in capsys.readouterr().out
