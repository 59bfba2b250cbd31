"""Photos -> their products in a folder, in parts and again after an interruption."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flukeseg.data.workers import loading_processes
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import name_checkpoint
from flukeseg.prediction.corrected_products import follow_corrections
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import InputPhoto, find_inputs, name_inputs, photo_key
from flukeseg.prediction.loader import PhotoFiles, read_batches
from flukeseg.prediction.looking import Looker
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.prediction.table import Tally, gather
from flukeseg.prediction.writer import ProductWriter

if TYPE_CHECKING:
    import pytorch_lightning as pl

log = logging.getLogger(__name__)


def predict_photos(
    settings: PredictionSettings,
    source: str | Path,
    output: str | Path,
    trainer: pl.Trainer | None = None,
    shard: str | None = None,
    remake: bool = False,
) -> Tally | None:
    """Predict every photo of a source that is not done yet, and summarise all of them.

    Args:
        settings: how.
        source: a photo, a folder, a glob or a list, see `find_inputs`.
        output: folder of the products.
        trainer: runs the networks, on its devices; a callback is added to it. None computes in
            this process with a runtime other than torch, see `PredictionSettings.chosen_runtime`.
        shard: `3/16` for the third of 16 parts, `merge` to summarise finished parts, or None.
        remake: whether masks made with other settings are made again; see `PredictionFolder`.

    Returns:
        The summary; None in a part of the photos, and in every process but the first.

    Raises:
        InputError: the settings, the source or the output cannot be used. A photo that cannot be
            read is a row of the table instead.
    """
    ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
    share = Share.of(shard, *ranks)
    checkpoint = "; ".join(name_checkpoint(path) for path in settings.checkpoint_files())
    paths = find_inputs(source, leave_out=output)
    folder = PredictionFolder(output, share.name)
    # a processor gains nothing from larger batches, which second looks seldom fill
    on_processor = trainer is None or trainer.strategy.root_device.type == "cpu"
    try:
        looker = settings.load_looker(together=1 if on_processor else settings.batch_size)
        runtime = looker.predictor.runtime
        log.info("computing with %s", runtime)
        with folder.locked():
            made_with = {"checkpoint": checkpoint, "runtime": runtime}
            folder.settle(made_with | settings.recorded(), remake)
            own = share.photos(paths)
            missing = folder.find_missing(own, settings.products.products)
            if shard == "merge":
                refuse_missing(missing, folder)
            elif missing:
                if len(missing) < len(own):
                    log.info("%d of %d photos are done already", len(own) - len(missing), len(own))
                names, wanted = {row["key"]: row["name"] for row in folder.rows()}, {*missing}
                named = name_inputs(paths, names)
                part = share.part([photo for photo in named if photo.path in wanted])
                writer = _writer(folder, settings, looker, checkpoint, len(part))
                run_network(looker, part, settings, writer, trainer)
            if share.shards > 1:
                log.info("part %s is done; after all parts: the same with shard=merge", shard)
            if share.shards > 1 or share.rank > 0:
                return None
            follow_corrections(folder, settings.products, settings.max_pixels, paths)
            return gather(
                folder, settings.summaries, settings.max_pixels, settings.products.crop_margin
            )
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        log.info("stopped; what is done is kept: start again to go on")
        raise


def run_network(
    looker: Looker,
    photos: Sequence[InputPhoto],
    settings: PredictionSettings,
    writer: ProductWriter,
    trainer: pl.Trainer | None = None,
) -> None:
    """Predict photos and write their products, by a trainer or in this process alone."""
    predictor = looker.predictor
    files = PhotoFiles(photos, predictor.size, settings.max_pixels, predictor.in_channels)
    workers = loading_processes("num_workers", settings.num_workers)
    if trainer is not None:
        # Lightning and torch take seconds to import, which other runtimes need not wait for
        from flukeseg.prediction.lightning.steps import run_trainer

        run_trainer(trainer, looker, files, settings.batch_size, workers, writer)
        return
    with writer:
        for batch, images in read_batches(files, settings.batch_size, workers):
            started = time.perf_counter()
            seen = looker.look(images, batch)
            writer.write(batch, seen, time.perf_counter() - started)


class Share(NamedTuple):
    """Which of the photos a process predicts: a shard, and of that its rank's part."""

    shard: int
    shards: int
    rank: int
    ranks: int

    @classmethod
    def of(cls, shard: str | None, rank: int = 0, ranks: int = 1) -> Share:
        """Read an option such as `3/16`; None and `merge` are all photos.

        Raises:
            InputError: it is not a shard.
        """
        if shard is None or shard == "merge":
            return cls(0, 1, rank, ranks)
        match = re.fullmatch(r"(\d+)/(\d+)", str(shard))
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"shard={shard} must be like 3/16, from 1/16 to 16/16, or merge")
        return cls(int(match[1]) - 1, int(match[2]), rank, ranks)

    @property
    def name(self) -> str:
        """Name of this process's part in the output folder."""
        number, count = self.shard * self.ranks + self.rank, self.shards * self.ranks
        return "all" if count == 1 else f"{number + 1}-of-{count}"

    def photos(self, paths: Sequence[str]) -> Sequence[str]:
        """Return the shard's photos.

        They are chosen from all photos, done or not: shards must not overlap.
        """
        return paths[self.shard :: self.shards]

    def part(self, missing: Sequence[InputPhoto]) -> list[InputPhoto]:
        """Return what this process predicts of the photos that its shard lacks."""
        return list(missing[self.rank :: self.ranks])


def refuse_missing(missing: Sequence[str], folder: PredictionFolder) -> None:
    """Check that all photos are done, or known to be unreadable.

    Raises:
        InputError: some are not.
    """
    rows = folder.rows().find(map(photo_key, missing))
    missing = [
        path
        for path, row in zip(missing, rows, strict=True)
        if row is None or not row["status"].startswith("unreadable")
    ]
    if missing:
        raise InputError(
            f"{len(missing)} photos are not done (first: {missing[0]}): run the missing "
            "shards with the same products, then merge"
        )


def _writer(
    folder: PredictionFolder,
    settings: PredictionSettings,
    looker: Looker,
    checkpoint: str,
    total: int,
) -> ProductWriter:
    constants = {"checkpoint": checkpoint, "threshold": settings.masks.threshold}
    if looker.predictor.in_channels == 4:  # how the photo is read again
        constants["in_channels"] = 4
    return ProductWriter(
        folder, settings.masks, settings.products, constants, settings.max_pixels, total
    )
