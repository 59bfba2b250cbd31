"""Whole prediction jobs, run as a user runs them."""

from __future__ import annotations

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
    """Make a folder of so many photos, by links to a few."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        source = Path(paths[number % len(paths)])
        link = folder / f"{number:06d}{source.suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
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
        _, job.returncode, used = os.wait4(job.pid, 0)
        seconds = time.perf_counter() - started
        made = len(list((output / "mask").rglob("*.png")))
        if job.returncode or made != count:
            told.seek(0)
            end = told.read()[-300:]
            raise InputError(f"{' '.join(command)} made {made} of {count} masks: {end}")
    return {"seconds": seconds, "megabytes": used.ru_maxrss / 1024}
