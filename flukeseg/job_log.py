"""The log of a job in its output folder, which may be somebody else's or on a full disk."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from pathlib import Path

from flukeseg.errors import InputError


class JobLog(logging.FileHandler):
    """Adds lines to a file, and leaves out those that cannot be written: they are on the screen.

    Args:
        filename: the log.

    Raises:
        InputError: a link leads out of the folder and would be followed, see `refuse_links`.
    """

    def __init__(self, filename: str) -> None:
        refuse_links(Path(filename))
        super().__init__(filename, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        return open(os.open(self.baseFilename, flags, 0o666), "a", encoding="utf-8")  # noqa: PTH123

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line; logging itself would print a traceback."""


def refuse_links(log: Path) -> None:
    """Check that no link in a job's folder leads what is written next to its log elsewhere.

    Files that we write ourselves replace a link; Hydra writes through those in `.hydra`, and
    everything writes through a link to a folder.

    Raises:
        InputError: there is one.
    """
    folder = log.parent
    hydra = folder / ".hydra"
    inside = [*hydra.iterdir()] if hydra.is_dir() else []
    folders = (Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)
    for path in (log, *inside, *folders):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} leads out of {folder}; remove this link, or choose another")
