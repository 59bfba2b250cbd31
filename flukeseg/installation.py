"""Where flukeseg is installed: its configuration, and how to add what an extra brings."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

CONF = next(
    (folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir()),
    PACKAGE / "conf",
)
"""The configuration: inside the package of a wheel, beside the package in a clone."""


def how_to_install(extra: str) -> str:
    """Return the command that adds the packages of an extra to this installation."""
    try:
        distribution("flukeseg")
    except PackageNotFoundError:  # run from a clone that is on the path but not installed
        return f'pip install -e "{PACKAGE.parent}[{extra}]"'
    # pip takes the installed flukeseg, editable or from a wheel, and adds what is missing
    return f'pip install "flukeseg[{extra}]"'
