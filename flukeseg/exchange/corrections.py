"""Corrected masks as pairs that training takes as they are: `images/` and `masks/`."""

from __future__ import annotations

import filecmp
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.images.encoding import encode_png


def write_corrections(
    output: Path, corrections: Iterable[tuple[PredictedPhoto, np.ndarray]]
) -> Counter[str]:
    """Write `images/` and `masks/` of the photos that somebody went through.

    A mask that nobody changed is the prediction's file, byte for byte. Files that are there already
    with the same content stay as they are. Folders in a photo's name become `__`.

    Args:
        output: folder of the pairs.
        corrections: photos and their masks H×W uint8, 0 or 1; an empty one is no fluke.

    Returns:
        How many masks are `unchanged`, `changed`, and of these `emptied`.

    Raises:
        InputError: a photo comes twice, or two are called alike, or one has gone or was changed.
    """
    counts: Counter[str] = Counter(unchanged=0, changed=0, emptied=0)
    stems: dict[str, Path] = {}
    for photo, mask in corrections:
        stem = photo.name.replace("/", "__")
        if (other := stems.get(stem.casefold())) == photo.path:
            raise InputError(f"{photo.path} comes twice; keep one of its annotations")
        if other is not None:
            raise InputError(f"{other} and {photo.path} would both be {stem}; rename one")
        stems[stem.casefold()] = photo.path
        same = np.array_equal(mask, photo.read_mask())
        content = photo.mask_path.read_bytes() if same else encode_png(mask * 255)
        counts["unchanged" if same else "changed"] += 1
        counts["emptied"] += not same and not mask.any()
        _write(output / "masks" / f"{stem}.png", content)
        _copy(photo.require_photo(), output / "images" / f"{stem}{photo.path.suffix}")
    return counts


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        with atomic_write(path) as partial:
            partial.write_bytes(content)


def _copy(photo: Path, path: Path) -> None:
    if not path.is_file() or not filecmp.cmp(photo, path, shallow=False):
        with atomic_write(path) as partial:
            shutil.copyfile(photo, partial)
