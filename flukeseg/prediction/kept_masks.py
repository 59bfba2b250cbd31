"""Which masks of a prediction folder are a person's, and are therefore never overwritten."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from flukeseg.atomic_files import require_inside
from flukeseg.csv_cells import escape_cell, restore_bytes, unescape_rows
from flukeseg.errors import InputError
from flukeseg.images.decoding import is_undamaged
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.prediction.inputs import stamp

log = logging.getLogger(__name__)

FILE = "review.csv"

PHOTO_REPLACED = "photo replaced"
"""Reason to look at a mask that a person drew or approved on a photo that is another one now."""

VERDICTS = ("right", "corrected", "no_fluke", "undone")
"""A mask was right, was corrected, the photo shows no fluke; the last takes a verdict back."""


class Verdict(NamedTuple):
    """One judgement.

    `name`: of the photo's products. `verdict`: one of `VERDICTS`. `who`: gave it. `when`: ISO 8601,
    with the time zone. `mask_sha256`: of the mask's file that it is about. `path`: the photo.
    """

    name: str
    verdict: str
    who: str
    when: str
    mask_sha256: str
    path: str


class Verdicts:
    """The verdicts of a prediction folder; of several on one photo the last counts.

    Args:
        folder: the prediction folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._stamp: tuple[int, int] | None = None
        self._latest: dict[str, Verdict] = {}

    def latest(self) -> dict[str, Verdict]:
        """Return the verdict that counts on each photo, by name; read again where it has changed.

        Raises:
            InputError: the file is no table of verdicts.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        if (found.st_size, found.st_mtime_ns) != self._stamp:
            self._latest = self._read()
            self._stamp = found.st_size, found.st_mtime_ns
        return self._latest

    def add(self, verdict: Verdict) -> None:
        """Write a verdict's line.

        Raises:
            OSError: there is no room for it, or the file may not be written.
            InputError: it is a link that leads out of the folder, which may be somebody else's.
        """
        require_inside(self.path, self.path.parent)
        is_new = not self.path.exists()
        with self.path.open("a+b") as file:
            # a line that was being written when a program was killed is none
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
        with self.path.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            if is_new or not content:
                writer.writerow(Verdict._fields)
            writer.writerow(map(escape_cell, verdict))

    def _read(self) -> dict[str, Verdict]:
        content = self.path.read_bytes()
        content = content[: content.rfind(b"\n") + 1]
        latest = {}
        try:
            # not splitlines: names may hold other ends of lines, such as U+2028, which csv reads
            text = io.StringIO(content.decode("utf-8-sig"), newline="")
            rows = csv.DictReader(text)
            if not set(Verdict._fields[:2]) <= set(rows.fieldnames or Verdict._fields):
                raise InputError(
                    f"{self.path} has no columns name and verdict; restore its first line"
                )
            for row in unescape_rows(rows):
                verdict = Verdict(*(row.get(field) or "" for field in Verdict._fields))
                name = restore_bytes(verdict.name)
                latest[name] = verdict._replace(name=name)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"{self.path} is not a CSV file in UTF-8 ({error}); save it as CSV UTF-8, or "
                "restore it from a copy"
            ) from error
        return {name: found for name, found in latest.items() if found.verdict != "undone"}


def hash_file(path: Path) -> str | None:
    """Return the SHA-256 of a file's bytes in hexadecimal digits; None where there is no file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    except FileNotFoundError:
        return None


def mask_name(name: str) -> str:
    """Return where the mask of a photo's name lies in a prediction folder."""
    return f"mask/{name}.png"


class KeptMasks:
    """Tells a person's masks from the program's.

    A mask is a person's where its file is not the one that the program wrote, whatever changed it,
    or where `review.csv` has a verdict on it.

    Args:
        folder: the prediction folder.
        state: the folder of the program's own files in it.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self.verdicts = Verdicts(folder)
        self._lock = state / "lock-masks"
        self.written = state / "masks.txt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes from writing masks; held for moments only."""
        with FileLock(self._lock, timeout=60):
            yield

    def note_written(self, digest: str) -> None:
        """Note the SHA-256 of a mask that is written next; its line comes after all its files."""
        with self.written.open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")

    def is_foreign(self, path: Path, digest: str) -> bool:
        """Tell whether a whole mask lies here, not of this digest, that no run has written."""
        there = hash_file(path)
        if there in (None, digest) or not is_undamaged(path, MAX_PIXELS):
            return False
        try:
            with self.written.open(encoding="ascii", errors="replace") as file:
                return all(line.strip() != there for line in file)
        except FileNotFoundError:
            return True

    def has_masks(self) -> bool:
        """Tell whether there is any mask, whoever made it."""
        return next((self.folder / "mask").rglob("*.png"), None) is not None

    def has_mask(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the mask of a line of the journal is there and is an image."""
        return (self.folder / mask_name(row["name"])).exists() and not self.is_damaged(row)

    def is_changed(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a person changed the mask of a line of the journal.

        A file that is no image any more, such as one cut short, is nobody's work. Lines of old
        journals hold no hash; their masks count as the program's.
        """
        path = self.folder / mask_name(row["name"])
        written, digest = row.get("mask_sha256"), self._hash_if_touched(path, row)
        if written is None or digest in (None, written):
            return False
        return digest == row.get("made_from_sha256") or is_undamaged(path, MAX_PIXELS)

    def is_damaged(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the mask of a line of the journal is there, but is no image any more."""
        path = self.folder / mask_name(row["name"])
        digest = self._hash_if_touched(path, row)
        if "mask" not in row or digest is None or digest == row.get("mask_sha256"):
            return False
        return not is_undamaged(path, MAX_PIXELS)

    def is_kept(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the mask of a line of the journal stays, whatever else is asked for."""
        name = row["name"]
        verdict = self.verdicts.latest().get(name)
        if verdict is None:
            return self.is_changed(row)
        if verdict.mask_sha256 == row.get("mask_sha256") and self.is_damaged(row):
            return False  # what was approved is made again, to the byte
        return (self.folder / mask_name(name)).exists()

    def judgement(self, row: Mapping[str, Any]) -> str:
        """Return what tells a person's judgement on a line's mask from earlier and later ones."""
        verdict = self.verdicts.latest().get(row["name"])
        digest = hash_file(self.folder / mask_name(row["name"]))
        return f"{digest} {verdict.when if verdict else ''}"

    def is_outdated(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a photo was replaced after a person judged its mask, and not judged since.

        Such a mask is kept, but is none of this photo.
        """
        return "outdated_judgement" in row and row["outdated_judgement"] == self.judgement(row)

    def take_back(self, row: Mapping[str, Any], digest: str) -> None:
        """Take back a verdict on a mask that is gone, before another one is written in its place.

        An approved mask that is made again to the byte stays approved, unless it was deleted.

        Args:
            row: the photo's line of the journal.
            digest: SHA-256 of the mask's file that is written.
        """
        verdict = self.verdicts.latest().get(row["name"])
        path = self.folder / mask_name(row["name"])
        if verdict and not (path.exists() and verdict.mask_sha256 == digest):
            log.warning("%s is gone, and with it the verdict %s", path, verdict.verdict)
            when = datetime.now().astimezone().isoformat(timespec="seconds")
            self.verdicts.add(Verdict(row["name"], "undone", "flukeseg", when, digest, row["key"]))

    def _hash_if_touched(self, path: Path, row: Mapping[str, Any]) -> str | None:
        """Return a mask's hash; that of the journal where size and time are still the journal's."""
        written = row.get("mask_sha256")
        touched = written is None or row.get("mask_stamp", False) != stamp(path)
        return hash_file(path) if touched else written
