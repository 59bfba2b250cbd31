"""Checkpoint files and run folders -> the module to predict with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from flukeseg.errors import InputError
from flukeseg.model.segmenter import SegmentationModule


def find_checkpoint(path: str | Path) -> Path:
    """Return a checkpoint file: itself, or the best one of a run's folder.

    Raises:
        InputError: there is none.
    """
    path = Path(path)
    # not Path.is_file and its kin, which raise on a name that is too long
    if os.path.isfile(path):  # noqa: PTH113
        return path
    if not os.path.isdir(path):  # noqa: PTH112
        raise InputError(f"checkpoint={path} does not exist; give a run's folder or a .ckpt file")
    for folder in (path / "checkpoints", path):
        if best := [p for p in folder.glob("*.ckpt") if p.name != "last.ckpt"]:
            return max(best, key=lambda p: (p.stat().st_mtime, p.name))
    raise InputError(
        f"checkpoint={path} holds no checkpoint; give a run's folder (outputs/<name>/<date>) or a "
        ".ckpt file"
    )


def name_checkpoint(path: Path) -> str:
    """Tell a checkpoint by its file name and the first 12 digits of its SHA-256."""
    return f"{path.name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def load_checkpoints(paths: Sequence[Path]) -> SegmentationModule:
    """Load one module; the networks of further checkpoints become its companions.

    Only tensors and plain values are loaded: a file that would run code is refused.

    Raises:
        InputError: a file is no checkpoint of flukeseg, or their sizes differ.
    """
    first, *others = (_load(path) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if other.size != first.size:
            raise InputError(
                f"checkpoint={path} learnt at {_size(other)}, {paths[0]} at {_size(first)}; "
                "average checkpoints of one size"
            )
        first.companions.append(other.network)
    return first.eval()


def _load(path: Path) -> SegmentationModule:
    try:
        return SegmentationModule.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler fails in any way it likes on bytes that are no file
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError(
            f"checkpoint={path} cannot be loaded as a flukeseg checkpoint that holds tensors and "
            f"nothing that would run ({reason}); give one that flukeseg.train wrote"
        ) from None


def _size(module: SegmentationModule) -> str:
    height, width = module.size
    return f"{width} × {height}"
