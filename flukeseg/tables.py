"""Tables for re-identification: `python -m flukeseg.tables predictions=DIR output=DIR`."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.exchange.curvrank import curvrank_table, read_trailing_edge
from flukeseg.exchange.predicted_photos import Individuals, PredictedPhoto, Predictions
from flukeseg.exchange.reid_tables import megadetector_table, miewid_table, wildlife_table
from flukeseg.exchange.wildbook import wildbook_table
from flukeseg.installation import CONF

log = logging.getLogger(__name__)


def write_tables(cfg: DictConfig) -> int:
    """Write `cfg.tables` of a prediction folder into `cfg.output`, all in one pass.

    Returns:
        How many photos were gone through.

    Raises:
        InputError: something in the configuration cannot be used; no table is then changed.
    """
    output = Path(cfg.output)
    individuals = Individuals(cfg.individuals)
    if cfg.flukes not in ("largest", "all"):
        raise InputError(f"flukes={cfg.flukes} must be largest or all")
    most = 1 if cfg.flukes == "largest" else None
    photos = Predictions(cfg.predictions)

    def trailing_edge(photo: PredictedPhoto):
        return read_trailing_edge(photos.folder, photo.name)

    makers = {
        "miewid": partial(miewid_table, output, individuals, cfg.species, most),
        "wildlife": partial(wildlife_table, output, individuals, most),
        "megadetector": partial(megadetector_table, output),
        "wildbook": partial(
            wildbook_table, output, individuals, cfg.species, cfg.location, cfg.year, cfg.submitter
        ),
        "curvrank": partial(curvrank_table, output, individuals, trailing_edge),
    }
    tables = [cfg.tables] if isinstance(cfg.tables, str) else cfg.tables or ()
    if unknown := [table for table in tables if table not in makers]:
        raise InputError(f"tables={unknown[0]} is not one of {', '.join(makers)}")
    if not tables:
        raise InputError(f"tables={cfg.tables} must name one of {', '.join(makers)}")
    count = named = 0
    with ExitStack() as stack:
        adders = [stack.enter_context(makers[table]()) for table in dict.fromkeys(tables)]
        for photo in photos:
            named += individuals.name(photo) is not None
            for add in adders:
                add(photo)
            count += 1
        if cfg.individuals is not None and not named:
            raise InputError(
                f"individuals={cfg.individuals} names none of the {count} photos; give their "
                "paths or file names in the column photo"
            )
    log.info("%d photos, %d of them named: %s", count, named, output)
    if unused := individuals.unused:
        log.warning("%d photos of individuals= are not here, say %s", len(unused), unused[0])
    return count


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="tables")
def main(cfg: DictConfig) -> None:
    """Write tables from the command line."""
    with command_line.report_user_errors():
        write_tables(cfg)


if __name__ == "__main__":
    command_line.run(main)
