"""Ends the runs of a sweep early that are worse than the others."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from flukeseg.sweeps.runs import METRIC, STOPPED, best_by_epoch, read_runs


class StopBelowMedian(pl.Callback):
    """Ends a run whose best metric so far is below the median of the sweep's finished runs.

    Each of these counts with its best after as many epochs (the rule of Optuna's MedianPruner).
    Unfinished, failed and stopped runs do not count. The run keeps its best checkpoint, whose
    metric is what the sampler gets. A run outside a sweep has no others, and goes on.

    Args:
        folder: of the run; those beside it are the others of the sweep.
        after: epochs that every run may take.
        least: finished runs needed for a comparison.
        metric: a column of `metrics.csv`, the higher the better.
    """

    def __init__(self, folder: str, after: int = 5, least: int = 4, metric: str = METRIC) -> None:
        self.folder, self.after, self.least, self.metric = Path(folder), after, least, metric
        self.best = float("-inf")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop at once if a resumed run had been stopped."""
        if (self.folder / STOPPED).is_file():
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Compare, before the epoch's checkpoint is written."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.best = max(self.best, float(trainer.callback_metrics[self.metric]))
        epochs = trainer.current_epoch + 1
        if epochs < self.after or not self.folder.name.isdigit():
            return
        others = [
            best_by_epoch(run.folder, self.metric)[:epochs][-1]
            for run in read_runs(self.folder.parent)
            if run.status == "finished" and run.folder.name != self.folder.name
        ]
        hopeless = len(others) >= self.least and self.best < median(others)
        if trainer.strategy.reduce_boolean_decision(hopeless, all=False):
            trainer.should_stop = True
            if trainer.is_global_zero:
                (self.folder / STOPPED).write_text(
                    f"{self.metric} {self.best:.4f} after {epochs} epochs, below the median "
                    f"{median(others):.4f} of {len(others)} finished runs\n",
                    encoding="utf-8",
                )

    def state_dict(self) -> dict[str, float]:
        """Return the best metric, for the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from a checkpoint's best metric."""
        self.best = state_dict["best"]
