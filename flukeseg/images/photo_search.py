"""Photos below a folder or of a glob, without what earlier predictions made of them."""

from __future__ import annotations

import glob
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES

log = logging.getLogger(__name__)

STATE = ".flukeseg"
"""Folder inside an output for what is the program's own; shards each have their files in it."""

PAIRS = ".flukeseg-pairs.json"
"""File beside pairs of photos and masks that were written from predictions."""

COPIES = ".flukeseg-copies"
"""Empty file in a folder of copies of photos that tables name."""


def search_folder(folder: Path, leave_out: Path | None) -> list[str]:
    """Return the photos of a folder and those in it, see `flukeseg.prediction.inputs.find_inputs`.

    Raises:
        InputError: it is the folder to leave out, or photos lie there.
    """
    if folder.resolve() == leave_out:
        raise InputError(f"output={folder} is the source itself; name a folder in it or elsewhere")
    found: list[str] = []
    others: Counter[str] = Counter()
    predictions: list[Path] = []
    hidden = 0
    walk = os.walk(folder, onerror=lambda error: found.append(str(error.filename)))
    for parent, folders, files in walk:
        inside = [Path(parent, name) for name in folders if not name.startswith(".")]
        outputs = [] if leave_out is None else [p for p in inside if p.resolve() == leave_out]
        for path in outputs:
            _refuse_photos(path)
        inside = [path for path in inside if path not in outputs]
        made = {path for path in inside if _is_ours(path)}
        predictions += made
        folders[:] = [path.name for path in inside if path not in made]
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):  # macOS puts a `._x.jpg` that is no photo beside `x.jpg`
                hidden += suffix in IMAGE_SUFFIXES and not name.startswith("._")
                continue
            if suffix in IMAGE_SUFFIXES:
                found.append(os.path.join(parent, name))
            else:
                others[suffix or "no suffix"] += 1
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(8))
        log.info("left out, not photos by their suffix: %s", kinds)
    if hidden:
        log.info("left out, hidden: %d photos", hidden)
    _report_predictions(predictions)
    return found


def files_of_others(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a suffix in a folder and those in it, but for hidden ones and our own."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        inside = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in inside if not _is_ours(Path(parent, name))]
        found += [Path(parent, name) for name in files if name.endswith(suffix)]
    return sorted(found)


def match_glob(pattern: str, leave_out: Path | None) -> list[str]:
    """Return the files that a glob finds.

    Raises:
        InputError: photos lie in the folder to leave out.
    """
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    base = Path(os.path.abspath(Path(*fixed)))
    is_ours = cache(_is_ours)
    found: list[str] = []
    predictions: set[Path] = set()
    left = False
    for name in glob.glob(pattern, recursive=True):
        parents = Path(os.path.abspath(name)).parents
        if Path(name).is_dir():
            continue
        if leave_out in parents:
            left = True
            continue
        if own := [p for p in parents if base in p.parents and is_ours(p)]:
            predictions.update(own)
        else:
            found.append(name)
    if left and leave_out is not None:
        _refuse_photos(leave_out)
    _report_predictions(predictions)
    return found


def _refuse_photos(output: Path) -> None:
    """Check that a folder to leave out holds no photos; where a job began, pictures are its own.

    Raises:
        InputError: there are some.
    """
    photos: list[str] = []
    for parent, folders, files in os.walk(output):
        if _holds_predictions(Path(parent)):
            return
        folders[:] = [name for name in folders if not name.startswith(".")]
        own = (name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES)
        photos += [os.path.join(parent, name) for name in own if not name.startswith(".")]
    if photos:
        raise InputError(
            f"output={output} has photos in it ({len(photos)}, say {min(photos)}), which would be "
            "left out; name an empty folder"
        )


def _holds_predictions(folder: Path) -> bool:
    """Tell whether a prediction began here; one that was refused leaves no settings."""
    state = str(folder / STATE)
    journals = os.path.join(glob.escape(state), "journal-*.jsonl")
    return os.path.exists(os.path.join(state, "settings.json")) or bool(glob.glob(journals))


def _is_ours(folder: Path) -> bool:
    """Tell whether what lies here was predicted, or made of predictions."""
    made = (folder / PAIRS).exists() or (folder / COPIES).exists()
    return made or _holds_predictions(folder)


def _report_predictions(folders: Iterable[Path]) -> None:
    if folders := sorted(folders):
        named = ", ".join(map(str, folders[:5])) + (", …" if len(folders) > 5 else "")
        log.info("left out, predictions and what was made of them (%d): %s", len(folders), named)
