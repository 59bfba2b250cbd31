"""What a prediction run keeps on disk: its settings, a journal of what is done, files made whole.

A photo is done when its line stands in the journal, and its line is written after its files. So a
run can be killed anywhere and goes on with what is missing.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from flukeseg.atomic_files import atomic_write, locked_folder, require_inside
from flukeseg.errors import InputError
from flukeseg.images.photo_search import STATE
from flukeseg.prediction.inputs import match_moved, photo_key, stamp
from flukeseg.prediction.journal import MOVED, JournalRows, end_last_line
from flukeseg.prediction.kept_masks import KeptMasks, mask_name

log = logging.getLogger(__name__)


class PredictionFolder:
    """An output folder, held by one process at a time for each part of the photos.

    Args:
        folder: the output; made if it does not exist.
        part: name of this process's share of the photos, where several divide them.

    Raises:
        InputError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, part: str = "all") -> None:
        self.folder, self.part = Path(folder), part
        self.state = self.folder / STATE
        self._partial = self.state / f"partial-{part}"
        self._journal = self.state / f"journal-{part}.jsonl"
        self._lock, self._number = threading.Lock(), 0
        self.kept = KeptMasks(self.folder, self.state)
        self.generation = 0
        self._rows: JournalRows | None = None
        self._stamps: list[Any] = []
        self._before: JournalRows | None = None
        with self._writing(self.folder):
            self.state.mkdir(parents=True, exist_ok=True)
        require_inside(self.state, self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of this part and remove what a killed one left unfinished.

        Raises:
            InputError: another process writes this part.
        """
        hint = "wait for it, or choose another output"
        with locked_folder(self.folder, f"{STATE}/lock-{self.part}", hint):
            try:
                with self._writing(self.state):
                    for path in self.state.iterdir():
                        require_inside(path, self.folder)
                    shutil.rmtree(self._partial, ignore_errors=True)
                    self._partial.mkdir()
                    end_last_line(self._journal)
                yield
            finally:
                shutil.rmtree(self._partial, ignore_errors=True)

    def settle(self, settings: Mapping[str, Any], remake: bool = False) -> None:
        """Write down what masks are made with, or check that it is what they were made with.

        Args:
            settings: by the option's name.
            remake: where they differ, masks are made again with the new ones, except those that
                are a person's.

        Raises:
            InputError: the masks already there were made otherwise, each difference is named; or
                whose they are is not known.
        """
        path = self.state / "settings.json"
        before: dict[str, Any] = {}
        if path.exists():
            before = read_settings(path)
            # counts how often they changed: which lines of the journal are of which settings
            self.generation = before.pop("generation", 0)
        elif self.kept.has_masks() and not any(self.state.glob("journal-*.jsonl")):
            raise InputError(
                f"output={self.folder} holds masks without the hidden folder {STATE}, which says "
                "which of them a person drew: copy that too, or name another output"
            )
        now = json.loads(json.dumps(settings))
        changed = [
            f"{key}={before.get(key, 'not set')} (now {now.get(key, 'not set')})"
            for key in {**before, **now}
            if before.get(key) != now.get(key)
        ]
        if before and changed and not remake:
            raise InputError(
                f"output={self.folder} holds masks made with {', '.join(changed)}; name another "
                "output, give the same settings, or add remake=true to make masks again except "
                "those that a person corrected or approved"
            )
        if before and changed:
            self.generation += 1
        if changed:
            content = {**settings, "generation": self.generation}
            self.write(path, json.dumps(content, indent=2).encode(), sync=True)

    def rows(self) -> JournalRows:
        """Return the lines of all parts' journals, checked once unless a journal changes."""
        journals = sorted(self.state.glob("journal-*.jsonl"))
        stamps = [(journal, stamp(journal)) for journal in journals]
        if self._rows is None or stamps != self._stamps:
            self._rows, self._stamps = JournalRows(journals), stamps
        return self._rows

    def find_missing(self, paths: Sequence[str], products: Sequence[str]) -> list[str]:
        """Return those of some photos that need the network.

        The others have these products, or their masks are a person's. Damaged lines and masks are
        reported, and their photos are missing. Photos that were moved keep their lines, and those
        that are away, on a disk that is not connected say.
        """
        missing, away = [], []
        self._follow_moves(paths)
        rows = self._before = self.rows()
        for line in rows.damaged:
            log.warning("%s is damaged and left out; its photo is predicted again", line)
        for path, row in zip(paths, rows.find(map(photo_key, paths)), strict=True):
            if row is not None:
                if self.kept.is_kept(row):
                    continue
                if self.kept.is_damaged(row):
                    mask = self.folder / mask_name(row["name"])
                    log.warning("%s is damaged and made again", mask)
                elif self.is_done(row, products):
                    continue
                elif "width" in row and stamp(row["key"]) is None:
                    away.append(path)
                    continue
            missing.append(path)
        if away:
            log.warning("%d photos are away (first: %s); their masks stay", len(away), away[0])
        return missing

    def _follow_moves(self, paths: Sequence[str]) -> None:
        """Give photos that were moved, or whose folder was renamed, the lines that they had."""
        rows = self.rows()
        new = [path for path in paths if not rows.has(photo_key(path))]
        gone = (row for row in rows if stamp(row["key"]) is None)
        moved = match_moved(new, gone if new else ())
        for path, row in zip(moved, rows.find(moved.values()), strict=True):
            line = cast(dict[str, Any], row)
            line["written"] = max(time.time(), line.get("written", 0))  # clocks differ
            self.add_row({**line, "key": photo_key(path), "path": path})
            self.add_row({**line, "status": MOVED})
        if moved:
            log.info("%d photos were moved: their masks and rows go with them", len(moved))

    def row_before(self, key: str) -> dict[str, Any] | None:
        """Return the line that a photo had when `find_missing` found it. Threads may call it."""
        return next(self._before.find([key])) if self._before else None

    def is_done(self, row: Mapping[str, Any], products: Sequence[str]) -> bool:
        """Tell whether a line of the journal has these products, and their files are there.

        A photo that could not be read or has been replaced since is looked at again.
        """
        return (
            not row["status"].startswith("unreadable")
            and row.get("generation", 0) == self.generation
            and "made_from_sha256" not in row  # of a correction, and that was taken back
            and row.get("stamp") == stamp(row["key"])
            and set(products) <= set(row["products"])
            and self.has_files(row)
        )

    def has_files(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the files of a line are there, and of the size that they were written with.

        Lines of old journals hold no sizes.
        """
        found = [stamp(self.folder / name) for name in row["files"]]
        sizes = row.get("sizes")
        return None not in found and (sizes is None or [size for size, _ in found] == sizes)

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Write a photo's line; its files are written by then. Threads may call it."""
        with self._lock, self._writing(self._journal), self._journal.open("ab") as file:
            file.write((json.dumps(row) + "\n").encode())

    def write_mask(self, path: Path, content: bytes, digest: str) -> None:
        """Write a mask of this SHA-256; that it is the program's is noted before."""
        with self._writing(self.kept.written):
            self.kept.note_written(digest)
        self.write(path, content)

    def write(self, path: Path, content: bytes, sync: bool = False) -> None:
        """Write a file whole or not at all, with its folder. Threads may call it.

        Raises:
            InputError: it cannot be written, say for want of space.
        """
        with self.writing(path, sync) as partial:
            partial.write_bytes(content)

    @contextmanager
    def writing(self, path: Path, sync: bool = False) -> Iterator[Path]:
        """See `atomic_write`; what a killed process leaves is removed at the next start."""
        with self._lock:
            self._number += 1
            partial = self._partial / f"{self._number}"
        require_inside(path.parent, self.folder)
        with atomic_write(path, partial, sync) as given:
            yield given

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{path} cannot be written ({error.strerror or error}); what was done before is "
                "kept: make room or name another output, and start again"
            ) from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read `settings.json`.

    Raises:
        InputError: it is damaged.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict) or type(settings.get("generation", 0)) is not int:
            raise ValueError("it is not a table of settings")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read, it may be damaged or cut short ({error}): restore it from a "
            "copy, or delete it and start again with the options that the masks were made with"
        ) from error
    return settings
