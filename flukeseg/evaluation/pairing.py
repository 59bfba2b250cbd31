"""Predicted and true masks of the same photos, from folders, matched by name."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from flukeseg.csv_cells import restore_bytes, unescape_rows
from flukeseg.data.pairs import photo_folder
from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES, MASK_THRESHOLD
from flukeseg.prediction.inputs import InputPhoto, write_list
from flukeseg.prediction.settings import PredictionSettings

log = logging.getLogger(__name__)

TABLE = "predictions.csv"
"""Of an output of `flukeseg.predict`."""

Predict = Callable[[PredictionSettings, Path, Path], object]
"""Predicts the photos of a list into a folder."""


class TrueMask(NamedTuple):
    """The true mask of a photo, and its trailing edge and the photo itself, or None.

    `threshold`: a pixel of the mask is fluke where its grey level is above it. `in_channels`: 4 for
    photos of the product `rgbm`.
    """

    mask: Path
    edge: Path | None = None
    photo: Path | None = None
    threshold: int = MASK_THRESHOLD
    in_channels: int = 3


class PredictedMask(NamedTuple):
    """A predicted mask, or None, with its confidence (or NaN) and its review reasons (or "").

    `seconds`: that the prediction took.
    """

    mask: Path | None = None
    confidence: float = math.nan
    review: str = ""
    seconds: float = math.nan
    probability: Path | None = None


MatchedMasks = dict[str, tuple[TrueMask, PredictedMask]]
"""True and predicted mask of each photo, by name."""


def find_true_masks(
    folder: str | Path,
    threshold: int = MASK_THRESHOLD,
    key: str = "truth",
    in_channels: int = 3,
) -> dict[str, TrueMask]:
    """List the true masks of a folder by name, which is the path without suffix.

    A labelled folder has `masks/`, and beside it `images/`, or `rgbm/` for photos of 4 channels,
    and `edges/` (trailing edges, a CSV with columns x, y in pixels); any other folder is a folder
    of masks. `key` is the option that named it, for errors.

    Raises:
        InputError: there is no such folder, it holds no masks, or two of one name.
    """
    folder = Path(folder)
    masks = folder / "masks" if (folder / "masks").is_dir() else folder
    images = folder / photo_folder(in_channels)
    photos = _by_name(key, images) if images.is_dir() else {}
    edges = folder / "edges"
    found = {
        name: TrueMask(
            path,
            edge if (edge := edges / f"{name}.csv").is_file() else None,
            photos.get(name),
            threshold,
            in_channels,
        )
        for name, path in _by_name(key, masks).items()
    }
    if not found:
        raise InputError(f"{key}={folder} has no masks; name a folder of masks or of pairs")
    return found


def find_predicted(folder: str | Path) -> dict[str, PredictedMask]:
    """List predicted masks by name, from any tool's folder of masks or from `flukeseg.predict`.

    Raises:
        InputError: there is no such folder, it holds no masks or two of one name, or its table
            cannot be read.
    """
    folder = Path(folder)
    if (folder / TABLE).is_file() and (folder / "mask").is_dir():
        return {name: guess for name, _, guess in _read_table(folder)}
    found = {name: PredictedMask(path) for name, path in _by_name("predictions", folder).items()}
    if not found:
        raise InputError(
            f"predictions={folder} has no masks; name a folder of masks or an output of "
            "flukeseg.predict"
        )
    return found


def predict_and_pair(
    predict: Predict, settings: PredictionSettings, truths: Mapping[str, TrueMask], folder: Path
) -> MatchedMasks:
    """Predict on labelled photos into a folder, and match.

    Args:
        predict: runs a prediction.
        settings: of the prediction.
        truths: the photos with their true masks.
        folder: the output of the prediction.

    Raises:
        InputError: a mask has no photo, the prediction fails, or no photo can be read.
    """
    if without := [name for name, truth in truths.items() if truth.photo is None]:
        raise InputError(f"the mask {truths[without[0]].mask} has no photo beside it in images/")
    folder.mkdir(parents=True, exist_ok=True)
    photos = folder / "photos.txt"
    write_list(photos, [truth.photo for truth in truths.values()])
    predict(settings, photos, folder)
    # as the table writes a path
    names = {
        InputPhoto(str(truth.photo), name).key.encode(errors="backslashreplace").decode(): name
        for name, truth in truths.items()
    }
    found = {names[path]: guess for _, path, guess in _read_table(folder) if path in names}
    if found and all(guess.mask is None for guess in found.values()):
        raise InputError(
            f"none of the {len(found)} photos could be read, {folder / TABLE} says why; masks as a "
            "fourth channel want data.in_channels=4"
        )
    return pair(truths, found)


def pair(truths: Mapping[str, TrueMask], guesses: Mapping[str, PredictedMask]) -> MatchedMasks:
    """Match by name, where `a__b` is `a/b` too: so corrected masks are called.

    A true mask without a prediction is matched with an empty one, and a prediction without a true
    mask is left out; both are logged.

    Raises:
        InputError: nothing matches, or two predictions do.
    """
    guesses = _named_as(truths, guesses)
    missing = sorted(truths.keys() - guesses.keys())
    surplus = sorted(guesses.keys() - truths.keys())
    if len(missing) == len(truths):
        raise InputError(
            f"no prediction has the name of a true mask (for example {missing[0]}, but "
            f"{surplus[0]}); rename the predictions"
            if surplus
            else f"there is no prediction for {missing[0]} or any other true mask"
        )
    for found, meaning in (
        (missing, "no prediction, judged as an empty mask"),
        (surplus, "no truth, left out"),
    ):
        if found:
            named = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
            log.warning("%s (%d): %s", meaning, len(found), named)
    return {
        name: (truth, guesses.get(name, PredictedMask())) for name, truth in sorted(truths.items())
    }


def _named_as(
    truths: Mapping[str, TrueMask], guesses: Mapping[str, PredictedMask]
) -> dict[str, PredictedMask]:
    """Return predictions, those in folders under the name that a corrected mask of theirs has."""
    named: dict[str, str] = {name: name for name in guesses if name in truths}
    for name in guesses.keys() - named.keys():
        flat = name.replace("/", "__")
        name_there = flat if flat in truths and flat not in guesses else name
        if (other := named.setdefault(name_there, name)) != name:
            both = " and ".join(sorted((other, name)))
            raise InputError(f"{both} are both predictions of {flat}; rename one")
    return {own: guesses[name] for own, name in named.items()}


def _read_table(folder: Path) -> Iterator[tuple[str, str, PredictedMask]]:
    """Yield the name, the photo's path and the prediction of each row.

    Raises:
        InputError: the table cannot be read, or names a mask outside the folder.
    """
    path = folder / TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in unescape_rows(csv.DictReader(file)):
                mask = row["mask"] or None
                if mask and "\\udc" in mask and not _inside(folder, mask).exists():
                    mask = restore_bytes(mask)
                # a photo that could not be read has no mask; its own name stands in
                name = str(Path(mask or f"mask/{Path(row['path']).name}").with_suffix(""))
                name = name.removeprefix("mask/")
                probability = _inside(folder, f"probability/{name}.png")
                guess = PredictedMask(
                    _inside(folder, mask) if mask else None,
                    float(row["confidence"] or math.nan),
                    row["review"],
                    float(row["seconds"] or math.nan),
                    probability if probability.is_file() else None,
                )
                yield name, row["path"], guess
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of flukeseg.predict ({error}); predict again, or name the "
            "folder of masks itself"
        ) from error


def _inside(folder: Path, name: str) -> Path:
    """Return a file that a table names: the table may be somebody else's, and name any file."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} is outside the folder")
    return path


def _by_name(key: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{key}={folder} is not a folder; name a folder of masks")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{found[name]} and {path} have the same name; keep one of them")
        found[name] = path
    return found
