"""Tables for re-identification: `python -m flukeseg.tables predictions=DIR output=DIR`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.exchange.all_tables import TableSettings, write_tables
from flukeseg.installation import CONF


def make_tables(cfg: DictConfig) -> int:
    """Write `cfg.tables` of a prediction folder into `cfg.output`.

    Returns:
        The number of photos.

    Raises:
        InputError: something in the configuration cannot be used; no table is then changed.
    """
    settings = TableSettings(cfg.individuals, **cfg.table)
    tables = command_line.several(cfg.tables)
    return write_tables(cfg.predictions, cfg.output, tables, settings, cfg.photos)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="tables")
def main(cfg: DictConfig) -> None:
    """Write tables from the command line."""
    with command_line.report_user_errors():
        make_tables(cfg)


if __name__ == "__main__":
    command_line.run(main)
