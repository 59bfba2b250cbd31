"""The runs of a sweep, and the result of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from math import inf, isnan
from pathlib import Path

import yaml

from flukeseg.errors import InputError
from flukeseg.training.run_folder import read_result

METRIC = "val/score"
"""What settings are compared by: it chooses the checkpoint of a run, too."""


STOPPED = "stopped.txt"
"""In the folder of a run that was ended early: why."""


REPEATS = ("seed", "data.fold")
"""Options varied to tell chance from effect; metrics are averaged over them."""


NOT_VARIED = ("ckpt_path", "sweep", "logger", "name")
"""Options of how a sweep ran, not of what it compares."""


@dataclass
class Run:
    """One run of a sweep.

    `status` is finished, stopped (below the median), failed or unfinished; `note` explains the
    last three. `figures` are the metrics of the best checkpoint.
    """

    folder: Path
    status: str
    note: str = ""
    options: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


def read_runs(sweep: Path) -> list[Run]:
    """Return the runs of a sweep, in the order they were started.

    Raises:
        InputError: the folder holds none.
    """
    folders = [path for path in sweep.glob("*") if path.name.isdigit() and path.is_dir()]
    if not folders:
        raise InputError(
            f"{sweep} holds no runs; give the folder of a sweep, outputs/<name>/sweep_<date>"
        )
    return [_read_run(folder) for folder in sorted(folders, key=lambda path: int(path.name))]


def higher_is_better(metric: str) -> bool:
    """Return whether a metric is to be high, as no loss or part of one is."""
    return metric.rpartition("/")[2] in ("score", "dice", "soft_dice", "boundary_iou")


def badness(value: float, metric: str) -> float:
    """Return a number that is the lower the better a metric's value is; NaN is the worst."""
    if isnan(value):
        return inf
    return -value if higher_is_better(metric) else value


def best_by_epoch(folder: Path, metric: str) -> list[float]:
    """Return the highest value so far after each epoch, from a run's `metrics.csv`."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    best: list[float] = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = float(row.get(metric) or "nan")
            best.append(max([value, *best[-1:]], key=lambda v: float("-inf") if v != v else v))
    return best


def _read_run(folder: Path) -> Run:
    saved = folder / ".hydra/overrides.yaml"
    try:  # as plain text: a sweep may be somebody else's
        overrides = yaml.safe_load(saved.read_text(encoding="utf-8")) if saved.is_file() else []
        if not isinstance(overrides, list):
            raise ValueError("it is no list")
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{saved} is damaged; remove the run {folder}") from error
    options = dict(str(override).split("=", 1) for override in overrides if "=" in str(override))
    result = read_result(folder)
    if result is None:
        best = best_by_epoch(folder, METRIC)
        note = f"after {len(best)} epochs, {best[-1]:.4f} so far" if best else "no epoch yet"
        return Run(folder, "unfinished", note, options)
    if "error" in result:
        return Run(folder, "failed", result["error"], options)
    if (folder / STOPPED).is_file():
        note = (folder / STOPPED).read_text(encoding="utf-8").strip()
        return Run(folder, "stopped", note, options, result["figures"])
    return Run(folder, "finished", "", options, result["figures"])
