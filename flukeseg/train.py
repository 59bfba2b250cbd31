"""Learn fluke masks: `python -m flukeseg.train +experiment=seresnet34`."""

from __future__ import annotations

import logging
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.provenance import write_provenance

log = logging.getLogger(__name__)

OmegaConf.register_new_resolver("run_dir", command_line.run_dir, replace=True)


def train(cfg: DictConfig, folder: Path) -> dict[str, float]:
    """Run one training as its configuration says and leave all it makes in `folder`.

    Returns:
        The figures of the best checkpoint: those of validation, and of the test set if the data
        has one.

    Raises:
        InputError: something in the configuration or the data cannot be used.
    """
    resume_from = checkpoint(cfg.ckpt_path, folder)
    write_provenance(cfg, folder)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = hydra.utils.instantiate(cfg.data, _convert_="all")
    datamodule.setup()  # a problem in the data is told before a network is built
    module = hydra.utils.instantiate(cfg.model, _convert_="all")
    callbacks = [hydra.utils.instantiate(c, _convert_="all") for c in cfg.callbacks.values() if c]
    trainer = hydra.utils.instantiate(
        cfg.trainer,
        precision=choose_precision(cfg.trainer.precision),
        callbacks=callbacks,
        _convert_="all",
    )
    log.info("computing in %s on %s", trainer.precision, trainer.strategy.root_device)
    trainer.fit(module, datamodule, ckpt_path=resume_from)
    best = trainer.checkpoint_callback.best_model_path
    results = trainer.validate(module, datamodule, ckpt_path=best, verbose=False)
    if getattr(datamodule, "test_set", None) is not None:
        results += trainer.test(module, datamodule, ckpt_path=best, verbose=False)
    figures = {name: value for result in results for name, value in result.items()}
    report(figures, best, folder)
    return figures


def choose_precision(precision: str | int) -> str | int:
    """Turn `auto` into bf16-mixed where the processor computes bf16 products natively.

    On other processors bf16 is emulated and slower than float32.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        native = bool(has.get("amx_bf16") or has.get("avx512_bf16"))
    return "bf16-mixed" if native else "32-true"


def checkpoint(ckpt_path: str | None, folder: Path) -> str | None:
    """Resolve `last` to the run's own file.

    Raises:
        InputError: there is no such file.
    """
    if ckpt_path is None:
        return None
    path = folder / "checkpoints" / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise InputError(f"ckpt_path={ckpt_path}: {path} is not a checkpoint file")
    return str(path)


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


@hydra.main(version_base="1.3", config_path=str(command_line.CONF), config_name="train")
def main(cfg: DictConfig) -> None:
    """Train from the command line."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        with command_line.told_in_a_sentence(), command_line.quiet_lightning():
            train(cfg, folder)
    except SystemExit:  # how Lightning ends after Ctrl-C
        kept = sorted((folder / "checkpoints").glob("epoch=*.ckpt"))
        if kept:
            log.info("stopped; best checkpoint so far: %s", kept[-1])
            log.info("to go on: the same command with ckpt_path=last")
        raise


if __name__ == "__main__":
    command_line.run(main)
