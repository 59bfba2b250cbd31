"""Train a network on fluke masks: `python -m flukeseg.train +experiment=seresnet34`."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities import rank_zero_only

from flukeseg import command_line
from flukeseg.atomic_files import locked_folder
from flukeseg.data.loading import explain_loading_errors
from flukeseg.errors import InputError, require_int
from flukeseg.installation import CONF
from flukeseg.model.checkpoints import SIZE_ERRORS
from flukeseg.model.losses import compute_loss
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import fixed_size
from flukeseg.model_config import build_module
from flukeseg.sweeps.jobs import run_job
from flukeseg.sweeps.runs import METRIC
from flukeseg.training import split_record
from flukeseg.training.callbacks import ResumableEpochs
from flukeseg.training.divergence import StopOnDivergence
from flukeseg.training.freed_memory import keep_freed_memory
from flukeseg.training.loggers import make_logger
from flukeseg.training.provenance import refuse_changes, write_provenance
from flukeseg.training.resume_paths import CheckPaths
from flukeseg.training.run_folder import read_result, write_result
from flukeseg.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Run one training as configured and write all its results to `cfg.folder`.

    Returns:
        The metrics of the best checkpoint: those of validation, and of the test set if the data
        has one.

    Raises:
        InputError: something in the configuration or the data cannot be used, the training
            diverges, a loading process is killed, or another process trains in the folder.
    """
    # of a group of processes the first holds the folder for all
    lock = locked_folder(Path(cfg.folder)) if rank_zero_only.rank == 0 else nullcontext()
    with lock, explain_loading_errors("start again with ckpt_path=last to go on"):
        return _train(cfg)


def _train(cfg: DictConfig) -> dict[str, float]:
    if rank_zero_only.rank > 0:  # one process reports
        logging.getLogger("flukeseg").setLevel(logging.WARNING)
    folder = Path(cfg.folder)
    check_numbers(cfg)
    resume_from = last_checkpoint(cfg, folder)
    logger = make_logger(cfg.get("logger"))
    if rank_zero_only.rank == 0:
        write_provenance(cfg, folder, is_resumed=resume_from is not None)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = hydra.utils.instantiate(cfg.data, _convert_="all")
    datamodule.setup()  # a problem in the data is reported before a network is built
    if rank_zero_only.rank == 0:
        if resume_from:
            split_record.refuse_changed_photos(datamodule.split, folder)
        else:
            split_record.write_starts(folder, cfg.model.start_from, cfg.model.encoder_weights)
        split_record.write_split(datamodule.split, folder)
        split_record.warn_of_seen(datamodule.held_out(), folder)
        (folder / "result.json").unlink(missing_ok=True)
    module = build_module(cfg)
    check_network_runs(module, datamodule.start.sizes if datamodule.start else ())
    callbacks = [hydra.utils.instantiate(c, _convert_="all") for c in cfg.callbacks.values() if c]
    callbacks += [ResumableEpochs(cfg.seed), StopOnDivergence(folder), CheckPaths()]
    trainer = make_trainer(cfg.trainer, callbacks=callbacks, logger=logger)
    if logger:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    device = trainer.strategy.root_device
    log.info("computing in %s on %s", trainer.precision, device)
    try:
        with keep_freed_memory() if device.type == "cpu" else nullcontext():
            trainer.fit(module, datamodule, ckpt_path=resume_from)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the one into the other
        if best := trainer.checkpoint_callback and trainer.checkpoint_callback.best_model_path:
            log.info("best checkpoint so far: %s", best)
            log.info("start again with ckpt_path=last to go on")
        raise
    best = trainer.checkpoint_callback and trainer.checkpoint_callback.best_model_path
    if not best:  # fast_dev_run, or no epoch at all
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if trainer.is_global_zero:
            write_result(folder, {"figures": figures, "checkpoint": None})
        return figures
    # with callbacks=ema the checkpoint holds the average; its callback would swap it out
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, WeightAveraging)]
    module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    results = trainer.validate(module, datamodule, verbose=False)
    if datamodule.test_set is not None:
        results += trainer.test(module, datamodule, verbose=False)
    figures = {name: value for result in results for name, value in result.items()}
    if trainer.is_global_zero:
        report(figures, best, folder)
        # last, for it says that all is done
        write_result(folder, {"figures": figures, "checkpoint": os.path.relpath(best, folder)})
    return figures


def check_numbers(cfg: DictConfig) -> None:
    """Check options that libraries would reject late, or in words of their own.

    Raises:
        InputError: one is not a number, or out of range.
    """
    require_int("seed", cfg.seed, least=0, most=2**32 - 1)
    require_int("trainer.max_epochs", cfg.trainer.max_epochs, least=0)
    steps = "trainer.accumulate_grad_batches"
    require_int(steps, OmegaConf.select(cfg, steps, default=1))
    patience = "callbacks.early_stopping.patience"
    require_int(patience, OmegaConf.select(cfg, patience, default=0), least=0)
    for key in ("augmentation.strength", "model.optimizer.lr"):
        value = OmegaConf.select(cfg, key, default=0.0)  # other optimisers have none
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{key}={value} must be a number")


def last_checkpoint(cfg: DictConfig, folder: Path) -> str | None:
    """Return the file to resume from, or None to start.

    Raises:
        InputError: ckpt_path is neither null nor last, there is no such file, an option differs
            from those that the run was started with, or another run lies there.
    """
    path = folder / "checkpoints" / "last.ckpt"
    if cfg.ckpt_path is None:
        if path.is_file() or (read_result(folder) or {}).get("checkpoint"):
            raise InputError(f"{folder} holds a run; go on with ckpt_path=last, or give another")
        return None
    if cfg.ckpt_path != "last":
        raise InputError(
            f"ckpt_path={cfg.ckpt_path} must be null or last; to start from the weights of another "
            "run give model.start_from its checkpoint"
        )
    if not path.is_file():
        raise InputError(f"ckpt_path=last finds no {path}; leave it out to start anew")
    refuse_changes(cfg, folder)
    log.info("going on with %s", folder)  # the newest that has a checkpoint
    return str(path)


def check_network_runs(
    module: SegmentationModule, other_sizes: Sequence[tuple[int, int]] = ()
) -> None:
    """Run network and loss on an empty photo.

    Args:
        module: what is to be trained.
        other_sizes: (height, width) of `data.start`, which the network has to process, too.

    Raises:
        InputError: it cannot process photos of its sizes, or the loss takes no logits and targets.
    """
    module.eval()
    try:
        logits = _run_at(module, module.size)
    except InputError:
        raise
    except SIZE_ERRORS as error:
        takes = _size_that_runs(module)
        instead = f"; it takes data.size={list(takes)}" if takes else ""
        raise InputError(
            f"{module.network.description} cannot process photos of "
            f"data.size={list(module.size)}: {error}{instead}"
        ) from error
    for size in other_sizes:
        try:
            _run_at(module, size)
        except SIZE_ERRORS as error:
            raise InputError(
                f"{module.network.description} cannot process photos of {list(size)}, a size of "
                f"data.start: {error}; of data.size={list(module.size)} it can"
            ) from error
    try:
        trial = copy.deepcopy(module.loss)  # one that counts its steps must not count this one
        compute_loss(trial, logits.clone().requires_grad_(), torch.zeros_like(logits))
    except InputError:
        raise
    except Exception as error:  # a loss of any library raises what it likes
        raise InputError(
            f"model.loss={type(module.loss).__name__} cannot be computed from logits and targets "
            f"N×1×H×W: {error}"
        ) from error
    module.train()


def _run_at(module: SegmentationModule, size: tuple[int, int]) -> torch.Tensor:
    with torch.inference_mode():
        return module(torch.zeros(1, module.network.in_channels, *size))


def _size_that_runs(module: SegmentationModule) -> tuple[int, int] | None:
    """Return a (height, width) that the network takes: a transformer's only one, or a larger."""
    height, width = module.size
    larger = [(height * factor, width * factor) for factor in (2, 4)]
    for size in filter(None, [fixed_size(module.hparams["encoder"]), *larger]):
        with suppress(*SIZE_ERRORS):
            _run_at(module, size)
            return size
    return None


def report(figures: dict[str, float], best: str, folder: Path) -> None:
    """Log the metrics of a run, and where its results are."""
    for stage, meaning in (("val", "validation"), ("test", "held out")):
        if f"{stage}/dice" in figures:
            dice, soft, missed = (figures[f"{stage}/{n}"] for n in ("dice", "soft_dice", "missed"))
            log.info("Dice %s: %.4f a photo, %.4f soft and pooled", meaning, dice, soft)
            log.info("flukes %s: %.1f %% missed", meaning, 100 * missed)
        if f"{stage}/false" in figures:
            false = figures[f"{stage}/false"]
            log.info("photos without fluke, %s: %.1f %% with a false one", meaning, 100 * false)
    log.info("best checkpoint: %s", best)
    for picture in ("held_out.jpg", "validation.jpg", "curves.png"):
        if (folder / picture).exists():
            log.info("pictures: %s", folder / picture)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train from the command line; `val/score` is what a sweep compares."""
    with quiet_lightning():
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return run_job(cfg, train)
        with command_line.report_user_errors():
            return train(cfg).get(METRIC)


if __name__ == "__main__":
    command_line.run(main)
