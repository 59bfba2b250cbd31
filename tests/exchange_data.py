"""Prediction folders with masks of one's choice, as the prediction job leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from flukeseg.exchange.predicted_photos import PredictedPhoto, Predictions
from flukeseg.images.encoding import encode_png
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import stamp
from flukeseg.prediction.kept_masks import hash_file


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Draw a mask H×W uint8, 0 or 1, with blobs, holes, specks and parts that touch the frame."""
    height, width = (int(side) for side in rng.integers(1, 90, 2))
    noise = rng.random((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(0.5, 6)))
    mask = (smooth > np.quantile(smooth, rng.uniform(0.2, 0.9))).astype(np.uint8)
    for value in (0, 1):  # holes, then specks
        ys, xs = rng.integers(0, height, 4), rng.integers(0, width, 4)
        mask[ys, xs] = value
    return mask


def random_masks(count: int, seed: int = 17) -> dict[str, np.ndarray]:
    """Draw masks by name; one is empty, one full."""
    rng = np.random.default_rng(seed)
    masks = {f"m{i:03d}": random_mask(rng) for i in range(count - 2)}
    return masks | {
        "empty": np.zeros((40, 60), np.uint8),
        "full": np.ones((31, 57), np.uint8),
    }


def write_predictions(root: Path, masks: Mapping[str, np.ndarray]) -> Path:
    """Write `root/photos` and `root/predicted`, as after a run; names may have `/`."""
    folder = PredictionFolder(root / "predicted")
    with folder.locked():
        for name, mask in masks.items():
            photo = root / "photos" / f"{name}.png"
            photo.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(len(name))
            photo.write_bytes(encode_png(rng.integers(0, 256, (*mask.shape, 3), np.uint8)))
            folder.write(root / "predicted" / "mask" / f"{name}.png", encode_png(mask * 255))
            folder.add_row(row_of(photo, name, mask))
    return root / "predicted"


def row_of(photo: Path, name: str, mask: np.ndarray) -> dict[str, object]:
    """Return the journal's line of a photo."""
    height, width = mask.shape
    return {
        "path": str(photo), "status": "ok" if mask.any() else "no_fluke", "width": width,
        "height": height, "exif_orientation": 1, "flukes": int(mask.any()), "confidence": 0.9,
        "mask": f"mask/{name}.png", "key": str(photo), "name": name, "files": [f"mask/{name}.png"],
        "products": ["mask"], "stamp": stamp(photo),
    }  # fmt: skip


def note_hashes(predicted: Path) -> None:
    """Note in the journal what the masks are now, as a run does: changes are seen from here on."""
    folder = PredictionFolder(predicted)
    with folder.locked():
        for row in list(folder.rows()):
            folder.add_row({**row, "mask_sha256": hash_file(predicted / row["mask"])})


def photos_of(predicted: Path) -> dict[str, PredictedPhoto]:
    """Return the photos of a prediction by name."""
    return {photo.name: photo for photo in Predictions(predicted)}
