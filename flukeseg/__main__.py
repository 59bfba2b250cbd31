"""The command `flukeseg`: lists the jobs, or runs one."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from typing import NamedTuple, NoReturn

from flukeseg import __version__


class Job(NamedTuple):
    """A module that `python -m` runs, and what it does in one line."""

    module: str
    summary: str


JOBS = {
    "predict": Job("flukeseg.predict", "fluke masks of photos: source=PHOTOS output=DIR"),
    "review": Job(
        "flukeseg.review", "look at masks and correct them in the browser: source=PHOTOS output=DIR"
    ),
    "serve": Job("flukeseg.serve", "masks over HTTP, for other programs: photo_folders=[PHOTOS]"),
    "collect": Job(
        "flukeseg.collect", "pairs of corrected masks, to train on: predictions=DIR output=DIR"
    ),
    "train": Job("flukeseg.train", "train a network: +experiment=seresnet34"),
    "evaluate": Job(
        "flukeseg.evaluate", "judge masks against true ones: predictions=DIR truth=DIR output=DIR"
    ),
    "selftrain": Job(
        "flukeseg.selftrain", "train on photos without masks: source=PHOTOS output=DIR"
    ),
    "export": Job("flukeseg.export", "write a network for other runtimes: format=onnx output=FILE"),
    "sweep": Job("flukeseg.sweep", "table and plots of a sweep's runs: FOLDER"),
    "tables": Job("flukeseg.tables", "tables for re-identification: predictions=DIR output=DIR"),
    "annotations": Job(
        "flukeseg.annotations", "masks to annotation tools, and corrections back: direction=export"
    ),
    "benchmark": Job("flukeseg.benchmark", "measure speed: source=PHOTOS output=DIR"),
    "humpback450": Job("flukeseg.data.humpback450", "download the 450 humpback photos and masks"),
    "render": Job("flukeseg.rendering", "draw a sheet of rendered flukes: FILE"),
}


def main() -> None:
    """Run the command line."""
    name, *options = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(list_jobs())
    elif name == "--version":
        print(f"flukeseg {__version__}")
    elif name in JOBS:
        run(JOBS[name].module, options)
    else:
        near = difflib.get_close_matches(name, JOBS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"jobs: {', '.join(JOBS)}"
        print(f"error: there is no job {name}; {advice}", file=sys.stderr)
        sys.exit(1)


def list_jobs() -> str:
    """Return the jobs, a line each."""
    width = max(map(len, JOBS))
    lines = [f"  {name:<{width}}  {job.summary}" for name, job in JOBS.items()]
    return "\n".join(
        [
            "flukeseg segments whale flukes in photographs: flukeseg JOB OPTION=VALUE …",
            "",
            *lines,
            "",
            "flukeseg JOB --help lists the options of a job; flukeseg --version prints the version",
        ]
    )


def run(module: str, options: list[str]) -> NoReturn:
    """Become `python -m module`: DDP starts its other processes by repeating that command."""
    command = [sys.executable, "-m", module, *options]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(sys.executable, command)
    # Windows' exec returns to the shell at once, while the job is still running
    job = subprocess.Popen(command)
    while True:
        try:
            sys.exit(job.wait())
        except KeyboardInterrupt:  # the job got it too, and ends in its own way
            continue


if __name__ == "__main__":
    main()
