"""Photos and masks that people corrected or approved -> pairs to train on."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import IMAGE_SUFFIXES, read_mask, read_photo
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.kept_masks import mask_name

log = logging.getLogger(__name__)


def kept_rows(folder: PredictionFolder) -> Iterator[Mapping[str, Any]]:
    """Give the lines of the journal whose masks a person corrected, approved or emptied."""
    return (row for row in folder.rows() if "width" in row and folder.kept.is_kept(row))


def export_pairs(
    folder: PredictionFolder, output: Path, leave_out: Collection[str] = ()
) -> Counter[str]:
    """Write `images/` and `masks/` of every mask that a person corrected or approved.

    A photo in a subfolder gets the subfolder's name before its own, `a/b.jpg` is `a__b.jpg`. A
    photo that was judged to show no fluke gets an empty mask.

    Args:
        folder: the prediction folder.
        output: where `images/` and `masks/` are made.
        leave_out: names of photos that are not wanted.

    Returns:
        How many pairs come from which verdict.

    Raises:
        InputError: there are none, or a photo or mask cannot be read.
    """
    verdicts = folder.kept.verdicts.latest()
    stems: set[str] = set()
    kinds: Counter[str] = Counter()
    for row in kept_rows(folder):
        if row["name"] in leave_out:
            continue
        said = verdicts.get(row["name"])
        kind = said.verdict if said else "corrected"
        mask = read_mask(folder.folder / mask_name(row["name"]))
        if mask.shape != (row["height"], row["width"]):
            raise InputError(
                f"{folder.folder / mask_name(row['name'])} is {mask.shape[1]} × {mask.shape[0]}, "
                f"its photo {row['width']} × {row['height']}; draw it anew at the photo's size"
            )
        if kind == "no_fluke":
            mask = np.zeros_like(mask)
        stem = _free_stem(row["name"].replace("/", "__"), stems)
        _write(output / "masks" / f"{stem}.png", encode_png(255 * mask))
        suffix = Path(row["key"]).suffix
        if suffix.lower() in IMAGE_SUFFIXES:
            try:
                _write(output / "images" / f"{stem}{suffix}", Path(row["key"]).read_bytes())
            except FileNotFoundError:
                raise InputError(
                    f"{row['key']} is gone; put it back where it was when masks were made"
                ) from None
        else:  # training finds photos by their suffix
            _write(output / "images" / f"{stem}.png", encode_png(read_photo(row["key"])))
        kinds[kind] += 1
    if not kinds:
        raise InputError(
            f"predictions={folder.folder} holds no mask that was corrected or approved; look at "
            f"some with python -m flukeseg.review output={folder.folder}"
        )
    return kinds


def _free_stem(stem: str, taken: set[str]) -> str:
    """Return a stem that no other has, whether or not a disk tells capitals from small letters."""
    numbered = (f"{stem}~{i}" for i in itertools.count(2))
    free = next(s for s in itertools.chain([stem], numbered) if s.casefold() not in taken)
    taken.add(free.casefold())
    return free


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(content)
