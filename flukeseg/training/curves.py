"""Curves of a run: loss, Dice and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flukeseg.atomic_files import atomic_write


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, Dice and learning rate against the epoch, from the rows of `metrics.csv`."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # no window system and no global state
    panels = {
        "loss": ("train/loss", "val/loss"),
        "Dice": ("val/dice", "val/soft_dice", "val/score"),
        "learning rate": ("lr",),
    }
    for axes, (title, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    figure.axes[1].set_ylim(0, 1)
    figure.axes[2].set_yscale("log")
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
