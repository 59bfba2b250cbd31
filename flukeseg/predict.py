"""Predict fluke masks of photos: `python -m flukeseg.predict source=PHOTOS output=DIR`."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.csv_cells import unescape_rows
from flukeseg.errors import InputError, require_bool, require_size
from flukeseg.exchange.all_tables import TABLES, TableSettings, write_tables
from flukeseg.installation import CONF
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.prediction.products import ProductSettings
from flukeseg.prediction.run import predict_photos
from flukeseg.prediction.settings import PredictionSettings, split_products
from flukeseg.prediction.table import Tally

log = logging.getLogger(__name__)

PLAIN = {
    "accelerator": ("auto", "cpu"),
    "devices": (1, "auto"),
    "precision": ("auto", "32-true", "bf16-mixed"),
}
"""Values of a trainer's options with which another runtime than torch needs no trainer."""


def predict(cfg: DictConfig) -> Counter[str]:
    """Predict every photo of `cfg.source` and leave its products in `cfg.output`.

    Returns:
        How many photos have which status; nothing for a part of the photos.

    Raises:
        InputError: something in the configuration cannot be used, or the output cannot be written.
            A photo that cannot be read is a row of the table instead.
    """
    for key in ("source", "output"):
        if cfg[key] in (None, "", []):
            raise InputError(f"{key}={cfg[key]} must not be empty")
    if not isinstance(cfg.source, str | Path):
        raise InputError(f"source={cfg.source} must be one; list the photos of several in a .txt")
    settings, remake = read_settings(cfg), require_bool("remake", cfg.remake)
    _, _, tables = split_all(command_line.several(cfg.products))
    of_tables = TableSettings(cfg.individuals, **cfg.table)
    where = (cfg.source, cfg.output)
    if is_plain(cfg.trainer) and settings.chosen_runtime() != "torch":
        tally = predict_photos(settings, *where, None, cfg.shard, remake)
    else:
        # Lightning and torch take seconds to import, which other runtimes need not wait for
        from flukeseg.training.trainer import make_trainer, quiet_lightning

        with quiet_lightning():
            trainer = make_trainer(
                cfg.trainer, enable_progress_bar=False, enable_checkpointing=False
            )
            tally = predict_photos(settings, *where, trainer, cfg.shard, remake)
    if tally is None:
        return Counter()
    report(tally, Path(cfg.output))
    if tables:
        write_tables(cfg.output, Path(cfg.output) / "tables", tables, of_tables)
    return tally.kinds


def predict_folder(
    source: str | Path,
    output: str | Path,
    checkpoint: str | Path | Sequence[str | Path] = "rendered",
    products: Sequence[str] = (),
    accelerator: str = "auto",
    **settings: Any,
) -> list[dict[str, str]]:
    """Predict from Python as the job does: products, table and page in a folder, resumable.

    Args:
        source: a photo, a folder, a glob or a list.
        output: folder of the products.
        checkpoint: a run, a checkpoint, an exported file or a name; of several, their mean.
        products: names, as the option takes them.
        accelerator: of Lightning: `auto`, `cpu`, `gpu`, ….
        **settings: others of `PredictionSettings`, `ProductSettings` and `TableSettings`, such as
            `tta`, `masks`, `crop_margin` and `individuals`.

    Returns:
        The rows of `predictions.csv`.

    Raises:
        InputError: a setting, the source or the output cannot be used.
    """
    files, summaries, tables = split_all(products)

    def taken(kind: type) -> dict[str, Any]:
        return {f.name: settings.pop(f.name) for f in fields(kind) if f.name in settings}

    of_tables = TableSettings(**taken(TableSettings))
    made = ProductSettings(files, **taken(ProductSettings))
    paths = [checkpoint] if isinstance(checkpoint, str | Path) else checkpoint
    checkpoints = tuple(str(path) for path in paths)
    read = PredictionSettings(checkpoints, products=made, summaries=summaries, **settings)
    if accelerator in PLAIN["accelerator"] and read.chosen_runtime() != "torch":
        predict_photos(read, source, output)
    else:
        from flukeseg.training.trainer import predicting_trainer, quiet_lightning

        with quiet_lightning():
            predict_photos(read, source, output, predicting_trainer(accelerator, read.precision))
    if tables:
        write_tables(output, Path(output) / "tables", tables, of_tables)
    with (Path(output) / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(unescape_rows(csv.DictReader(file)))


def is_plain(trainer: DictConfig) -> bool:
    """Tell whether a trainer's options ask for one process on the processor, or leave it open.

    Any other option that was changed or added is Lightning's to follow, or to refuse.
    """
    default = DictConfig(OmegaConf.load(CONF / "trainer" / "default.yaml"))
    free = (*PLAIN, "default_root_dir")
    given, usual = (
        OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in free])
        for cfg in (trainer, default)
    )
    return given == usual and all(trainer[key] in values for key, values in PLAIN.items())


def read_settings(cfg: DictConfig) -> PredictionSettings:
    """Return the settings of a configuration that includes `conf/predict.yaml`.

    Raises:
        InputError: a value is out of range.
    """
    for key in ("checkpoint", "products"):
        if cfg[key] is None:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    files, summaries, _ = split_all(command_line.several(cfg.products))
    return PredictionSettings(
        checkpoints=tuple(command_line.several(cfg.checkpoint)),
        tta=cfg.tta,
        size=None if cfg.size is None else require_size("size", cfg.size),
        look=cfg.look,
        refine=cfg.refine,
        masks=read_mask_settings(cfg),
        products=ProductSettings(
            products=files,
            crop_margin=cfg.crop_margin,
            probability_bits=cfg.probability_bits,
            aligned_size=require_size("aligned_size", cfg.aligned_size),
            rgbm_size=None if cfg.rgbm_size is None else require_size("rgbm_size", cfg.rgbm_size),
        ),
        summaries=summaries,
        runtime=cfg.runtime,
        precision=cfg.trainer.precision,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        max_pixels=cfg.max_pixels,
        networks=tuple(command_line.several(cfg.network or [])),
    )


def split_all(products: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Return what `split_products` does, and the tables for re-identification."""
    contours = ["edge"] if "curvrank" in products else []
    tables = [product for product in products if product in TABLES]
    return *split_products([*products, *contours], TABLES), tables


def read_mask_settings(cfg: DictConfig) -> MaskSettings:
    """Return how a configuration makes masks of probabilities.

    Raises:
        InputError: a value is out of range.
    """
    for key in ("cleaning", "recognition", "review"):
        if cfg[key] is None:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    return MaskSettings(
        threshold=cfg.threshold,
        cleaning=hydra.utils.instantiate(cfg.cleaning),
        recognition=hydra.utils.instantiate(cfg.recognition),
        review=hydra.utils.instantiate(cfg.review),
    )


def report(tally: Tally, folder: Path) -> None:
    """Log how many photos have which status, and where the table is."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in tally.kinds.items())
    log.info("%d photos: %s", tally.kinds.total(), kinds)
    for row in tally.unreadable:
        path = row["path"].encode(errors="backslashreplace").decode()
        log.warning("%s %s", path, row["status"])
    if (more := tally.kinds["unreadable"] - len(tally.unreadable)) > 0:
        log.warning("and %d more, in the table", more)
    if tally.to_review:
        log.info("%d to look at first: review_order 1 to %d", tally.to_review, tally.to_review)
    log.info("table: %s", folder / "predictions.csv")
    log.info("look at: %s", tally.page)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="predict")
def main(cfg: DictConfig) -> None:
    """Predict from the command line."""
    with command_line.report_user_errors():
        predict(cfg)


if __name__ == "__main__":
    command_line.run(main)
