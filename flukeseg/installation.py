"""Where flukeseg is installed: its configuration."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

CONF = next(
    (folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir()),
    PACKAGE / "conf",
)
"""The configuration: inside the package of a wheel, beside the package in a clone."""
