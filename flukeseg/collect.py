"""Pairs of what people corrected: `python -m flukeseg.collect predictions=DIR output=DIR`."""

from __future__ import annotations

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.exchange.corrections import write_corrections
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.installation import CONF
from flukeseg.review.looked_at import read_looked_at

log = logging.getLogger(__name__)


def collect(cfg: DictConfig) -> int:
    """Write pairs of the masks in `cfg.predictions` that people corrected or approved.

    Pairs of masks whose verdict or correction was taken back since are deleted.

    Returns:
        How many there are.

    Raises:
        InputError: the folder is no prediction's, or has no such mask; or another's pair is in the
            way of one.
    """
    counts = write_corrections(
        Path(cfg.output),
        read_looked_at(cfg.predictions, cfg.photos),
        f"masks of {Path(cfg.predictions).resolve()}",
        Predictions(cfg.predictions, cfg.photos),
    )
    count = counts["unchanged"] + counts["changed"]  # since the mask's file was written
    if not count:
        raise InputError(
            f"predictions={cfg.predictions} has no mask that was corrected or approved; look at "
            f"some: python -m flukeseg.review output={cfg.predictions}"
        )
    log.info("%d pairs: %s", count, cfg.output)
    log.info("to train on them: python -m flukeseg.train +experiment=few root=%s", cfg.output)
    return count


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="collect")
def main(cfg: DictConfig) -> None:
    """Collect pairs from the command line."""
    with command_line.report_user_errors():
        collect(cfg)


if __name__ == "__main__":
    command_line.run(main)
