"""A resumed checkpoint may be somebody else's, or have moved: the files that its callbacks name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from flukeseg.errors import InputError


class CheckPaths(pl.Callback):
    """Refuses to resume from a checkpoint whose callbacks name files outside the run's folder.

    Lightning deletes the checkpoints that such a state names once there are better ones. It lets
    `checkpoints/../..` pass, and addresses such as `local:///` (2.6).

    Where the folder was moved since, the state gets the paths that its checkpoints have now:
    Lightning would forget which is the best (2.6).
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
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if state and isinstance(callback, ModelCheckpoint) and callback.dirpath:
                _follow(state, Path(callback.dirpath))


def _follow(state: dict[str, Any], folder: Path) -> None:
    """Put the paths of a `ModelCheckpoint` into the folder that its best checkpoint lies in now."""

    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    best = state["best_model_path"]
    if state["dirpath"] == str(folder) or not best or not Path(here(best)).is_file():
        return
    state["dirpath"] = str(folder)
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = here(state[key])
    state["best_k_models"] = {here(path): score for path, score in state["best_k_models"].items()}


def _leads_out(path: str) -> bool:
    # fsspec, by which Lightning deletes, takes both for the address of another file system
    return ".." in Path(path).parts or "://" in path or "::" in path
