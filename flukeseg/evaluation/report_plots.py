"""Plots of results as SVG, to stand inside a page.

No plot holds a word of the user's (a result's name can be any text): legends are the page's.
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


class PhotoProbability(NamedTuple):
    """How one of several results is drawn; `glyph` is its marker as a letter, for the legend."""

    colour: str
    dash: tuple[float, ...]
    marker: str
    glyph: str


# colours of Okabe and Ito (2008), which colour-blind eyes tell apart; no two share dash or marker
LOOKS = (
    PhotoProbability("#0072b2", (), "o", "●"),
    PhotoProbability("#d55e00", (5, 2), "^", "▲"),
    PhotoProbability("#009e73", (1.5, 1.5), "s", "■"),
    PhotoProbability("#cc79a7", (6, 2, 1.5, 2), "D", "◆"),
    PhotoProbability("#56b4e9", (3, 1), "v", "▼"),
    PhotoProbability("#000000", (8, 3), "*", "★"),
)

MANY = 400  # points: more are drawn as one picture, which is then the smaller

DISTANCE = np.logspace(-1, 2, 31)  # % of the fluke's width, ten bins a decade


def look(number: int) -> PhotoProbability:
    """Return the look of a result by its place among them."""
    return LOOKS[number % len(LOOKS)]


def draw_distributions(results: Sequence[Rows]) -> str:
    """Draw histograms of overlap and of distances: bars of one result, steps of several."""
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
            dash = (0, look(number).dash) if look(number).dash else "solid"
            axes.stairs(counts, edges, color=look(number).colour, linestyle=dash, **filled)
        axes.set(xlabel=panels[name], ylabel="photos", ylim=(0, None))
        axes.yaxis.get_major_locator().set_params(integer=True)
        _tidy(axes)
    return _svg(figure, "distributions", "Histograms of the photos' figures")


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
    """Draw Dice against confidence, with what confidence ought to be and what it is worth."""
    known = [row for row in rows if not math.isnan(row["confidence"])]
    points = np.array([(row["confidence"], row["dice"]) for row in known])
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.55", linestyle="--", label="confidence = Dice")
    axes.axhline(BAD, color="0.55", linestyle=":", label=f"Dice {BAD:g}")
    _scatter(axes, points, number)
    axes.plot(*zip(*fit, strict=True), color="black", linewidth=1.6, label="Dice to be expected")
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
    how = look(number)
    many = len(points) > MANY
    drawn = axes.scatter(*points.T, s=12 if many else 26, c=how.colour, marker=how.marker, lw=0)
    drawn.set(alpha=0.4 if many else 0.6, rasterized=many)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure, name: str, what: str) -> str:
    """Return a figure as an SVG element; `name` begins its ids, which are the page's."""
    FigureCanvasSVG(figure)  # no window system and no global state
    page = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        # neither date nor maker: the same data are to give the same bytes
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(page, format="svg", dpi=150, metadata=nothing)
    svg = page.getvalue()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])  # known to HTML
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{what}"', 1)
