"""Predicted and true masks of the same photos, from folders, matched by name."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES, MASK_THRESHOLD
from flukeseg.prediction.inputs import InputPhoto

log = logging.getLogger(__name__)

TABLE = "predictions.csv"
"""Of an output of `flukeseg.predict`."""


class TrueMask(NamedTuple):
    """What is known of a photo: its mask; its trailing edge and the photo itself, or None.

    `threshold`: grey of the mask above it is fluke.
    """

    mask: Path
    edge: Path | None = None
    photo: Path | None = None
    threshold: int = MASK_THRESHOLD


class PredictedMask(NamedTuple):
    """A predicted mask, None where there is none; what its maker thought of it, or NaN and "".

    `seconds`: that it took.
    """

    mask: Path | None = None
    confidence: float = math.nan
    review: str = ""
    seconds: float = math.nan
    probability: Path | None = None


def find_true_masks(
    folder: str | Path, threshold: int = MASK_THRESHOLD, key: str = "truth"
) -> dict[str, TrueMask]:
    """List the true masks of a folder by name: path without suffix.

    A labelled folder has `masks/`, and beside it `images/` and `edges/` (trailing edges, a CSV
    with columns x, y in pixels); any other is a folder of masks. `key` is the option that named
    it, for errors.

    Raises:
        InputError: there is no such folder, it holds no masks, or two of one name.
    """
    folder = Path(folder)
    masks = folder / "masks" if (folder / "masks").is_dir() else folder
    photos = _by_name(key, folder / "images") if (folder / "images").is_dir() else {}
    edges = folder / "edges"
    found = {
        name: TrueMask(
            path,
            edge if (edge := edges / f"{name}.csv").is_file() else None,
            photos.get(name),
            threshold,
        )
        for name, path in _by_name(key, masks).items()
    }
    if not found:
        raise InputError(f"{key}={folder} has no masks; name a folder of masks or of pairs")
    return found


def find_predicted(folder: str | Path) -> dict[str, PredictedMask]:
    """List predicted masks by name: of any tool's folder of masks, or of `flukeseg.predict`.

    Raises:
        InputError: as `find_true_masks`.
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


def find_predicted_of(folder: Path, truths: Mapping[str, TrueMask]) -> dict[str, PredictedMask]:
    """Take from an output of `flukeseg.predict` the masks of these photos, by the truth's name."""
    # as the table writes a path
    names = {
        InputPhoto(str(truth.photo), name).key.encode(errors="backslashreplace").decode(): name
        for name, truth in truths.items()
    }
    return {names[path]: guess for _, path, guess in _read_table(folder) if path in names}


def _read_table(folder: Path) -> Iterator[tuple[str, str, PredictedMask]]:
    """Give each row's name, its photo's path and what was predicted."""
    with (folder / TABLE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            # one that could not be read has no mask, and is named as its photo
            name = str(Path(row["mask"] or f"mask/{Path(row['path']).name}").with_suffix(""))
            name = name.removeprefix("mask/")
            probability = folder / "probability" / f"{name}.png"
            guess = PredictedMask(
                folder / row["mask"] if row["mask"] else None,
                float(row["confidence"] or math.nan),
                row["review"],
                float(row["seconds"] or math.nan),
                probability if probability.is_file() else None,
            )
            yield name, row["path"], guess


def pair(
    truths: dict[str, TrueMask],
    guesses: dict[str, PredictedMask],
    names: Collection[str] | None = None,
) -> dict[str, tuple[TrueMask, PredictedMask]]:
    """Match by name. A truth without prediction counts as a mask that is empty, and is told so.

    Args:
        truths: by name.
        guesses: by name; those without truth are left out, and told.
        names: the photos to judge; None is all.

    Raises:
        InputError: nothing matches.
    """
    wanted = truths if names is None else {name: truths[name] for name in names}
    missing = sorted(wanted.keys() - guesses.keys())
    surplus = sorted(guesses.keys() - truths.keys())
    if len(missing) == len(wanted):
        raise InputError(
            f"no prediction bears the name of a true mask (say {missing[0]}, but {surplus[0]})"
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
        name: (truth, guesses.get(name, PredictedMask())) for name, truth in sorted(wanted.items())
    }


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
