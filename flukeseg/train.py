"""Learn fluke masks: `python -m flukeseg.train +experiment=seresnet34`."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
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
from flukeseg.errors import InputError, require_int
from flukeseg.installation import CONF
from flukeseg.model.module import SegmentationModule
from flukeseg.sweeps.jobs import run_job
from flukeseg.training.callbacks import SeededSteps
from flukeseg.training.loggers import make_logger
from flukeseg.training.provenance import refuse_changes, write_provenance
from flukeseg.training.resume_paths import CheckPaths
from flukeseg.training.run_folder import locked, write_result
from flukeseg.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Run one training as its configuration says and leave all it makes in `cfg.folder`.

    Returns:
        The figures of the best checkpoint: those of validation, and of the test set if the data
        has one.

    Raises:
        InputError: something in the configuration or the data cannot be used, or another process
            trains in the folder.
    """
    # of a group of processes the first holds the folder for all
    with locked(Path(cfg.folder)) if rank_zero_only.rank == 0 else nullcontext():
        return _train(cfg)


def _train(cfg: DictConfig) -> dict[str, float]:
    if rank_zero_only.rank > 0:  # one process tells
        logging.getLogger("flukeseg").setLevel(logging.WARNING)
    folder = Path(cfg.folder)
    require_int("seed", cfg.seed, least=0, most=2**32 - 1)
    require_int("trainer.max_epochs", cfg.trainer.max_epochs, least=0)
    resume_from = last_checkpoint(cfg, folder)
    logger = make_logger(cfg.get("logger"))
    if rank_zero_only.rank == 0:
        write_provenance(cfg, folder)
        (folder / "result.json").unlink(missing_ok=True)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = hydra.utils.instantiate(cfg.data, _convert_="all")
    datamodule.setup()  # a problem in the data is told before a network is built
    module = hydra.utils.instantiate(cfg.model, _convert_="all")
    check_network_runs(module)
    callbacks = [hydra.utils.instantiate(c, _convert_="all") for c in cfg.callbacks.values() if c]
    callbacks += [SeededSteps(cfg.seed), CheckPaths()]
    trainer = make_trainer(cfg.trainer, callbacks=callbacks, logger=logger)
    if logger:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    log.info("computing in %s on %s", trainer.precision, trainer.strategy.root_device)
    try:
        trainer.fit(module, datamodule, ckpt_path=resume_from)
    except SystemExit:  # how Lightning ends after Ctrl-C
        if best := trainer.checkpoint_callback.best_model_path:
            log.info("stopped; best checkpoint so far: %s", best)
            log.info("to go on: the same command with ckpt_path=last")
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


def last_checkpoint(cfg: DictConfig, folder: Path) -> str | None:
    """Return the file to go on from, or None to start.

    Raises:
        InputError: ckpt_path is neither null nor last, there is no such file, or an option differs
            from those that the run was started with.
    """
    if cfg.ckpt_path is None:
        return None
    if cfg.ckpt_path != "last":
        raise InputError(
            f"ckpt_path={cfg.ckpt_path} must be null or last; to start from the weights of another "
            "run give model.start_from its checkpoint"
        )
    path = folder / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise InputError(f"ckpt_path=last finds no {path}; leave it out to start anew")
    refuse_changes(cfg, folder)
    return str(path)


def check_network_runs(module: SegmentationModule) -> None:
    """Try the network on an empty photo.

    Raises:
        InputError: it does not take photos of its size.
    """
    module.eval()
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 3, *module.size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"model.encoder={module.hparams['encoder']} does not take photos of "
            f"data.size={list(module.size)}: {error}"
        ) from error
    module.train()


def report(figures: dict[str, float], best: str, folder: Path) -> None:
    """Say what the run came to and where to look."""
    for stage, meaning in (("val", "validation"), ("test", "held out")):
        if f"{stage}/dice" in figures:
            log.info(
                "Dice %s: %.4f a photo, %.4f soft and pooled",
                meaning,
                figures[f"{stage}/dice"],
                figures[f"{stage}/soft_dice"],
            )
    log.info("best checkpoint: %s", best)
    for picture in ("held_out.jpg", "validation.jpg", "curves.png"):
        if (folder / picture).exists():
            log.info("look at: %s", folder / picture)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train from the command line; the validation Dice is what a sweep compares."""
    with quiet_lightning():
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return run_job(cfg, train)
        with command_line.report_user_errors():
            return train(cfg).get("val/dice")


if __name__ == "__main__":
    command_line.run(main)
