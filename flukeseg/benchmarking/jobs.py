"""Whole prediction jobs, run as a user runs them."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from flukeseg.errors import InputError


def repeat(paths: Sequence[str], count: int, folder: Path) -> Path:
    """Make a folder of so many photos, by links to a few, or copies where links are not allowed."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        source = Path(paths[number % len(paths)])
        link = folder / f"{number:06d}{source.suffix}"
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(source.resolve())
        except OSError:  # Windows allows links to administrators and developers only
            shutil.copy(source, link)
    return folder


def run_prediction(
    source: Path, output: Path, options: Sequence[str], count: int
) -> dict[str, float]:
    """Run `flukeseg.predict` anew; return its seconds, and its main process's peak memory in MB.

    Raises:
        InputError: it fails, or does not make a mask of each photo.
    """
    shutil.rmtree(output, ignore_errors=True)  # or what an earlier benchmark did is not done again
    command = [
        sys.executable, "-m", "flukeseg.predict", f"source={source}", f"output={output}", *options
    ]  # fmt: skip
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        job = subprocess.Popen(command, stdout=told, stderr=told)
        megabytes = _peak_memory(job)
        seconds = time.perf_counter() - started
        made = len(list((output / "mask").rglob("*.png")))
        if job.returncode or made != count:
            told.seek(0)
            end = told.read()[-300:]
            raise InputError(f"{' '.join(command)} made {made} of {count} masks: {end}")
    return {"seconds": seconds, "megabytes": megabytes}


def _peak_memory(job: subprocess.Popen[bytes]) -> float:
    """Wait for a process to end; return its peak memory in MB, or NaN on Windows."""
    if sys.platform == "win32":
        job.wait()
        return math.nan
    _, job.returncode, used = os.wait4(job.pid, 0)
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
