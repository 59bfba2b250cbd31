"""Lightning trainers as jobs build them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import hydra
import pytorch_lightning as pl
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from flukeseg.errors import InputError
from flukeseg.model.precision import choose_precision
from flukeseg.training.checkpoint_io import AtomicCheckpointIO


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide what Lightning reports that a user can do nothing about."""
    info = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    before = info.level
    info.setLevel(logging.WARNING)  # no advertisement, no list of absent accelerators
    try:
        with warnings.catch_warnings():
            # a resumed run writes to the folder it has
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            # Lightning 2.6 against torch 2.14; nothing of ours
            warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*", FutureWarning)
            yield
    finally:
        info.setLevel(before)


def make_trainer(trainer: DictConfig, **arguments: Any) -> pl.Trainer:
    """Build the trainer of a job's configuration, `precision=auto` settled."""
    precision = choose_precision(trainer.precision, trainer.accelerator)
    try:
        return hydra.utils.instantiate(
            trainer,
            precision=precision,
            plugins=[AtomicCheckpointIO()],
            _convert_="all",
            **arguments,
        )
    except InstantiationException as error:
        named = ("accelerator", "devices", "precision")
        given = ", ".join(f"trainer.{key}={trainer[key]}" for key in named)
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(
            f"{given} is not available ({reason}); auto takes what there is"
        ) from error


def predicting_trainer(accelerator: str, precision: str | int) -> pl.Trainer:
    """Return a trainer that predicts on one device, in the precision that `auto` settles on."""
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=cast(Any, choose_precision(precision, accelerator)),
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
