"""LabelMe: a JSON a photo, with masks as small PNGs."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.outside_files import (
    PhotoFinder,
    check_labels,
    check_size,
    explained,
    read_json,
    read_png,
)
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.shapes import Outline, paint_edges
from flukeseg.images.encoding import encode_png
from flukeseg.images.photo_search import files_of_others
from flukeseg.masks.geometry import tight_box

log = logging.getLogger(__name__)

VERSION = "5.5.0"
"""Of LabelMe's files; 5.2 and later have masks."""

OWN = "flukeseg_sha256"
"""Key of a file's hash as it was exported; LabelMe keeps keys that it does not know."""


def write_files(output: Path, photos: Iterable[PredictedPhoto], label: str) -> None:
    """Write `NAME.json` for each photo; it points at the photo where it lies.

    LabelMe edits files in place: one that is not as it was exported stays, and is counted.

    Args:
        output: folder of the files.
        photos: of the prediction.
        label: of the shapes.
    """
    others = []
    for photo in photos:
        path = (output / f"{photo.name}.json").absolute()
        if path.exists() and not _is_as_exported(path):
            others.append(path)
            continue
        height, width = photo.size
        content = {
            "version": VERSION,
            "flags": {},
            "shapes": [_shape(mask, label) for mask in photo.components()],
            "imagePath": os.path.relpath(photo.path, path.parent),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        content[OWN] = _hash(content)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if others:
        log.warning(
            "%d files are not as they were exported and stay, say %s; delete those that are to be "
            "exported again",
            len(others),
            others[0],
        )


def _is_as_exported(path: Path) -> bool:
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and content.get(OWN) == _hash(content)


def _hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a file's content without the hash that is in it."""
    text = json.dumps({key: content[key] for key in content if key != OWN}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_files(
    folder: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Read the masks H×W uint8, 0 or 1, of a folder of LabelMe's files, searched to its end.

    Masks and polygons with the label count, together. No photo is opened by the path that stands in
    a file: it is only looked up among the prediction's.

    Args:
        folder: of the files, or one of them.
        finder: of the prediction's photos.
        label: of the shapes that count.

    Raises:
        InputError: there are none, or one is wrong.
    """
    paths = [folder] if folder.is_file() else files_of_others(folder, ".json")
    if not paths:
        raise InputError(f"source={folder} has no .json files; name where LabelMe saved")
    for path in paths:
        if path != folder and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} leads out of source={folder}; remove this link")
        content = read_json(path)
        with explained(str(path)):
            photo = _find(path, folder, content["imagePath"], finder)
            check_size(content["imageWidth"], content["imageHeight"], photo)
            yield photo, _mask(content["shapes"], photo, label)


def _find(path: Path, folder: Path, named: str, finder: PhotoFinder) -> PredictedPhoto:
    beside = os.path.normpath(path.absolute().parent / named)
    if finder.knows(beside):
        return finder.find(path, beside)
    # the files were moved: they are called as they were written
    own = path.name if path == folder else path.relative_to(folder).as_posix()
    photo = finder.find_by_any_name(path, own.removesuffix(".json"))
    if re.split(r"[/\\]", named)[-1] != photo.path.name:
        raise ValueError(f"its imagePath {named[:200]!r} is not {photo.path.name}")
    return photo


def _shape(mask: np.ndarray, label: str) -> dict[str, Any]:
    box = tight_box(mask)
    corners = [[box.x, box.y], [box.x + box.width - 1, box.y + box.height - 1]]
    return {
        "label": label,
        "points": corners,
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(encode_png(box.cut(mask) * 255)).decode(),
    }


def _mask(shapes: list[Any], photo: PredictedPhoto, label: str) -> np.ndarray:
    mask = np.zeros(photo.size, np.uint8)
    outlines = []
    check_labels((str(shape["label"]) for shape in shapes), label)
    for shape in shapes:
        if shape["label"] != label:
            continue
        points = np.array(shape["points"], np.float64)
        if shape["shape_type"] == "polygon":
            outlines.append(Outline(points, False))
        elif shape["shape_type"] == "mask":
            (left, top), (right, bottom) = np.round(points).tolist()
            if not (0 <= left <= right < mask.shape[1] and 0 <= top <= bottom < mask.shape[0]):
                raise ValueError("a mask in it lies outside of the photo")
            left, top, right, bottom = map(int, (left, top, right, bottom))
            content = base64.b64decode(shape["mask"], validate=True)
            part = read_png(content, (bottom - top + 1, right - left + 1)).any(axis=2)
            mask[top : bottom + 1, left : right + 1] |= part.astype(np.uint8)
        else:
            raise ValueError(f"it has a {shape['shape_type']}; draw masks or polygons")
    return mask | paint_edges(outlines, photo.size)
