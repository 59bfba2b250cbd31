"""Everything of a prediction folder as one zip file, with tables that follow corrections."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import MAX_PIXELS, read_mask
from flukeseg.prediction.corrected_products import follow_corrections, prediction_from_mask
from flukeseg.prediction.folder import PredictionFolder, read_settings
from flukeseg.prediction.kept_masks import mask_name
from flukeseg.prediction.products import ProductSettings
from flukeseg.prediction.table import SUMMARY_PLACES, gather

TABLES = (
    "predictions.csv",
    "review.csv",
    "flukes.csv",
    "coco.json",
    "coco_polygons.json",
    "index.html",
)


def bring_up_to_date(folder: PredictionFolder) -> None:
    """Make tables, products and page follow what was corrected.

    Raises:
        InputError: a prediction run holds the folder, which does the same at its end; or a file
            cannot be written.
    """
    with folder.locked():
        settings = read_settings(folder.state / "settings.json")
        sizes = {
            key: tuple(settings[key])
            for key in ("rgbm_size", "aligned_size")
            if settings.get(key) is not None
        }
        made = ProductSettings(
            products=(),
            crop_margin=_crop_margin(settings),
            probability_bits=settings.get("probability_bits", 8),
            **{"rgbm_size": None, **sizes},
        )
        follow_corrections(folder, made, MAX_PIXELS)
        there = [p for p, name in SUMMARY_PLACES.items() if (folder.folder / name).exists()]
        gather(folder, there, MAX_PIXELS, made.crop_margin)


def zip_chunks(folder: PredictionFolder) -> Iterator[bytes]:
    """Give a zip file part by part: masks, crops and cut-outs of each photo, and the tables."""
    sink, margin = _Sink(), _crop_margin(read_settings(folder.state / "settings.json"))
    # PNG and JPEG do not get smaller, and a table is nothing beside them
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in TABLES:
            if (folder.folder / name).exists():
                archive.write(folder.folder / name, name)
                yield sink.take()
        for row in folder.rows():
            if "width" not in row:
                continue
            for name, content in _files(folder, row, margin):
                archive.writestr(name.encode(errors="replace").decode(), content)
                yield sink.take()
    yield sink.take()


def _crop_margin(settings: Mapping[str, Any]) -> float:
    return settings.get("crop_margin", ProductSettings.crop_margin)


def _files(folder: PredictionFolder, row: dict, margin: float) -> Iterator[tuple[str, bytes]]:
    name, path = row["name"], folder.folder / mask_name(row["name"])
    try:
        mask = read_mask(path)
        yield mask_name(name), path.read_bytes()
        if not mask.any():
            return
        prediction = prediction_from_mask(mask, row, MAX_PIXELS)
    except InputError:  # moved since: the tables say so
        return
    for index in range(len(prediction.areas)):
        own = name if index == 0 else f"{name}.fluke{index + 1}"
        yield f"crop/{own}.png", encode_png(prediction.crop(index, margin))
        yield f"cutout/{own}.png", encode_png(prediction.cutout(index))


class _Sink(io.RawIOBase):
    """Keeps what a zip file writes until it is taken; it cannot be sought in."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self.parts.append(bytes(content))
        return len(content)

    def take(self) -> bytes:
        content, self.parts = b"".join(self.parts), []
        return content
