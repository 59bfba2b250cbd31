"""The figures of a run by epoch: a table, and curves of loss, Dice and learning rate."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flukeseg.atomic_files import atomic_write

DRAW_EVERY = 30
"""Seconds between drawings of the curves: drawing takes as long as an epoch of few photos."""


class EpochTable(pl.Callback):
    """Keeps `metrics.csv`, one row an epoch, and `curves.png` beside it.

    The curves are drawn every DRAW_EVERY seconds and when training ends, for whatever reason.
    Checkpoints hold the rows too, so that a resumed run continues its table.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.rows: list[dict[str, float]] = []
        self.started = 0.0
        self.drawn = 0.0
        self.has_validated = False

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock of the curves."""
        self.drawn = time.perf_counter()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Draw the curves of all epochs."""
        self._draw(trainer)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Draw the curves of the epochs that were finished."""
        with suppress(OSError):  # a full disk may be what ended it
            self._draw(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.has_validated = False

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note that this epoch has figures of validation: Lightning hands old ones on."""
        self.has_validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add this epoch, validation included, to the table, and now and then to the curves."""
        row: dict[str, float] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(time.perf_counter() - self.started, 2),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        row |= {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if self.has_validated or not name.startswith("val/")
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write()
        if time.perf_counter() - self.drawn > DRAW_EVERY:
            self._draw(trainer)
        for logger in trainer.loggers:  # it has the module's metrics already
            logger.log_metrics({"lr": row["lr"], "seconds": row["seconds"]}, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's rows."""
        self.rows = list(state_dict["rows"])

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            atomic_write(self.folder / "metrics.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def _draw(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self.rows:
            draw_curves(self.rows, self.folder / "curves.png")
        self.drawn = time.perf_counter()


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, Dice and learning rate against the epoch, from the rows of `metrics.csv`."""
    figure = Figure(figsize=(12, 3.6))
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.13, top=0.92, wspace=0.18)
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
