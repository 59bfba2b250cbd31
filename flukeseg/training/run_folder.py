"""What runs came to: `result.json`, written last, and all the runs of a sweep."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; this one may enter again.

    Raises:
        InputError: another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:  # say a Slurm job that outlived whoever submitted it
        raise InputError(f"{folder} is being worked on by another process; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Leave what a run came to: `figures` and `checkpoint`, or an `error`."""
    with atomic_write(folder / "result.json") as partial:
        partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return what `write_result` left, or None where a run has not come to its end."""
    path = folder / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_dir(name: str, ckpt_path: str | None) -> str:
    """Folder for a run: a new one by date, or with `last` the newest of this name to go on with.

    Raises:
        InputError: there is none to go on with, or several processes would each make their own.
    """
    # torchrun and srun start all processes alike; Lightning's own are told the folder of the first
    started = max(int(os.environ.get(key, 1)) for key in ("WORLD_SIZE", "SLURM_NTASKS"))
    if started > 1 and ckpt_path != "last":
        raise InputError(
            f"{started} processes were started together: name one folder for them, such as "
            f"hydra.run.dir=outputs/{name}/RUN"
        )
    return _folder(Path("outputs") / name, "", ckpt_path, "checkpoints/last.ckpt")


def sweep_dir(name: str, ckpt_path: str | None) -> str:
    """Folder for a sweep, as `run_dir`."""
    return _folder(Path("outputs") / name, "sweep_", ckpt_path, "sweep.yaml")


def _folder(runs: Path, prefix: str, ckpt_path: str | None, sign: str) -> str:
    if ckpt_path == "last":
        found = list(runs.glob(f"{prefix}*/{sign}"))
        if not found:
            raise InputError(
                f"ckpt_path=last finds no {sign} in {runs}/{prefix}*; leave it out to start anew"
            )
        return str(max(found, key=lambda p: (p.stat().st_mtime, p)).parents[sign.count("/")])
    date = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    # made here and now, so that two runs that start in one second do not share it
    for number in itertools.count(1):
        folder = runs / f"{prefix}{date}{'' if number == 1 else f'-{number}'}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return str(folder)


# where jobs in other processes import it; cached, so that every part of one run is given one folder
for resolver in (run_dir, sweep_dir):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, use_cache=True, replace=True)
