"""Masks of any photos: `python -m flukeseg.predict checkpoint=RUN source=PHOTOS output=DIR`."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.data.workers import loading_processes
from flukeseg.errors import InputError, require_int, require_size
from flukeseg.installation import CONF
from flukeseg.model.checkpoint_files import find_checkpoint, name_checkpoint
from flukeseg.model.checkpoints import load_checkpoints
from flukeseg.model.tta import views_of
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import InputPhoto, find_inputs, name_inputs
from flukeseg.prediction.loader import PhotoFiles, photo_loader
from flukeseg.prediction.prediction import MaskSettings
from flukeseg.prediction.products import FILE_PRODUCTS, ProductSettings
from flukeseg.prediction.table import Tally, gather
from flukeseg.prediction.writer import ProductWriter
from flukeseg.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)

OF_ALL = ("coco", "gallery")
"""Products that are made of all photos together."""


def predict(cfg: DictConfig) -> Counter[str]:
    """Predict on every photo of `cfg.source` and leave its products in `cfg.output`.

    Returns:
        How many photos came to which status; of a part of them, nothing.

    Raises:
        InputError: something in the configuration cannot be used, or the output not be written. A
            photo that cannot be read is a row of the table instead.
    """
    for key in ("checkpoint", "source", "output", "cleaning", "review"):
        if cfg[key] is None or cfg[key] == []:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    products = wanted_products(cfg.products)
    masks = MaskSettings(
        threshold=cfg.threshold,
        cleaning=hydra.utils.instantiate(cfg.cleaning),
        review=hydra.utils.instantiate(cfg.review),
    )
    made = ProductSettings(
        products=tuple(p for p in products if p in FILE_PRODUCTS),
        crop_margin=cfg.crop_margin,
        probability_bits=cfg.probability_bits,
        rgbm_size=None if cfg.rgbm_size is None else require_size("rgbm_size", cfg.rgbm_size),
    )
    max_pixels = require_int("max_pixels", cfg.max_pixels)
    batch_size = require_int("batch_size", cfg.batch_size)
    num_workers = loading_processes("num_workers", cfg.num_workers)
    views = views_of(cfg.tta)
    size = None if cfg.size is None else require_size("size", cfg.size)
    given = cfg.checkpoint if OmegaConf.is_list(cfg.checkpoint) else [cfg.checkpoint]
    checkpoints = [find_checkpoint(path) for path in given]
    shard, shards = read_shard(cfg.shard)
    trainer = make_trainer(cfg.trainer, enable_progress_bar=False, enable_checkpointing=False)
    rank, ranks = trainer.global_rank, trainer.world_size
    part, parts = shard * ranks + rank, shards * ranks
    folder = PredictionFolder(cfg.output, "all" if parts == 1 else f"{part + 1}-of-{parts}")
    paths = find_inputs(cfg.source, leave_out=cfg.output)
    module = load_checkpoints(checkpoints, cfg.runtime, cfg.trainer.precision)
    log.info("computing with %s", module.runtime)
    module.views = views
    name = "; ".join(name_checkpoint(path) for path in checkpoints)
    with folder.locked():
        folder.settle({"checkpoint": name, "runtime": module.runtime, **settings_of_masks(cfg)})
        names, done = folder.progress(made.products)
        sources = name_inputs(paths, names)
        # by their place among all, whatever is done already: parts must not overlap
        own = sources[shard::shards]
        missing = [source for source in own if source.key not in done]
        if cfg.shard == "merge":
            refuse_missing(missing, folder)
        elif missing:
            if len(missing) < len(own):
                log.info("%d of %d photos are done already", len(own) - len(missing), len(own))
            mine = missing[rank::ranks]
            trainer.callbacks.append(
                ProductWriter(
                    folder,
                    masks,
                    made,
                    constants={"checkpoint": name, "threshold": masks.threshold},
                    max_pixels=max_pixels,
                    total=len(mine),
                )
            )
            photos = PhotoFiles(mine, size or module.size, max_pixels)
            try:
                loader = photo_loader(photos, batch_size, num_workers)
                trainer.predict(module, loader, return_predictions=False)
            except SystemExit:  # how Lightning ends after Ctrl-C
                log.info("stopped; what is done is kept: start again to go on")
                raise
            trainer.strategy.barrier()
        if shards > 1:
            log.info("part %s is done; after all parts: the same with shard=merge", cfg.shard)
            return Counter()
        if rank > 0:
            return Counter()
        tally = gather(folder, products, max_pixels)
    report(tally, folder.folder)
    return tally.kinds


def read_shard(shard: str | None) -> tuple[int, int]:
    """Return which part of how many an option gave, the first being 0; null and merge are all.

    Raises:
        InputError: it is no part.
    """
    if shard is None or shard == "merge":
        return 0, 1
    match = re.fullmatch(r"(\d+)/(\d+)", str(shard))
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"shard={shard} must be like 3/16, from 1/16 to 16/16, or merge")
    return int(match[1]) - 1, int(match[2])


def refuse_missing(missing: Sequence[InputPhoto], folder: PredictionFolder) -> None:
    """See that all photos are done, or known to be unreadable.

    Raises:
        InputError: some are not.
    """
    unreadable = {row["key"] for row in folder.rows() if row["status"].startswith("unreadable")}
    if missing := [source for source in missing if source.key not in unreadable]:
        raise InputError(
            f"{len(missing)} photos are not done (say {missing[0].path}): run the shards that are "
            "missing with the same products, then merge"
        )


def wanted_products(products: Any) -> tuple[str, ...]:
    """Return the products of the option, `mask` among them.

    Raises:
        InputError: it is no list, or there is no such product.
    """
    known = (*FILE_PRODUCTS, *OF_ALL)
    wanted = products if OmegaConf.is_list(products) or products is None else [products]
    if unknown := [p for p in wanted or () if p not in known]:
        raise InputError(f"products={unknown[0]} is not one of {', '.join(known)}")
    return tuple(p for p in known if p == "mask" or p in (wanted or ()))


def settings_of_masks(cfg: DictConfig) -> dict[str, Any]:
    """Return what may not change among the masks of one folder, by the option's name."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    kept = (
        "size",
        "tta",
        "threshold",
        "cleaning",
        "review",
        "crop_margin",
        "probability_bits",
    )
    return {key: settings[key] for key in (*kept, "rgbm_size")}


def report(tally: Tally, folder: Path) -> None:
    """Say how many photos came to what, and where to look."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in tally.kinds.items())
    log.info("%d photos: %s", tally.kinds.total(), kinds)
    for row in tally.unreadable:
        path = row["path"].encode(errors="backslashreplace").decode()
        log.warning("%s %s", path, row["status"])
    if (more := tally.kinds["unreadable"] - len(tally.unreadable)) > 0:
        log.warning("and %d more, in the table", more)
    if tally.to_review:
        log.info("%d to review: sort the table by confidence", tally.to_review)
    log.info("table: %s", folder / "predictions.csv")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="predict")
def main(cfg: DictConfig) -> None:
    """Predict from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        predict(cfg)


if __name__ == "__main__":
    command_line.run(main)
