"""The second look: where it looks, what it replaces, and that it changes nobody else's mask."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_rgb
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from torch import nn

from flukeseg import Segmenter
from flukeseg.data.photo_files import LARGEST, PhotoFiles, photo_loader
from flukeseg.data.photos import read_photo, resize_map, resize_photo
from flukeseg.data.sources import find_sources, name_sources
from flukeseg.data.synthetic import render
from flukeseg.looker import Looker, box_of, share
from flukeseg.masks.cleaning import Cleaning
from flukeseg.masks.geometry import Box
from flukeseg.masks.prediction import Look, MaskSettings, make_prediction
from flukeseg.model.tta import Averaged, average_views, views_of

SIZE = (64, 128)
EVERYTHING = MaskSettings(cleaning=Cleaning(island_share=0.01, hole_share=0, min_coverage=0))
quick = settings(deadline=None, max_examples=60)


class Red(nn.Module):
    """A network that sees a fluke where red is bright; it counts its looks."""

    def __init__(self, size: tuple[int, int] = SIZE) -> None:
        super().__init__()
        self.size, self.views = size, ()
        self.seen: list[tuple[int, ...]] = []

    def predict_step(self, batch: dict[str, torch.Tensor], batch_index: int = 0) -> Averaged:
        self.seen.append(tuple(batch["image"].shape))
        return average_views([self], batch["image"], self.views)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(20 * (image[:, :1] - 0.5))


def square(size: tuple[int, int], top: int, left: int, side: int) -> np.ndarray:
    """A red square on a dark photo."""
    photo = np.full((*size, 3), 10, np.uint8)
    photo[top : top + side, left : left + side, 0] = 250
    return photo


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def look_at(looker: Looker, *photos: np.ndarray) -> list[list[Look]]:
    """Look at photos as one batch, with one empty place at its end."""
    small = np.zeros((len(photos) + 1, *looker.first_size, 3), np.uint8)
    small[:-1] = [resize_photo(photo, looker.first_size) for photo in photos]
    image = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return looker.predict_step({"image": image, "photos": list(photos)})[:-1]


def mask_of(looks: list[Look], photo: np.ndarray) -> np.ndarray:
    return make_prediction(looks, photo.shape[:2], EVERYTHING).mask > 0


def assert_same_looks(one: list[Look], other: list[Look]) -> None:
    assert [look.part for look in one] == [look.part for look in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.probability, b.probability)
        np.testing.assert_array_equal(a.spread, b.spread)
        assert a.disagreement == b.disagreement


# Boxes


MAPS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(0, 1, width=32),
)
SIDES = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(MAPS, SIDES)
@quick
@example(np.eye(3, dtype=np.float32)[:2], (4, 4))  # pixels that begin or end within others
@example(np.eye(3, dtype=np.float32)[1:], (4, 4))
@example(np.eye(3, dtype=np.float32), (1, 200))
@example(np.eye(12, dtype=np.float32)[:, :2], (5, 3))
def test_a_box_lies_in_the_photo_about_all_that_may_be_a_fluke(probability, size):
    box = box_of(probability, size)
    labels, count = ndimage.label(probability > 0.5, np.ones((3, 3)))
    if not count:
        assert box is None
        return
    height, width = size
    assert 0 <= box.x < box.x + box.width <= width
    assert 0 <= box.y < box.y + box.height <= height
    left, top, right, bottom = share(box, size)
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    # what is a tenth of the largest or more; less is an island, to be cleaned away
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    rows, columns = np.nonzero((areas >= 0.1 * areas.max())[labels] & (labels > 0))
    rows_of, columns_of = probability.shape
    assert left <= columns.min() / columns_of + 1e-9
    assert right >= (columns.max() + 1) / columns_of - 1e-9
    assert top <= rows.min() / rows_of + 1e-9
    assert bottom >= (rows.max() + 1) / rows_of - 1e-9


def test_a_box_by_hand():
    probability = np.zeros((10, 20), np.float32)
    probability[4:7, 5:10] = 0.6
    # ten times as large: 50 × 30 at (50, 40), and a fifth about it
    box = box_of(probability, (100, 200))
    assert box == Box(40, 34, 70, 42)
    assert share(box, (100, 200)) == (0.2, 0.34, 0.55, 0.76)
    probability[0, 0] = 0.9  # an island
    assert box_of(probability, (100, 200)) == box
    probability[0, 0:2] = 0.9  # a tenth of the other and more: a fluke too
    assert box_of(probability, (100, 200)) == Box(0, 0, 120, 84)
    assert box_of(np.full((4, 4), 0.5, np.float32), (9, 9)) is None
    assert box_of(np.ones((4, 4), np.float32), (9, 7)) == Box(0, 0, 7, 9)


# Looks


def test_a_small_fluke_has_better_edges_after_a_second_look():
    photo = square((600, 1200), 307, 411, 45)
    truth = photo[..., 0] > 100
    close, plain = (Looker(Red(), views_of("none"), zoom=zoom) for zoom in (True, False))
    (looks,), (look,) = look_at(close, photo), look_at(plain, photo)
    assert (len(looks), len(look)) == (2, 1)
    assert look[0].probability.shape == looks[1].probability.shape == SIZE
    left, top, right, bottom = looks[1].part
    assert left < 411 / 1200 < 456 / 1200 < right < left + 0.1
    assert top < 307 / 600 < 352 / 600 < bottom < top + 0.2
    assert dice(mask_of(look, photo), truth) < 0.95
    assert dice(mask_of(looks, photo), truth) > 0.985


def test_the_first_look_is_smaller_where_there_is_a_second():
    for size, first in {
        (192, 384): (128, 256),
        (288, 576): (192, 384),
        (384, 768): (256, 512),
        (32, 32): (32, 32),
    }.items():
        assert Looker(Red(size), views_of("none"), zoom=True).first_size == first
        assert Looker(Red(size), views_of("none"), zoom=False).first_size == size
    assert Looker(Red(), views_of("none"), size=(96, 192), zoom=False).first_size == (96, 192)


def test_where_nothing_is_found_there_is_one_look():
    network = Red()
    dark = np.full((50, 70, 3), 10, np.uint8)
    for looks in look_at(Looker(network, views_of("flip"), zoom=True), dark, dark):
        assert [look.part for look in looks] == [None]
        assert not mask_of(looks, dark).any()
    assert network.seen == [(3, 3, 32, 96)]
    look_at(Looker(network, views_of("flip"), zoom=True), dark, square((50, 70), 5, 5, 30))
    assert network.seen[1:] == [(3, 3, 32, 96), (3, 3, *SIZE)]  # as many photos in both


def test_a_look_takes_all_views():
    network = Red()
    looker = Looker(network, views_of("flip"), zoom=True)
    assert network.views == views_of("flip")
    (looks,) = look_at(looker, square((100, 200), 20, 30, 40))
    assert [look.disagreement for look in looks] == [0, 0]
    (alone,) = look_at(Looker(network, views_of("none"), zoom=True), square((100, 200), 20, 30, 40))
    assert all(np.isnan(look.disagreement) for look in alone)
    np.testing.assert_allclose(looks[1].probability, alone[1].probability, atol=1e-6)


def test_in_a_batch_each_photo_is_looked_at_as_it_is_alone():
    photos = [
        square((90, 160), 10, 100, 30),
        np.full((40, 40, 3), 10, np.uint8),
        square((300, 200), 250, 3, 9),
        square((64, 128), 0, 0, 64),
    ]
    looker = Looker(Red(), views_of("flip_scale"), zoom=True)
    together = look_at(looker, *photos)
    assert [len(looks) for looks in together] == [2, 1, 2, 2]
    turned = look_at(looker, *photos[::-1])[::-1]
    for photo, one, other in zip(photos, together, turned, strict=True):
        assert_same_looks(one, other)
        (alone,) = look_at(looker, photo)
        assert [look.part for look in alone] == [look.part for look in one]
        np.testing.assert_allclose(alone[-1].probability, one[-1].probability, atol=1e-5)


@pytest.fixture
def photos(tmp_path) -> Path:
    for i, picture in enumerate([square((300, 500), 50, 60, 70), square((90, 160), 10, 100, 30)]):
        write_rgb(tmp_path / f"{2 * i + 1}.png", picture)
    for name in ("0.jpg", "2.jpg", "4.jpg"):
        (tmp_path / name).write_text("no photo")
    write_rgb(tmp_path / "5.png", square((LARGEST // 8, 2 * LARGEST), 20, 2000, 100))
    return tmp_path


@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_photos_that_cannot_be_read_leave_the_others_their_looks(photos, batch_size):
    looker = Looker(Red(), views_of("none"), zoom=True)
    sources = name_sources(find_sources(photos))
    files = PhotoFiles(sources, looker.first_size, 10**7, closer=True)
    looks, readable = [], []
    for batch in photo_loader(files, batch_size, 0):
        assert len(batch["image"]) == batch_size
        own = [file for file in batch["files"] if not file.problem]
        made = looker.predict_step(batch)
        assert len(made) == batch_size
        looks += made[: len(own)]
        readable += own
    assert [Path(file.source.path).name for file in readable] == ["1.png", "3.png", "5.png"]
    for file, of_one in zip(readable, looks, strict=True):
        truth = read_photo(file.source.path)[..., 0] > 100
        assert file.size == truth.shape
        assert len(of_one) == 2
        mask = make_prediction(of_one, file.size, EVERYTHING).mask > 0
        assert dice(mask, truth) > 0.97


# Laying the second over the first


@given(SIDES, st.data())
@quick
def test_a_part_replaces_only_what_is_in_it(size, data):
    height, width = size
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    random = np.random.default_rng(0).random
    first = Look(random((5, 7), np.float32), random((5, 7), np.float32) / 2, 0.25)
    second = Look(random((9, 4), np.float32), random((9, 4), np.float32) / 2, 0.5, share(box, size))
    whole = make_prediction([first], size, EVERYTHING)
    closer = make_prediction([first, second], size, EVERYTHING)
    for name, values in (("probability", second.probability), ("uncertainty", second.spread)):
        laid, before = getattr(closer, name), getattr(whole, name)
        inside = np.zeros(size, bool)
        box.cut(inside)[:] = True
        np.testing.assert_array_equal(laid[~inside], before[~inside])
        np.testing.assert_array_equal(box.cut(laid), resize_map(values, (box.height, box.width)))
    assert (whole.disagreement, closer.disagreement) == (0.25, 0.5)


def test_a_part_finer_than_a_pixel_is_a_pixel():
    first = Look(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32), 0.0)
    second = first._replace(probability=np.ones((4, 4), np.float32), part=(0.5, 0.5, 0.51, 0.51))
    mask = make_prediction([first, second], (4, 4), EVERYTHING).mask
    assert np.argwhere(mask).tolist() == [[2, 2]]


# From Python and from the command line


def test_a_segmenter_looks_once_or_twice(tiny_runs):
    photo = render((7, 3), (150, 300)).image
    close, plain = (
        Segmenter.from_checkpoint(tiny_runs[0], runtime="torch", zoom=zoom)(photo)
        for zoom in (True, False)
    )
    assert [look.probability.shape for look in plain.looks] == [(32, 64)]
    assert [look.probability.shape for look in close.looks] == [(32, 32), (32, 64)]
    for prediction in (close, plain):
        assert prediction.probability.shape == prediction.mask.shape == (150, 300)
        assert prediction.areas
    np.testing.assert_array_equal(
        plain.probability, resize_map(plain.looks[0].probability, (150, 300))
    )
    assert (close.probability != plain.probability).any()


def test_the_job_looks_once_or_twice(run_predict, tiny_runs, capsys):
    photo = render((7, 3), (150, 300)).image
    write_rgb(Path("a.png"), photo)
    for zoom in (True, False):
        run_predict(
            f"checkpoint={tiny_runs[0]}", "source=a.png", f"output={zoom}", f"zoom={zoom}",
            "products=[probability]", "batch_size=1",
        )  # fmt: skip
        segmenter = Segmenter.from_checkpoint(tiny_runs[0], runtime="torch", zoom=zoom)
        levels = read_photo(f"{zoom}/probability/a.png")[..., 0]
        assert np.abs(levels - 255 * segmenter(photo).probability).max() <= 1
    with pytest.raises(SystemExit):
        run_predict(f"checkpoint={tiny_runs[0]}", "source=a.png", "output=out", "zoom=2")
    assert capsys.readouterr().err.endswith("error: zoom=2 must be true or false\n")
    with pytest.raises(SystemExit):
        run_predict(f"checkpoint={tiny_runs[0]}", "source=a.png", "output=True", "zoom=false")
    assert "zoom=True (now False)" in capsys.readouterr().err
