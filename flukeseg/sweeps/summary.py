"""The table of a sweep: settings, ranked by their mean."""

from __future__ import annotations

import csv
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean, stdev

from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import escape_cell
from flukeseg.errors import InputError
from flukeseg.sweeps.runs import METRIC, NOT_VARIED, REPEATS, Run, badness, read_runs
from flukeseg.sweeps.sweep_plots import draw_curve, draw_parallel, short


@dataclass
class Setting:
    """Runs that differ in seed or fold only; `values` are the options that the sweep varies."""

    values: tuple[str, ...]
    runs: list[Run]

    def mean(self, figure: str) -> float:
        """Return the mean of a figure over the runs."""
        return fmean(run.figures.get(figure, float("nan")) for run in self.runs)

    def spread(self, figure: str) -> float:
        """Return the standard deviation of a figure between runs; NaN of one run.

        NaN too where a run has no such figure, as other losses have other parts.
        """
        values = [run.figures.get(figure, float("nan")) for run in self.runs]
        is_known = len(values) > 1 and all(map(isfinite, values))
        return stdev(values) if is_known else float("nan")


def summarise(folder: Path, metric: str | None = None) -> None:
    """Print the table of a sweep and its winner; write `table.csv`, `curve.png`, `parallel.png`.

    Args:
        folder: of the sweep.
        metric: what settings are ranked by; None is `METRIC`, or `val/dice` of runs made before
            there was one.

    Raises:
        InputError: the folder holds no runs, or none has the metric.
    """
    runs = read_runs(folder)
    done = [run for run in runs if run.status == "finished"]
    varied = varied_options(runs)
    if metric is None:
        metric = METRIC if any(METRIC in run.figures for run in done) else "val/dice"
    if done and not any(metric in run.figures for run in done):
        known = ", ".join(sorted(done[0].figures))
        raise InputError(f"--metric {metric} is not a metric of these runs; they have {known}")
    settings = ranked(done, varied, metric)
    figures = [metric, *sorted({f for run in done for f in run.figures if f != metric})]
    if settings:
        print_table(settings, varied, metric)
        write_table(folder / "table.csv", settings, varied, figures)
        made = [folder / "table.csv"]
        shown = [figure for figure in figures if not figure.endswith("loss")]
        made += draw_curve(folder / "curve.png", done, varied, [f for f in shown if "bce" not in f])
        made += draw_parallel(folder / "parallel.png", settings, varied, metric)
        print("written: " + ", ".join(str(path) for path in made))
        print("the winner again: " + command(settings[0], metric))
    report_unfinished(runs)


def varied_options(runs: Sequence[Run]) -> list[str]:
    """Return the options that differ between runs, except seed and fold."""
    keys = dict.fromkeys(key for run in runs for key in run.options)
    return [
        key
        for key in keys
        if key not in (*REPEATS, *NOT_VARIED) and len({run.options.get(key) for run in runs}) > 1
    ]


def ranked(runs: Iterable[Run], varied: Sequence[str], metric: str) -> list[Setting]:
    """Return the settings, the best mean first; last, those with a run that lacks the metric."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.options.get(key, "") for key in varied), []).append(run)
    settings = [Setting(values, members) for values, members in groups.items()]
    return sorted(settings, key=lambda setting: badness(setting.mean(metric), metric))


def print_table(settings: Sequence[Setting], varied: Sequence[str], metric: str) -> None:
    """Print a row a setting: its options, the mean, the spread between its runs, their number."""
    rows = [(*varied, metric, "spread", "runs")]
    for setting in settings:
        spread = setting.spread(metric)
        text = "" if spread != spread else f"{spread:.4f}"
        values = map(short, setting.values)
        rows.append((*values, f"{setting.mean(metric):.4f}", text, str(len(setting.runs))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def write_table(
    path: Path, settings: Sequence[Setting], varied: Sequence[str], figures: Sequence[str]
) -> None:
    """Write the same table with every metric."""
    columns = [name for figure in figures for name in (figure, f"{figure} spread")]
    with (
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([*varied, "runs", *columns])
        for setting in settings:
            pairs = ((setting.mean(figure), setting.spread(figure)) for figure in figures)
            cells = ["" if value != value else value for pair in pairs for value in pair]
            writer.writerow([*map(escape_cell, setting.values), len(setting.runs), *cells])


def command(setting: Setting, metric: str) -> str:
    """Return the command that trains the best run of a setting again."""
    best = min(setting.runs, key=lambda r: badness(r.figures.get(metric, float("nan")), metric))
    options = [f"{key}={value}" for key, value in best.options.items() if key != "ckpt_path"]
    if "sweep" in best.options:  # which sets more than it varies, so that it stays, for one run
        options.append("hydra.mode=RUN")
    return shlex.join(["python", "-m", "flukeseg.train", *options])


def report_unfinished(runs: Sequence[Run]) -> None:
    """Report on stderr which runs did not finish, and why."""
    shown = [*varied_options(runs), *REPEATS]
    for run in runs:
        if run.status != "finished":
            options = " ".join(f"{key}={run.options[key]}" for key in shown if key in run.options)
            print(f"{run.status}: {run.folder} ({options}): {run.note}", file=sys.stderr)
    counts = Counter(run.status for run in runs)
    print(f"{len(runs)} runs: {', '.join(f'{n} {status}' for status, n in counts.items())}")
