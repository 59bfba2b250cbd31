"""Predict fluke masks of photos: `python -m flukeseg.predict source=PHOTOS output=DIR`."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError, require_size
from flukeseg.exchange.all_tables import TABLES, TableSettings, write_tables
from flukeseg.installation import CONF
from flukeseg.prediction.prediction import MaskSettings
from flukeseg.prediction.products import ProductSettings
from flukeseg.prediction.run import predict_photos
from flukeseg.prediction.settings import PredictionSettings, split_products
from flukeseg.prediction.table import Tally
from flukeseg.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)


def predict(cfg: DictConfig) -> Counter[str]:
    """Predict every photo of `cfg.source` and leave its products in `cfg.output`.

    Returns:
        How many photos have which status; nothing for a part of the photos.

    Raises:
        InputError: something in the configuration cannot be used, or the output cannot be written.
            A photo that cannot be read is a row of the table instead.
    """
    for key in ("source", "output"):
        if cfg[key] is None or cfg[key] == []:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    settings = read_settings(cfg)
    tables = [product for product in several(cfg.products) if product in TABLES]
    of_tables = TableSettings(cfg.individuals, **cfg.table)
    trainer = make_trainer(cfg.trainer, enable_progress_bar=False, enable_checkpointing=False)
    tally = predict_photos(settings, cfg.source, cfg.output, trainer, cfg.shard, cfg.remake)
    if tally is None:
        return Counter()
    report(tally, Path(cfg.output))
    if tables:
        write_tables(cfg.output, Path(cfg.output) / "tables", tables, of_tables)
    return tally.kinds


def read_settings(cfg: DictConfig) -> PredictionSettings:
    """Return the settings of a configuration that includes `conf/predict.yaml`.

    Raises:
        InputError: a value is out of range.
    """
    for key in ("checkpoint", "cleaning", "review", "products"):
        if cfg[key] is None:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    products = several(cfg.products)
    contours = ["edge"] if "curvrank" in products else []
    files, summaries = split_products(products + contours, TABLES)
    return PredictionSettings(
        checkpoints=tuple(several(cfg.checkpoint)),
        tta=cfg.tta,
        size=None if cfg.size is None else require_size("size", cfg.size),
        look=cfg.look,
        masks=MaskSettings(
            threshold=cfg.threshold,
            cleaning=hydra.utils.instantiate(cfg.cleaning),
            review=hydra.utils.instantiate(cfg.review),
        ),
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
    )


def several(value: Any) -> list[Any]:
    """Return an option's values, of which there may be one."""
    return list(value) if OmegaConf.is_list(value) else [value]


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
    with command_line.report_user_errors(), quiet_lightning():
        predict(cfg)


if __name__ == "__main__":
    command_line.run(main)
