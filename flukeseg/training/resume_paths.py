"""A resumed checkpoint may be somebody else's: what its callbacks may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from flukeseg.errors import InputError


class CheckPaths(pl.Callback):
    """Refuses to resume from a checkpoint whose callbacks name files outside the run's folder.

    Lightning deletes the checkpoints that such a state names once there are better ones. It lets
    `checkpoints/../..` pass, and addresses such as `local:///` (2.6).
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check the state of every callback, before any is restored.

        Raises:
            InputError: a path leads out.
        """
        for state in checkpoint["callbacks"].values():
            for value in state.values():
                paths = value if isinstance(value, dict) else [value]
                if any(isinstance(path, str) and _leads_out(path) for path in paths):
                    raise InputError(
                        f"{trainer.ckpt_path} names files outside its folder; leave ckpt_path=last "
                        "out to start anew"
                    )


def _leads_out(path: str) -> bool:
    # fsspec, by which Lightning deletes, takes both for the address of another file system
    return ".." in Path(path).parts or "://" in path or "::" in path
