"""What is made of masks that a person changed: their rows and products follow them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.reading import read_mask
from flukeseg.masks.cleaning import COMPONENTS, clean
from flukeseg.masks.drawing import draw_thumbnail
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import InputPhoto, photo_key, stamp
from flukeseg.prediction.journal import read_row_photo
from flukeseg.prediction.kept_masks import PHOTO_REPLACED, hash_file, mask_name
from flukeseg.prediction.loader import PhotoFile
from flukeseg.prediction.page import thumbnail_path
from flukeseg.prediction.prediction import PhotoProbability, Prediction
from flukeseg.prediction.products import ProductSettings, encode_products
from flukeseg.prediction.table import describe

log = logging.getLogger(__name__)

KEPT_COLUMNS = (
    "key", "name", "mask_sha256", "mask_stamp", "checkpoint", "threshold", "seconds", "generation",
    "in_channels",
)  # fmt: skip
"""Of a line of the journal, those that a correction does not change."""

SAID = ("fluke_probability", "fluke_probabilities", "confidence", "disagreement", "review")
"""Columns that hold what the network said of a mask."""


def follow_corrections(
    folder: PredictionFolder,
    settings: ProductSettings,
    max_pixels: int,
    named: Sequence[str] = (),
) -> None:
    """Make rows and products anew from the masks that a person changed since they were made.

    Masks that are a person's get the products that they lack too; no network is asked. What a
    person drew counts as certain: probabilities are 0 and 1, and all views agree. Where a photo is
    not there, on a disk that is not connected say, its row waits for it as it is.

    Args:
        folder: locked by this process.
        settings: which products are wanted; those that a photo has are kept up to date too.
        max_pixels: photos with more are not decoded.
        named: photos that the user named, which are read where they were replaced too.

    Raises:
        InputError: a file cannot be written.
    """
    keys: set[str] | None = None
    away = []
    for row in folder.rows():
        if not folder.kept.is_kept(row):
            _adopt(folder, row)
        elif stamp(row["key"]) is None:
            away.append(row["path"])
        elif not _is_up_to_date(folder, row, settings):
            if keys is None:  # rarely needed, and as many as there are photos
                keys = {photo_key(path) for path in named}
            if row["key"] in keys:
                _note_replaced(folder, row)
            _follow(folder, row, settings, max_pixels)
    if away:
        log.warning(
            "%d photos whose masks were corrected or approved are not there (first: %s); their "
            "rows and products stay as they are until the photos are put back",
            len(away),
            away[0],
        )


def _adopt(folder: PredictionFolder, row: Mapping[str, Any]) -> None:
    """Note the hash of a mask where an older version did not, so that changes are seen from now."""
    if "mask" in row and "mask_sha256" not in row and not folder.kept.is_damaged(row):
        digest = hash_file(folder.folder / row["mask"])
        if digest is not None:
            folder.add_row({**row, "mask_sha256": digest, "written": time.time()})


def _note_replaced(folder: PredictionFolder, row: dict[str, Any]) -> None:
    """Take the photo that is there now for a line's, and note where it is not the one judged.

    A file of as many bytes is the same photo, copied without its date.
    """
    before, now = row.get("stamp"), stamp(row["key"])
    if isinstance(before, list) and now and before[:1] != now[:1]:
        row["outdated_judgement"] = folder.kept.judgement(row)
        log.warning(
            "%s was replaced after its mask was corrected or approved: the mask is kept, and no "
            "pair is made of it until it is judged again",
            row["path"],
        )
    row["stamp"] = now


def _is_up_to_date(
    folder: PredictionFolder, row: Mapping[str, Any], settings: ProductSettings
) -> bool:
    digest = hash_file(folder.folder / mask_name(row["name"]))
    return (
        not row["status"].startswith("unreadable")
        and row.get("made_from_sha256", row.get("mask_sha256")) == digest
        and row.get("stamp") == stamp(row["key"])
        and ("outdated_judgement" in row) == folder.kept.is_outdated(row)
        and set(settings.products) <= set(row["products"])
        and folder.has_files(row)
    )


def _follow(
    folder: PredictionFolder,
    row: Mapping[str, Any],
    settings: ProductSettings,
    max_pixels: int,
) -> None:
    path = folder.folder / mask_name(row["name"])
    photo = InputPhoto(row["path"], row["name"])
    wanted = settings.including(row["products"])
    with folder.kept.locked():  # not while the mask is being replaced by another correction
        digest = hash_file(path)
        problem, prediction = "", None
        try:
            prediction = prediction_from_mask(
                read_mask(path, max_pixels=max_pixels), row, max_pixels
            )
        except InputError as error:
            problem = str(error).removeprefix(row["key"]).strip()
    names = [mask_name(row["name"])]
    if prediction is not None:
        for name, content in encode_products(prediction, row["name"], wanted):
            if name != names[0]:
                folder.write(folder.folder / name, content)
                names.append(name)
        thumbnail = draw_thumbnail(prediction.photo, prediction.mask)
        folder.write(thumbnail_path(folder.state, row["name"]), thumbnail)
        for name in {*row["files"]} - {*names}:  # cut-outs of flukes that are gone
            (folder.folder / name).unlink(missing_ok=True)
    made: dict[str, Any] = {key: row[key] for key in KEPT_COLUMNS if key in row}
    height_width = (0, 0) if prediction is None else prediction.size
    orientation = row.get("exif_orientation", 1)
    # not the stamp of another file, which is then looked at again next time
    file = PhotoFile(photo, height_width, orientation, problem, 0.0, row.get("stamp"))
    made |= describe(file, prediction, wanted.with_anatomy)
    if digest != row.get("mask_sha256"):
        made["made_from_sha256"] = digest
        if prediction is not None:
            made["status"] = "corrected"
    elif prediction is not None and "confidence" in row and "outdated_judgement" not in row:
        # approved as it was: what the network said of it still holds
        made |= {key: row[key] for key in SAID if key in row}
    if folder.kept.is_outdated(row):
        made |= {"outdated_judgement": row["outdated_judgement"], "review": PHOTO_REPLACED}
    sizes = [(stamp(folder.folder / name) or [0])[0] for name in names]
    made |= {"mask": names[0], "files": names, "sizes": sizes, "stamp": file.stamp}
    made |= {"products": sorted({"mask", *wanted.products}), "written": time.time()}
    folder.add_row(made)


def prediction_from_mask(mask: np.ndarray, row: Mapping[str, Any], max_pixels: int) -> Prediction:
    """Make a prediction of a mask H×W uint8, 0 or 1, as if a network had been sure of it.

    Raises:
        InputError: the photo cannot be read, or the mask is not of its size.
    """
    photo = read_row_photo(row, max_pixels)
    if photo.shape[:2] != mask.shape:
        (height, width), (own_height, own_width) = mask.shape, photo.shape[:2]
        raise InputError(
            f"its corrected mask is {width} × {height}, the photo {own_width} × {own_height}: "
            f"draw {mask_name(row['name'])} anew at the photo's size, or delete it to have it made"
        )
    probability = mask.astype(np.float32)
    labels, areas, _ = clean(mask, COMPONENTS)
    sure = PhotoProbability(probability, np.zeros_like(probability), float("nan"))
    return Prediction(
        coarse=sure,
        labels=labels,
        areas=areas,
        confidence=1.0,
        reasons=(),
        photo=photo,
        drawn=mask,
        fluke_probabilities=(1.0,) * len(areas),
        fluke_probability=1.0 if areas else math.nan,
    )
