"""Run folders, files and names -> the checkpoint file that is meant."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from flukeseg.errors import InputError
from flukeseg.pretrained import NAMES


def find_checkpoint(path: str | Path, key: str = "checkpoint") -> Path:
    """Return a checkpoint file: itself, the best one of a run's folder, or one of flukeseg's own.

    Args:
        path: file, folder or name.
        key: the option it was given by, for errors.

    Raises:
        InputError: there is none.
    """
    if str(path) in NAMES:
        return _packaged(str(path), key)
    path = Path(path)
    # not Path.is_file and its kin, which raise on a name that is too long
    if os.path.isfile(path):  # noqa: PTH113
        return path
    if not os.path.isdir(path):  # noqa: PTH112
        raise InputError(f"{key}={path} does not exist; give a run's folder or a checkpoint's file")
    for folder in (path / "checkpoints", path):
        if best := [p for p in folder.glob("*.ckpt") if p.name != "last.ckpt"]:
            return max(best, key=lambda p: (p.stat().st_mtime, p.name))
    raise InputError(
        f"{key}={path} holds no checkpoint; give a run's folder (outputs/<name>/<date>) or a "
        ".ckpt file"
    )


def _packaged(name: str, key: str) -> Path:
    if not NAMES[name].is_file():
        raise InputError(
            f"{key}={name} is not in this installation; train it: python -m flukeseg.train "
            f"+experiment={name}"
        )
    return NAMES[name]


def name_checkpoint(path: Path) -> str:
    """Tell a checkpoint by its file name and the first 12 digits of its SHA-256."""
    return f"{path.name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
