"""Tables for re-identification: `python -m flukeseg.tables predictions=DIR output=DIR`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.exchange.all_tables import TableSettings, write_tables
from flukeseg.installation import CONF
from flukeseg.predict import several


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="tables")
def main(cfg: DictConfig) -> None:
    """Write tables from the command line."""
    with command_line.report_user_errors():
        settings = TableSettings(cfg.individuals, **cfg.table)
        write_tables(cfg.predictions, cfg.output, several(cfg.tables), settings)


if __name__ == "__main__":
    command_line.run(main)
