"""The results of a sweep: `python -m flukeseg.sweep outputs/NAME/sweep_DATE`."""

from __future__ import annotations

import argparse
from pathlib import Path

from flukeseg.command_line import report_user_errors
from flukeseg.sweeps.runs import METRIC
from flukeseg.sweeps.summary import summarise


def main() -> None:
    """Read a sweep from the command line."""
    parser = argparse.ArgumentParser(prog="python -m flukeseg.sweep", description=__doc__)
    parser.add_argument("folder", type=Path, help="outputs/NAME/sweep_DATE")
    parser.add_argument("--metric", help=f"what settings are ranked by ({METRIC})")
    given = parser.parse_args()
    with report_user_errors():
        summarise(given.folder, given.metric)


if __name__ == "__main__":
    main()
