"""Labelled folders to judge on: the validation photos, rendered ones, stressed ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flukeseg.atomic_files import atomic_write
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.evaluation import stress
from flukeseg.evaluation.pairing import TrueMask
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.prediction.inputs import stamp
from flukeseg.rendering import render


def validation_names(data: FlukeDataModule) -> list[str]:
    """Return the names of the photos that a data module validates on."""
    data.setup()
    return list(data.val_set.source.names)


def render_pairs(folder: Path, count: int, size: tuple[int, int], seed: int) -> Path:
    """Write rendered photos of (height, width) with exact masks and trailing edges."""
    settings = {"count": count, "size": list(size), "seed": seed}
    if _is_done(folder, settings):
        return folder
    for number in tqdm(range(count), unit="photo", desc="rendering", leave=False):
        # far from the seeds that are trained on
        picture = render((seed, 0xE7A1, number), size)
        name = f"rendered_{number:04d}"
        _write(folder / "images" / f"{name}.png", picture.image)
        _write(folder / "masks" / f"{name}.png", picture.mask * 255)
        if len(picture.trailing_edge):
            lines = [
                ",\n" if np.isnan(x) else f"{x:.3f},{y:.3f}\n" for x, y in picture.trailing_edge
            ]
            edge = folder / "edges" / f"{name}.csv"
            edge.parent.mkdir(parents=True, exist_ok=True)
            edge.write_text("x,y\n" + "".join(lines), encoding="utf-8")
    return _done(folder, settings)


def stressed_pairs(
    folder: Path, condition: str, truths: Mapping[str, TrueMask], max_pixels: int
) -> Path:
    """Write photos and masks as they are under a condition of the stress suite."""
    photos = {
        name: [str(truth.photo.absolute()), stamp(truth.photo), stamp(truth.mask), truth.threshold]
        for name, truth in truths.items()
    }
    settings = {"condition": condition, "version": stress.VERSION, "photos": photos}
    if _is_done(folder, settings):
        return folder
    for name, truth in truths.items():
        photo = read_photo(truth.photo, max_pixels)
        mask = read_mask(truth.mask, truth.threshold, max_pixels)
        photo, mask = stress.stress(condition, photo, mask, name)
        _write(folder / "images" / f"{name}.png", photo)
        _write(folder / "masks" / f"{name}.png", mask * 255)
    return _done(folder, settings)


def _write(path: Path, image: np.ndarray) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(encode_png(image))


def _is_done(folder: Path, settings: dict[str, object]) -> bool:
    """Tell whether a folder holds what these settings make; if not, it is emptied."""
    path = folder / "made.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) == settings:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _done(folder: Path, settings: dict[str, object]) -> Path:
    # written last, so that a folder that a killed run left is made anew
    with atomic_write(folder / "made.json") as partial:
        partial.write_text(json.dumps(settings), encoding="utf-8")
    return folder
