"""Masks and verdicts as a person saves them: whole or not at all, and never over another's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.photo_search import STATE
from flukeseg.prediction.kept_masks import KeptMasks, Verdict, hash_file, mask_name

Row = Mapping[str, Any]


class StaleMaskError(Exception):
    """A mask is not the one that the page had opened."""


class MaskStore:
    """Saves corrections of one prediction folder.

    The program's own mask is kept beside the journal when a person first changes it, so that a
    correction can be taken back to the byte, and so that before and after can be compared.

    Args:
        folder: the prediction folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / STATE
        self.kept = KeptMasks(folder, self.state)

    def original(self, name: str) -> Path:
        """Return where the program's own mask lies once a person changed it."""
        return self.state / "originals" / f"{name}.png"

    def save(self, row: Row, expected: str, mask: np.ndarray | None, verdict: str, who: str) -> str:
        """Save a verdict, and a mask before it.

        Args:
            row: the photo's line of the journal.
            expected: SHA-256 of the mask's file as the page has it.
            mask: H×W uint8, 0 or 255; None leaves it as it is.
            verdict: right, no_fluke or undone. Right is written as corrected where the mask is not
                the program's.
            who: the person's name.

        Returns:
            SHA-256 of the mask's file, now.

        Raises:
            StaleMaskError: the file has changed since.
            InputError: it cannot be written.
        """
        path = self.folder / mask_name(row["name"])
        try:
            with self.kept.locked():
                if hash_file(path) != expected:
                    raise StaleMaskError
                if mask is not None:
                    self._replace(row, path, mask)
                digest = hash_file(path)
                if verdict == "right" and digest != row.get("mask_sha256", digest):
                    verdict = "corrected"
                when = datetime.now().astimezone().isoformat(timespec="seconds")
                self.kept.verdicts.add(Verdict(row["name"], verdict, who, when, digest, row["key"]))
        except OSError as error:
            raise InputError(
                f"{path} cannot be read or written ({error.strerror or error}); what you painted "
                "is still in the page: make room or allow writing there, then save again"
            ) from error
        return digest

    def _replace(self, row: Row, path: Path, mask: np.ndarray) -> None:
        original, before, content = self.original(row["name"]), path.read_bytes(), encode_png(mask)
        if content == before:
            return
        if original.exists() and content == original.read_bytes():  # the correction is taken back
            _write(path, content)
            original.unlink()
            return
        if not original.exists() and not self.kept.is_changed(row):
            _write(original, before)
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, sync=True) as partial:
        partial.write_bytes(content)
