"""The journal of a prediction folder: a line of JSON for each photo that is done.

Lines of JSON rather than sqlite3: parts of the photos that are predicted on several machines share
a network disk, whose locks a database would depend on, while here each part appends to a file of
its own. A damaged line costs one photo, a damaged page of a database could cost all of them; and
appending a line takes no transaction, which a photo of 20 ms would notice.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import require_inside
from flukeseg.errors import InputError
from flukeseg.images.reading import read_for_network
from flukeseg.images.rgbm import read_rgbm_photo
from flukeseg.prediction.inputs import stamp

MOVED = "moved"  # status of a line whose photo has another one, where it lies now; left out
_COUNTS = ("width", "height", "flukes", "exif_orientation")
"""Columns of whole numbers of a photo that could be read."""

_TEXTS = ("review", "mask_sha256", "made_from_sha256", "outdated_judgement")
_NUMBERS = (
    "written", "generation", "coverage", "fluke_probability", "confidence", "disagreement",
    "seconds",
)  # fmt: skip


class JournalRows:
    """Lines of journals, sorted by path; of several for one photo, the one written last.

    Only the place and a digest of each are kept in memory. They can be gone through more than once.
    Damaged lines are left out.

    Args:
        journals: the files.

    Attributes:
        damaged: file and number of each damaged line, such as `journal-all.jsonl line 3`.

    Raises:
        InputError: a line names files outside the folder, by their name or by a link.
    """

    def __init__(self, journals: Sequence[Path]) -> None:
        self.journals = journals
        self.damaged: list[str] = []
        digests, written, paths = bytearray(), array("d"), []
        numbers, starts = array("i"), array("q")
        folders: set[str] = set()
        for number, journal in enumerate(journals):
            require_inside(journal, journal.parent.parent)
            with journal.open("rb") as file:
                start = 0
                for count, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):  # or it was being written when a process was killed
                        row = _parse(line)
                        if row is None:
                            self.damaged.append(f"{journal} line {count}")
                        else:
                            _check_names(journal, row)
                            _check_links(journal, row, folders)
                            digests += _digest(row["key"])
                            written.append(row.get("written", 0))
                            paths.append(row["path"])
                            numbers.append(number)
                            starts.append(start if row["status"] != MOVED else -1)
                    start += len(line)
        keys = np.frombuffer(digests, "S16")
        order = np.lexsort((written, keys))  # stable: of lines written at one time, the last counts
        is_latest = np.array(starts)[order] >= 0
        is_latest[:-1] &= keys[order[1:]] != keys[order[:-1]]
        latest = order[is_latest]
        by_path = np.array(sorted(np.sort(latest).tolist(), key=paths.__getitem__), int)
        self._numbers, self._starts = np.array(numbers)[by_path], np.array(starts)[by_path]
        self._digests = keys[latest]
        places = np.empty(len(order), np.uint32)
        places[by_path] = np.arange(len(by_path))
        self._places = places[latest]

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._read(range(len(self)))

    def in_order(self, ranks: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Give the lines in another order: `ranks` has each line's place in it, from 1."""
        return self._read(np.argsort(ranks))

    def find(self, keys: Iterable[str]) -> Iterator[dict[str, Any] | None]:
        """Give the line of each key; None where there is none."""
        return self._read(map(self._place, keys))

    def has(self, key: str) -> bool:
        """Tell whether there is a line of a key, without reading it."""
        return self._place(key) is not None

    def _place(self, key: str) -> int | None:
        digest = _digest(key)
        index = np.searchsorted(self._digests, digest)
        # as arrays: a single one loses zeros at its end
        return self._places[index] if (self._digests[index : index + 1] == digest).any() else None

    def _read(self, places: Iterable[int | None]) -> Iterator[dict[str, Any] | None]:
        with ExitStack() as stack:
            files = [stack.enter_context(journal.open("rb")) for journal in self.journals]
            for place in places:
                if place is None:
                    yield None
                else:
                    file = files[self._numbers[place]]
                    file.seek(self._starts[place])
                    yield json.loads(file.readline())


def read_row_photo(
    row: Mapping[str, Any], max_pixels: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Read the photo of a line, H×W×3 uint8 RGB, of a file of `rgbm` its first three channels.

    Args:
        row: a line of the journal.
        max_pixels: photos with more are refused.
        size: (height, width) that is enough, see `read_for_network`.

    Raises:
        InputError: it cannot be read, or is not the file that was predicted on.
    """
    require_same_photo(row["key"], row.get("stamp"))
    if row.get("in_channels") == 4:
        return read_rgbm_photo(row["key"], max_pixels)
    return read_for_network(row["key"], size, max_pixels)[0]


def is_same_photo(row: Mapping[str, Any]) -> bool:
    """Tell whether the photo of a line is there, and is the file that was predicted on.

    A line may be somebody else's and name any file of this machine. Of a file that they have not
    seen they do not know the size and the time of change, to the nanosecond.
    """
    return row.get("stamp") is not None and row["stamp"] == stamp(row["key"])


def require_same_photo(path: str, known: list[int] | None) -> None:
    """Check as `is_same_photo` that a photo has the stamp that is known of it.

    Raises:
        InputError: it has not.
    """
    now = stamp(path)
    if now is None:
        raise InputError(f"{path} is not there any more; put it back")
    if now != known:
        raise InputError(
            f"{path} was changed since it was predicted on, or is another file; predict on it again"
        )


def end_last_line(journal: Path) -> None:
    """Cut off a line that was being written when a process was killed."""
    if journal.exists():
        with journal.open("rb") as file:
            whole = sum(len(line) for line in file if line.endswith(b"\n"))
        if whole != journal.stat().st_size:
            os.truncate(journal, whole)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line's row; None where it is not one that this program wrote."""
    try:
        row = json.loads(line)
        return row if isinstance(row, dict) and _is_row(row) else None
    except (ValueError, RecursionError):
        return None


def _is_row(row: Mapping[str, Any]) -> bool:
    """Check the types of all that is read of a line without asking again."""
    lists = [row.get("files"), row.get("products")]
    if not all(isinstance(values, list) for values in lists):
        return False
    paths = [row.get(key) for key in ("key", "path", "name")] + row["files"]
    paths += [row["mask"]] if "mask" in row else []
    texts = [row.get("status"), *row["products"]] + [row[key] for key in _TEXTS if key in row]
    if not all(isinstance(text, str) for text in paths + texts):
        return False
    numbers = [row[key] for key in _NUMBERS if key in row]
    numbers += [value for key, value in row.items() if key.startswith(("box_", "rotated_"))]
    likely = row.get("fluke_probabilities", [])
    if not isinstance(likely, list):
        return False
    numbers += likely
    if "width" in row:
        if not all(type(row.get(key)) is int and 0 <= row[key] < 10**6 for key in _COUNTS):
            return False
        if "confidence" not in row or "mask" not in row:
            return False
    elif row["status"].split(":")[0] in ("ok", "no_fluke", "corrected"):
        return False
    return all(type(n) in (int, float) and abs(n) < 1e18 for n in numbers) and all(
        _is_path(path) for path in paths
    )


def _is_path(text: str) -> bool:
    """Tell whether the file system takes a text: no NUL, no half of a surrogate pair."""
    os.fsencode(text)  # a UnicodeEncodeError is a ValueError
    return "\0" not in text


def _check_names(journal: Path, row: Mapping[str, Any]) -> None:
    """Check that a line names files of the folder only: it may be somebody else's."""
    for name in (row["name"], row.get("mask") or "", *row["files"]):
        if os.path.isabs(name) or (".." in name and ".." in Path(name).parts):
            raise InputError(f"{journal} names {name}, outside the folder; choose another output")


def _check_links(journal: Path, row: Mapping[str, Any], folders: set[str]) -> None:
    """Check that neither a line's files nor the folders of them are links that lead out.

    Args:
        journal: the file.
        row: its line.
        folders: those that have been checked; new ones are added.
    """
    root = os.path.dirname(os.path.dirname(journal))
    for name in {row.get("mask") or row["name"], *row["files"]}:
        folder = os.path.dirname(name)
        if folder not in folders:
            require_inside(Path(root, folder), Path(root))
            folders.add(folder)
        if os.path.islink(path := os.path.join(root, name)):
            require_inside(Path(path), Path(root))
