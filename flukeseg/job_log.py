"""The log of a job in its output folder, which may be somebody else's or on a full disk."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from pathlib import Path

from flukeseg.atomic_files import refuse_links


class JobLog(logging.FileHandler):
    """Adds lines to a file, and leaves out those that cannot be written: they are on the screen.

    Args:
        filename: the log.

    Raises:
        InputError: a link leads out of the folder and would be followed, see `refuse_links`.
    """

    def __init__(self, filename: str) -> None:
        log = Path(filename)
        hydra = log.parent / ".hydra"
        # Hydra writes through links there
        refuse_links(log.parent, [log, *(hydra.iterdir() if hydra.is_dir() else ())])
        super().__init__(filename, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        return open(os.open(self.baseFilename, flags, 0o666), "a", encoding="utf-8")  # noqa: PTH123

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line; logging itself would print a traceback."""
