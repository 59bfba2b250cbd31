"""Run folders, files and names -> the checkpoint file that is meant."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePath
from pickle import UnpicklingError

from flukeseg.errors import InputError
from flukeseg.file_cache import digest_file
from flukeseg.model.exported import SUFFIXES
from flukeseg.pretrained import FOLDER, NETWORKS, locate

log = logging.getLogger(__name__)


def why_unreadable(error: Exception) -> str:
    """Return in a few words what torch says of a file that it cannot load."""
    if isinstance(error, UnpicklingError):  # torch advises to switch its protection off
        return "it holds code, or is no checkpoint at all"
    return " ".join(str(error).split())[:150] or type(error).__name__


def find_checkpoint(path: str | Path, key: str = "checkpoint") -> Path:
    """Return a checkpoint file: itself, the best one of a run's folder, or one of flukeseg's own.

    The best is the one that the run's `result.json` names; where a run has not ended, the one that
    its ModelCheckpoint has chosen so far.

    Args:
        path: file, folder or name. A name is flukeseg's own network, whatever else is called so.
        key: the option it was given by, for errors.

    Raises:
        InputError: there is no checkpoint, or nothing says which of several is the best.
    """
    if str(path) in NETWORKS:
        return _packaged(str(path), key)
    path = Path(str(path))  # an option may be a number
    # not Path.is_file and its kin, which raise on a name that is too long
    if os.path.isfile(path):  # noqa: PTH113
        return path
    if not os.path.isdir(path):  # noqa: PTH112
        raise InputError(f"{key}={path} does not exist; give a run folder or a checkpoint file")
    run = path.parent if path.name == "checkpoints" else path
    if (run / "result.json").is_file() and (best := _named_by_result(run, key)):
        return best
    for folder in (path / "checkpoints", path):
        if files := sorted(p for p in folder.glob("*.ckpt") if p.name != "last.ckpt"):
            return files[0] if len(files) == 1 else _best_so_far(files, key)
    raise InputError(
        f"{key}={path} holds no checkpoint; give a run folder (outputs/<name>/<date>) or a "
        ".ckpt file"
    )


def name_checkpoint(path: Path) -> str:
    """Return a checkpoint's file name with the first 12 digits of its SHA-256."""
    return _with_digest(path.name, digest_file(path))


def learnt_from(name: str) -> str:
    """Return what the checkpoints of networks that learnt a network's masks hold, as plain text."""
    return f"pseudo-labels of {name}"


def has_masks_of(checkpoint: str, name: str) -> bool:
    """Tell whether a checkpoint is a network of `NETWORKS`, or one that learnt its masks.

    That is one that was trained on its pseudo-labels. Files that were exported from either count.

    Args:
        checkpoint: its name or a path; one that does not exist is none.
        name: of the network.
    """
    network = NETWORKS[name]
    if checkpoint == name or Path(checkpoint) == FOLDER / network.file:
        return True
    try:  # each format has its metadata as plain text
        path = find_checkpoint(checkpoint)
        content = path.read_bytes()
    except (InputError, OSError):
        return False
    marks = [learnt_from(name)]
    if path.suffix.lower() in SUFFIXES:  # these name the checkpoint that they were made of
        marks.append(_with_digest(network.file, network.sha256))
    return any(mark.encode() in content for mark in marks)


def _with_digest(name: str, digest: str) -> str:
    return f"{name}@{digest[:12]}"


def _packaged(name: str, key: str) -> Path:
    if Path(name).exists():
        log.warning(
            "%s=%s is the network that comes with flukeseg; for what lies here give ./%s",
            *(key, name, name),
        )
    return locate(name)


def _named_by_result(run: Path, key: str) -> Path | None:
    """Return the checkpoint that a run's `result.json` names; None where it names none."""
    path = run / "result.json"
    best: Path | None = None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        name = result.get("checkpoint")
        best = None if name is None else run / name
        is_there = best is not None and stat.S_ISREG(best.stat().st_mode)
    except FileNotFoundError:
        is_there = False
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give {key} a .ckpt file") from error
    if best is None:  # a run of no epoch, or one that failed
        return None
    if not best.resolve().is_relative_to(run.resolve()) or not is_there:
        raise InputError(
            f"{path} names {name}, which is not in this folder; give {key} a .ckpt file"
        )
    return best


def _best_so_far(files: Sequence[Path], key: str) -> Path:
    """Return the best of a run's checkpoints, by what ModelCheckpoint wrote in the latest one."""
    import torch  # takes seconds, and is seldom needed here

    chosen: list[tuple[int, Path]] = []
    for path in files:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            for name, state in content["callbacks"].items():
                if name.startswith("ModelCheckpoint") and state["monitor"]:
                    # by its name: the folder may have been moved since
                    best = path.with_name(PurePath(state["best_model_path"]).name)
                    chosen += [(content["global_step"], best)] if best in files else []
        except Exception:  # a file that Lightning did not write has no say
            log.debug("%s does not say which checkpoint is best", path, exc_info=True)
    if not chosen:
        raise InputError(
            f"{key}={files[0].parent} holds {len(files)} checkpoints and nothing says which is the "
            "best; give one file"
        )
    return max(chosen)[1]
