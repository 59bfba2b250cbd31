"""Run folders: where a run is written, and `result.json`, written last."""

from __future__ import annotations

import itertools
import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write the result of a run: `figures` and `checkpoint`, or an `error`."""
    with atomic_write(folder / "result.json", sync=True) as partial:
        partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return what `write_result` wrote, or None where a run has not finished.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged; delete it, and go on with ckpt_path=last") from error


def run_dir(name: str, ckpt_path: str | None) -> str:
    """Return a run's folder: a new one by date, or with `last` the newest of this name.

    Raises:
        InputError: there is none to go on with, or several processes would each create one.
    """
    # torchrun and srun start all processes alike; Lightning passes its own the first one's folder
    started = max(int(os.environ.get(key, 1)) for key in ("WORLD_SIZE", "SLURM_NTASKS"))
    if started > 1 and ckpt_path != "last":
        raise InputError(
            f"{started} processes were started together: give them one folder, such as "
            f"hydra.run.dir=outputs/{name}/RUN"
        )
    return _folder(Path("outputs") / name, "", ckpt_path, "checkpoints/last.ckpt")


def sweep_dir(name: str, ckpt_path: str | None) -> str:
    """Return a sweep's folder, as `run_dir` does a run's."""
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
    # created at once, so that two runs that start in the same second do not share it
    for number in itertools.count(1):
        folder = runs / f"{prefix}{date}{'' if number == 1 else f'-{number}'}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return str(folder)


# here, as jobs in other processes import it; cached, so that all of a run gets the same folder
for resolver in (run_dir, sweep_dir):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, use_cache=True, replace=True)
