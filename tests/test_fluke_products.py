"""What there is of each fluke: polygons, a table, crops with masks, a dataset; from Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import write_rgb
from exchange_data import note_hashes, write_predictions
from torch.utils.data import DataLoader

import flukeseg
from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.rgbm import read_rgbm
from flukeseg.masks.coco import edge_polygons
from flukeseg.masks.drawing import rotated_rgbm
from flukeseg.masks.geometry import rotated_box
from flukeseg.prediction.prediction import PhotoProbability, Prediction
from flukeseg.rendering import render

PRODUCTS = ["crop", "crop_rgbm", "rotated_rgbm", "rgbm_npy", "coco", "coco_polygons", "flukes"]


def bar(angle: float, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A mask of a bar of 80 × 20 pixels; its right end is lower where the angle is above 0."""
    mask = np.zeros(size, np.uint8)
    corners = cv2.boxPoints(((80, 60), (80, 20), angle))
    return cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory, tiny_runs):
    """A prediction on three photos from Python; one mask was made to have two flukes."""
    root = tmp_path_factory.mktemp("flukes")
    for i in range(3):
        write_rgb(root / f"photos/deep/{i}.png", render((8, i), (60 + i, 110)).image)
    asked = {"checkpoint": tiny_runs[0], "products": PRODUCTS, "crop_margin": 0.1}
    asked |= {"rgbm_size": None, "runtime": "torch", "num_workers": 0, "accelerator": "cpu"}
    flukeseg.predict_folder(root / "photos", root / "out", **asked)
    mask = np.zeros((60, 110), np.uint8)
    mask[10:40, 10:50] = mask[5:25, 70:100] = 255
    cv2.imwrite(str(root / "out/mask/0.png"), mask)
    rows = flukeseg.predict_folder(root / "photos", root / "out", **asked)
    assert rows[0]["status"] == "corrected"
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_has_a_row_for_each_fluke(predicted):
    rows = rows_of(predicted / "out/flukes.csv")
    photos = rows_of(predicted / "out/predictions.csv")
    assert [row["path"] for row in rows].count(photos[0]["path"]) == 2
    assert len(rows) == sum(int(row["flukes"]) for row in photos)
    first, second = rows[:2]
    sides = [f"{part}_{k}" for part in ("box", "crop") for k in ("x", "y", "width", "height")]
    assert [int(first[k]) for k in sides] == [10, 10, 40, 30, 6, 7, 48, 36]
    assert [int(second[k]) for k in sides[:4]] == [70, 5, 30, 20]
    assert (first["area"], first["confidence"]) == ("1200", "1.0")
    assert second["crop"] == "crop/0.fluke2.png"
    for row in rows:
        crop = cv2.imread(str(predicted / "out" / row["crop"]))
        assert crop.shape[:2] == (int(row["crop_height"]), int(row["crop_width"]))
        rgbm = read_rgbm(predicted / "out" / row["crop"].replace("crop/", "crop_rgbm/"))
        np.testing.assert_array_equal(rgbm[..., 2::-1], crop)
        assert (rgbm[..., 3] > 0).sum() == int(row["area"])


def test_coco_names_files_by_their_common_folder(predicted):
    exact, rough = (
        json.loads((predicted / f"out/{name}.json").read_text())
        for name in ("coco", "coco_polygons")
    )
    names = [image["file_name"] for image in exact["images"]]
    assert names == [f"{i}.png" for i in range(3)]
    for one, other in zip(exact["annotations"], rough["annotations"], strict=True):
        assert one["score"] == other["score"]
        assert isinstance(one["segmentation"], dict)
        assert isinstance(other["segmentation"], list)
    assert exact["annotations"][0]["score"] == 1.0
    both = [one for one in exact["annotations"] if one["image_id"] == exact["images"][0]["id"]]
    assert sorted(one["area"] for one in both) == [20 * 30, 30 * 40]  # each of two flukes


def test_polygons_are_the_mask_to_half_a_pixel():
    mask = render((8, 5), (240, 400)).mask
    mask = (cv2.connectedComponents(mask)[1] == 1).astype(np.uint8)
    lines = edge_polygons(mask)
    # at 16 times the size a pixel's edge is a place between pixels
    large = np.zeros([16 * side for side in mask.shape], np.uint8)
    for line in lines:
        points = (np.reshape(line, (-1, 2)) * 16 - 0.5).round().astype(np.int32)
        cv2.fillPoly(large, [points], 1)
    true = np.kron(mask, np.ones((16, 16), np.uint8))
    (true_line, *_), _ = cv2.findContours(true, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    (line, *_), _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    far = max(
        cv2.pointPolygonTest(true_line.astype(np.float32), (float(x), float(y)), True)
        for x, y in line[::7, 0]
    )
    assert abs(far) / 16 < 1.3
    outside = (large != true).sum() / true.sum()
    assert outside < 0.02
    traced = sum(len(one) for one in cv2.findContours(mask, 0, cv2.CHAIN_APPROX_SIMPLE)[0])
    assert sum(len(one) // 2 for one in lines) < 0.7 * traced


def test_polygon_of_a_pixel_and_of_nothing():
    mask = np.zeros((4, 5), np.uint8)
    assert edge_polygons(mask) == []
    mask[3, 4] = 1
    (line,) = edge_polygons(mask)
    assert np.reshape(line, (-1, 2)).mean(axis=0).tolist() == [4.5, 3.5]


@pytest.mark.parametrize("angle", [0, 20, -35, 80])
def test_rotated_box_is_set_straight(angle):
    mask = bar(angle)
    photo = np.dstack([mask * 200] * 3)
    straight = rotated_rgbm(photo, mask, rotated_box(mask))
    assert straight.shape[1] == pytest.approx(82, abs=2)
    assert straight.shape[0] == pytest.approx(22, abs=2)
    assert (straight[..., 3] == 255).mean() > 0.9
    assert straight[5:-5, 5:-5, :3].min() == 200
    wide = rotated_rgbm(photo, mask, rotated_box(mask), margin=0.5)
    assert wide.shape[1] == pytest.approx(2 * straight.shape[1], abs=1)
    assert (wide[..., 3] > 0).sum() == pytest.approx(mask.sum(), rel=0.07)


def test_crops_of_a_prediction_hold_its_fluke_only():
    labels = bar(0)
    labels[5:15, 10:40] = 2
    sure = PhotoProbability(labels > 0, labels * np.nan, float("nan"))
    photo = np.full((*labels.shape, 3), 7, np.uint8)
    one = Prediction(sure, labels, (int((labels == 1).sum()), 300), 1.0, (), photo)
    crop = one.crop_rgbm(1, margin=0.5)
    assert crop.shape == (20, 55, 4)
    assert (crop[..., 3] == 255).sum() == 300
    assert (one.rotated_rgbm(1, margin=0)[..., 3] == 255).all()
    with pytest.raises(InputError, match="there is no fluke 2"):
        one.rotated_rgbm(2)


def test_arrays_are_the_photos_with_their_masks(predicted):
    for i in range(3):
        rgbm = np.load(predicted / f"out/rgbm_npy/{i}.npy")
        photo = cv2.imread(str(predicted / f"photos/deep/{i}.png"))[..., ::-1]
        mask = cv2.imread(str(predicted / f"out/mask/{i}.png"), 0)
        np.testing.assert_array_equal(rgbm, np.dstack([photo, mask]))


def test_folder_is_a_dataset(predicted):
    photos = flukeseg.PredictionDataset(predicted / "out", size=(30, 50))
    batch = next(iter(DataLoader(photos, batch_size=3)))
    assert batch["rgbm"].shape == (3, 4, 30, 50)
    assert batch["name"] == ["0", "1", "2"]
    assert batch["fluke"].tolist() == [0, 0, 0]
    assert set(batch["rgbm"][:, 3].unique().tolist()) == {0, 1}
    flukes = flukeseg.PredictionDataset(predicted / "out", margin=0.1)
    rows = rows_of(predicted / "out/flukes.csv")
    assert len(flukes) == len(rows)
    for sample, row in zip(flukes, rows, strict=True):
        assert (sample["path"], str(sample["fluke"])) == (row["path"], row["fluke"])
        crop = read_rgbm(predicted / "out" / row["crop"].replace("crop/", "crop_rgbm/"))
        expected = torch.from_numpy(crop).permute(2, 0, 1) / 255
        torch.testing.assert_close(sample["rgbm"], expected)
    dropped = flukeseg.PredictionDataset(predicted / "out", transform=flukeseg.MaskDropout(1))
    assert not dropped[0]["rgbm"][3].any()
    with pytest.raises(InputError, match="is not a folder that"):
        flukeseg.PredictionDataset(predicted / "photos")


def test_flukes_of_a_dataset_are_those_of_the_masks_as_they_are_now(tmp_path):
    none, two = np.zeros_like(bar(0)), bar(0)
    two[5:15, 10:40] = 1
    predicted = write_predictions(tmp_path, {"drawn": none, "emptied": bar(0), "same": bar(0)})
    note_hashes(predicted)
    (predicted / "mask/drawn.png").write_bytes(encode_png(255 * two))
    (predicted / "mask/emptied.png").write_bytes(encode_png(none))
    flukes = flukeseg.PredictionDataset(predicted, margin=0.05)
    found = [(sample["name"], sample["fluke"]) for sample in flukes]
    assert found == [("drawn", 1), ("drawn", 2), ("same", 1)]


def test_wrong_settings_from_python_are_errors(predicted):
    with pytest.raises(InputError, match="products=mosk"):
        flukeseg.predict_folder(predicted / "photos", predicted / "o", products=["mosk"])
    with pytest.raises(TypeError, match="ttaa"):
        flukeseg.predict_folder(predicted / "photos", predicted / "o", ttaa="flip")


def test_a_name_gives_a_segmenter():
    segmenter = flukeseg.Segmenter.from_pretrained("rendered", tta="none", runtime="torch")
    assert segmenter.predictor.size == (288, 576)
    with pytest.raises(InputError, match="choose rendered"):
        flukeseg.Segmenter.from_pretrained("rendred")
