"""Pictures of a sweep: figures against one option, and parallel coordinates of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flukeseg.atomic_files import atomic_write
from flukeseg.sweeps.runs import higher_is_better


class HasFigures(Protocol):
    """A run of a sweep."""

    options: Mapping[str, str]
    figures: Mapping[str, float]


class HasMean(Protocol):
    """Runs of one setting."""

    values: tuple[str, ...]

    def mean(self, figure: str) -> float:
        """Return the mean of a figure."""


def draw_curve(
    path: Path, runs: Sequence[HasFigures], varied: Sequence[str], figures: Sequence[str]
) -> list[Path]:
    """Draw each figure against the strength of augmentation, or the first option of numbers.

    A point is a run; the line joins the means, where nothing else is varied.

    Returns:
        What was drawn: nothing where no option has numbers.
    """
    numeric = [key for key in varied if all(_number(run.options.get(key)) for run in runs)]
    if not numeric:
        return []
    key = "augmentation.strength" if "augmentation.strength" in numeric else numeric[0]
    figure = Figure(figsize=(4.2 * len(figures), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
        points = [(float(r.options[key]), r.figures[name]) for r in runs if name in r.figures]
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), "o", color="tab:blue", alpha=0.5, label="a run")
        if len(varied) == 1:
            places = sorted({x for x, _ in points})
            means = [fmean(y for x, y in points if x == place) for place in places]
            axes.plot(places, means, color="tab:blue", label="mean")
        axes.set(xlabel=key, title=name)
        if _logarithmic([x for x, _ in points]):
            axes.set_xscale("log")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    return [path]


def draw_parallel(
    path: Path, settings: Sequence[HasMean], varied: Sequence[str], metric: str
) -> list[Path]:
    """Draw each setting as a line over its options to its mean figure, the best in yellow.

    Returns:
        What was drawn: nothing where fewer than two options are varied.
    """
    if len(varied) < 2:
        return []
    columns = [[setting.values[i] for setting in settings] for i in range(len(varied))]
    means = [setting.mean(metric) for setting in settings]
    places = [*map(_place, columns), _spread_out(means)]
    figure = Figure(figsize=(2.4 * (len(varied) + 1), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i in reversed(range(len(settings))):  # the best on top
        place = places[-1][i] if higher_is_better(metric) else 1 - places[-1][i]
        colour = matplotlib.colormaps["viridis"](place)
        axes.plot([column[i] for column in places], color=colour, alpha=0.8)
    for x, column in enumerate([*columns, [f"{mean:.4f}" for mean in means]]):
        axes.axvline(x, color="black", linewidth=0.8)
        ticks = dict(sorted(zip(places[x], column, strict=True)))
        few = list(ticks.items()) if len(ticks) <= 8 else [min(ticks.items()), max(ticks.items())]
        for y, text in few:
            axes.annotate(
                short(text), (x, y), xytext=(4, 2), textcoords="offset points", fontsize=8
            )
    axes.set_xticks(range(len(varied) + 1), [*varied, metric])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(varied) + 0.4)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    return [path]


def short(value: str) -> str:
    """Return a number with four digits, anything else as it is."""
    return f"{float(value):.4g}" if _number(value) else value


def _place(column: Sequence[str]) -> list[float]:
    """Put values between 0 and 1: numbers by size, words in the order of the alphabet."""
    if all(_number(value) for value in column):
        numbers = [float(value) for value in column]
        return _spread_out(np.log(numbers).tolist() if _logarithmic(numbers) else numbers)
    words = sorted(set(column))
    return _spread_out([float(words.index(value)) for value in column])


def _spread_out(numbers: Sequence[float]) -> list[float]:
    low, high = min(numbers), max(numbers)
    return [(number - low) / (high - low) if high > low else 0.5 for number in numbers]


def _logarithmic(numbers: Sequence[float]) -> bool:
    # learning rates, say
    return min(numbers) > 0 and max(numbers) / min(numbers) >= 10


def _number(value: str | None) -> bool:
    try:
        return value is not None and np.isfinite(float(value))
    except ValueError:
        return False
