"""The products `edge` and `aligned`, made of a rendered fluke with a network that knows it."""

from __future__ import annotations

import csv
import io
import json

import cv2
import numpy as np
import pytest

from flukeseg.anatomy.alignment import Alignment
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.prediction.inputs import InputPhoto
from flukeseg.prediction.loader import PhotoFile
from flukeseg.prediction.prediction import PhotoProbability, make_prediction
from flukeseg.prediction.products import ProductSettings, encode_products
from flukeseg.prediction.table import COLUMNS, describe
from flukeseg.rendering import render

BOTH = ProductSettings(("edge", "aligned", "overlay"))


@pytest.fixture(scope="module")
def fluke():
    """A rendered fluke of which both tips and the notch are visible."""
    for seed in range(100):
        picture = render((31, seed), (200, 400))
        if len(picture.keypoints) == 1 and np.isfinite(picture.keypoints).all():
            prediction = predict(picture.mask, picture.image)
            if prediction.alignment() is not None:
                return picture, prediction
    raise AssertionError("none of 100 renderings shows tips and notch")


def predict(mask, image):
    certain = mask.astype(np.float32)
    coarse = PhotoProbability(certain, np.zeros_like(certain), 0.0)
    return make_prediction(coarse, mask.shape, MaskSettings(), image)


def test_the_edge_is_written_from_tip_to_tip(fluke):
    picture, prediction = fluke
    made = dict(encode_products(prediction, "sea/a", BOTH))
    rows = list(csv.DictReader(io.StringIO(made["edge/sea/a.edge.csv"].decode())))
    assert list(rows[0]) == ["fluke", "x", "y", "occluded"]
    assert {row["fluke"] for row in rows} == {"1"}
    ends = np.array([[float(row["x"]), float(row["y"])] for row in (rows[0], rows[-1])])
    span = np.hypot(*(picture.keypoints[0, 0] - picture.keypoints[0, 2]))
    tips = sorted(picture.keypoints[0, [0, 2]].tolist())
    assert np.abs(ends - tips).max() < 0.1 * span


def test_the_aligned_fluke_and_its_transform_agree(fluke):
    _, prediction = fluke
    made = dict(encode_products(prediction, "a", BOTH))
    photo = cv2.imdecode(np.frombuffer(made["aligned/a.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    rgbm = cv2.imdecode(np.frombuffer(made["aligned_rgbm/a.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert photo.shape == (256, 512, 3)
    assert np.array_equal(rgbm[..., :3], photo)  # under a mask of 0 too
    said = json.loads(made["aligned/a.json"])
    alignment = Alignment(np.array(said["matrix"]), tuple(said["size"]))
    tips = alignment.to_aligned(
        np.array([prediction.anatomies[0].left_tip.xy, prediction.anatomies[0].right_tip.xy])
    )
    assert np.ptp(tips[:, 1]) == pytest.approx(0, abs=1e-6)
    assert sorted(tips[:, 0]) == pytest.approx([0.06 * 512, 0.94 * 512])
    back = alignment.to_photo(tips)
    assert np.allclose(back[0], prediction.anatomies[0].left_tip.xy)


def test_the_table_has_the_points_where_they_are_known(fluke):
    picture, prediction = fluke
    file = PhotoFile(InputPhoto("a.jpg", "a"), picture.mask.shape)
    row = describe(file, prediction, with_anatomy=True)
    assert {*row} <= {*COLUMNS}
    assert row["span"] > 0
    assert row["view"]
    assert "span" not in describe(file, prediction)
    json.dumps(row, allow_nan=False)  # what is not known is left out, not NaN


def test_a_photo_without_a_fluke_has_neither():
    empty = predict(np.zeros((40, 80), np.uint8), np.zeros((40, 80, 3), np.uint8))
    assert [*dict(encode_products(empty, "a", BOTH))] == ["mask/a.png", "overlay/a.jpg"]


def test_a_speck_says_why_it_has_no_points():
    mask = np.zeros((60, 120), np.uint8)
    mask[20:30, 40:60] = 1
    prediction = predict(mask, np.zeros((60, 120, 3), np.uint8))
    row = describe(PhotoFile(InputPhoto("a.jpg", "a"), mask.shape), prediction, with_anatomy=True)
    assert "smaller than" in row["left_tip_reason"]
    assert "left_tip_x" not in row
    assert prediction.aligned() is None
    assert not any(n.startswith("aligned") for n, _ in encode_products(prediction, "a", BOTH))
