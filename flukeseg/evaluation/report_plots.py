"""Plots of results as SVG elements of a page.

No plot contains a user's text, since a result's name can be anything: the page has the legends.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from flukeseg.evaluation.statistics import BAD, Rows


class Style(NamedTuple):
    """How one of several results is drawn; `glyph` is its marker as a character, for the legend."""

    colour: str
    dash: tuple[float, ...]
    marker: str
    glyph: str


# colours of Okabe and Ito (2008), safe for colour-blind readers; no two share dash or marker
STYLES = (
    Style("#0072b2", (), "o", "●"),
    Style("#d55e00", (5, 2), "^", "▲"),
    Style("#009e73", (1.5, 1.5), "s", "■"),
    Style("#cc79a7", (6, 2, 1.5, 2), "D", "◆"),
    Style("#56b4e9", (3, 1), "v", "▼"),
    Style("#000000", (8, 3), "*", "★"),
)

MANY = 400  # points: more are drawn as a bitmap, which is then smaller than vectors

DISTANCE = np.logspace(-1, 2, 31)  # % of the fluke's width, ten bins a decade


def style_of(number: int) -> Style:
    """Return the style of a result by its number."""
    return STYLES[number % len(STYLES)]


def draw_distributions(results: Sequence[Rows]) -> str:
    """Draw histograms of overlap and of distances: bars for one result, steps for several."""
    panels = {
        "dice": "Dice",
        "boundary_iou_2": "Boundary IoU, 2 % of the diagonal",
        "assd": "Mean surface distance, % of the fluke's width",
        "trailing_mean": "Trailing edge, mean, % of the fluke's width",
    }
    columns = {name: [_known(rows, name) for rows in results] for name in panels}
    columns = {name: found for name, found in columns.items() if any(map(len, found))}
    down, across = (1, len(columns)) if len(columns) < 4 else (2, 2)
    figure = Figure(figsize=(10.4, 2.9 * down), layout="constrained")
    panes = figure.subplots(down, across, squeeze=False).flat
    for axes, (name, found) in zip(panes, columns.items(), strict=True):
        if name in ("dice", "boundary_iou_2"):
            lowest = math.floor(min(values.min(initial=0.8) for values in found) * 10) / 10
            edges = np.linspace(lowest, 1, 41)
            axes.set_xlim(lowest - (1 - lowest) / 100, 1 + (1 - lowest) / 100)
        else:
            edges = DISTANCE
            found = [values.clip(edges[0], edges[-1]) for values in found]
            axes.set(xscale="log", xlim=(edges[0] / 1.05, edges[-1] * 1.05))
            axes.set_xticks([0.1, 1, 10, 100], ["≤ 0.1", "1", "10", "≥ 100"])
        for number, values in enumerate(found):
            counts = np.histogram(values, edges)[0]
            filled = {"fill": True, "alpha": 0.75} if len(found) == 1 else {"linewidth": 1.6}
            dash = (0, style_of(number).dash) if style_of(number).dash else "solid"
            axes.stairs(counts, edges, color=style_of(number).colour, linestyle=dash, **filled)
        axes.set(xlabel=panels[name], ylabel="photos", ylim=(0, None))
        axes.yaxis.get_major_locator().set_params(integer=True)
        _tidy(axes)
    return _svg(figure, "distributions", "Histograms of the photos' metrics")


def draw_coverage(results: Sequence[Rows]) -> str | None:
    """Draw Dice against the true mask's share of the frame; None where no photo has a fluke."""
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    axes = figure.subplots()
    everything = []
    for number, rows in enumerate(results):
        points = [(100 * row["coverage"], row["dice"]) for row in rows if row["coverage"] > 0]
        if points:
            _scatter(axes, np.array(points), number)
            everything += points
    if not everything:
        return None
    axes.set(xscale="log", xlabel="the fluke's share of the photo", ylabel="Dice")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:g} %")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(_below(dice for _, dice in everything), 1.02)
    _tidy(axes)
    return _svg(figure, "coverage", "Dice of each photo against the fluke's share of the photo")


def draw_calibration(rows: Rows, fit: Sequence[Sequence[float]], number: int) -> str:
    """Draw Dice against confidence, with the diagonal and the fit."""
    known = [row for row in rows if not math.isnan(row["confidence"])]
    points = np.array([(row["confidence"], row["dice"]) for row in known])
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.55", linestyle="--", label="confidence = Dice")
    axes.axhline(BAD, color="0.55", linestyle=":", label=f"Dice {BAD:g}")
    _scatter(axes, points, number)
    axes.plot(*zip(*fit, strict=True), color="black", linewidth=1.6, label="expected Dice")
    limits = _below(points.ravel()), 1.02
    axes.set(xlabel="confidence", ylabel="Dice", xlim=limits, ylim=limits)
    axes.legend(loc="best", framealpha=0.9)
    _tidy(axes)
    return _svg(figure, f"calibration-{number}", "Dice of each photo against its confidence")


def _known(rows: Rows, name: str) -> np.ndarray:
    values = np.array([row.get(name, math.nan) for row in rows], np.float64)
    return values[~np.isnan(values)]


def _below(values: Iterable[float]) -> float:
    return max(0, math.floor(min(values) * 10) / 10) - 0.02


def _scatter(axes: Axes, points: np.ndarray, number: int) -> None:
    style = style_of(number)
    many = len(points) > MANY
    drawn = axes.scatter(*points.T, s=12 if many else 26, c=style.colour, marker=style.marker, lw=0)
    drawn.set(alpha=0.4 if many else 0.6, rasterized=many)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure, name: str, what: str) -> str:
    """Return a figure as an SVG element; its ids begin with `name`, as a page's must be unique."""
    FigureCanvasSVG(figure)  # needs no window system and no global state
    page = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        # neither date nor creator, so that the same data give the same bytes
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(page, format="svg", dpi=150, metadata=nothing)
    svg = page.getvalue()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])  # HTML needs none
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{what}"', 1)
