"""A photo, a folder, a glob or a list -> the files to predict, each with a unique name."""

from __future__ import annotations

import csv
import glob
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import read_rows, unescape_rows
from flukeseg.errors import InputError
from flukeseg.images.file_names import collision_key, portable_name
from flukeseg.images.photo_search import match_glob, search_folder
from flukeseg.images.reading import IMAGE_SUFFIXES

LONGEST = 220
"""Bytes of a name: disks take 255, and products add some."""


class InputPhoto(NamedTuple):
    """A file to predict: `path` as it was given, and `name`, the path of its products.

    The name is relative, without suffix, with `/` between folders, and unique.
    """

    path: str
    name: str

    @property
    def key(self) -> str:
        """See `photo_key`."""
        return photo_key(self.path)


def photo_key(path: str | Path) -> str:
    """Return the absolute path of a photo, which identifies the file."""
    # not Path.resolve: a link is a file of its own
    return os.path.abspath(path)


def stamp(path: str | Path) -> list[int] | None:
    """Return a file's size and time of change (ns), which tell whether it was replaced, or None."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def match_moved(paths: Iterable[str], gone: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Find photos that were moved, by their file name, size and time of change.

    Args:
        paths: of photos that are new.
        gone: lines of the journal whose photos are not there any more.

    Returns:
        The key that each photo had where it was, by its path now. Of several that it may have been,
        such as those of one name in two folders, the one whose path ends most like its own.
    """
    keys: dict[str, list[str]] = {}
    for row in gone:
        if row.get("stamp") is not None:
            keys.setdefault(f"{os.path.basename(row['key'])} {row['stamp']}", []).append(row["key"])
    moved = {}
    for path in paths if keys else ():
        key = photo_key(path)
        if own := keys.get(f"{os.path.basename(key)} {stamp(key)}"):
            ends = [len(os.path.commonpath([key[::-1], other[::-1]])) for other in own]
            moved[path] = own.pop(ends.index(max(ends)))
    return moved


def write_list(path: Path, photos: Iterable[str | Path]) -> None:
    """Write a list that `find_inputs` reads, of absolute paths."""
    lines = "".join(f"{photo_key(photo)}\n" for photo in photos)
    with atomic_write(path) as partial:
        partial.write_text(lines, encoding="utf-8", errors="surrogateescape")


def find_inputs(source: str | Path, leave_out: str | Path | None = None) -> list[str]:
    """List the files of a source, sorted and each once.

    A folder is searched with its subfolders, for files with a photo's suffix that are not hidden;
    links to files are followed, links to folders are not. Folders in it that hold predictions, as
    files in their `.flukeseg` say, are left out: masks and cut-outs are no photos. A folder that
    cannot be listed is in the list itself, so that it is reported. A list is a `.txt` with a path a
    line, or a `.csv` with a column `path`; paths in it are relative to it, or to here.

    Args:
        source: a photo, a folder, a glob such as `photos/**/*.jpg`, or a list.
        leave_out: a folder not to search, since the products are in it.

    Raises:
        InputError: the source does not exist or has no photos, a list cannot be read, or the folder
            to leave out is of the source and has photos without predictions.
    """
    path = Path(source)
    if os.path.isdir(path):
        found = search_folder(path, None if leave_out is None else Path(leave_out).resolve())
    elif path.suffix.lower() in (".txt", ".csv") and os.path.isfile(path):
        found = _read_list(path)
    elif os.path.isfile(path) or os.path.islink(path):
        found = [str(path)]
    elif glob.has_magic(str(source)):
        found = match_glob(str(source), None if leave_out is None else Path(leave_out).resolve())
    else:
        raise InputError(
            f"source={source} does not exist; give a photo, a folder, a glob in quotes, or a .txt "
            "or .csv list"
        )
    if not found:
        raise InputError(
            f"source={source} has no photos; name a folder or list that has some "
            f"({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    if os.path.isdir(path):  # each is found once
        return sorted(found)
    return sorted({photo_key(name): name for name in found}.values())


def name_inputs(paths: Sequence[str], known: Mapping[str, str] | None = None) -> list[InputPhoto]:
    """Give each file a unique name, relative to their common folder.

    Files that differ in their suffix alone keep it: the masks of `a.jpg` and `a.tif` are
    `a.jpg.png` and `a.tif.png`. Names that differ in case alone count as equal, as on some disks.

    Args:
        paths: files, in order.
        known: names by key that were given before; they are kept.
    """
    known = known or {}
    root = common_folder({os.path.dirname(photo_key(path)) for path in paths})
    # a million names are worked out again rather than kept
    wanted = Counter(collision_key(_stem(_relative_name(path, root))) for path in paths)
    used = {collision_key(name) for name in known.values()}
    named = []
    for path in paths:
        key = photo_key(path)
        if key in known:
            named.append(InputPhoto(path, known[key]))
            continue
        with_suffix = _relative_name(path, root)
        stem = _stem(with_suffix)
        # cut-outs of a second fluke end in .fluke2
        plain = wanted[collision_key(stem)] == 1 and not re.search(r"\.fluke\d+$", stem.casefold())
        numbered = (f"{with_suffix}~{i}" for i in itertools.count(2))
        candidates = itertools.chain([stem] if plain else [], [with_suffix], numbered)
        name = next(name for name in candidates if collision_key(name) not in used)
        used.add(collision_key(name))
        named.append(InputPhoto(path, name))
    return named


def _relative_name(path: str, root: str) -> str:
    """Return a path relative to a folder above it, with what cannot be a product's name changed.

    That is a folder called as a file is, or a file whose name is too long.
    """
    name = Path(photo_key(path)).relative_to(root).as_posix()
    name = "/".join(portable_name(part) for part in name.split("/"))
    name = re.sub(r"\.(png|jpg)(?=/)", r"\g<0>~", name, flags=re.IGNORECASE)
    folder, slash, last = name.rpartition("/")
    raw = os.fsencode(last)
    if len(raw) <= LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:12]
    suffix = PurePosixPath(last).suffix[-9:]
    return f"{folder}{slash}{raw[: LONGEST - 40].decode(errors='ignore')}~{digest}{suffix}"


def _stem(name: str) -> str:
    stem = str(PurePosixPath(name).with_suffix(""))
    return stem if stem.rpartition("/")[2].strip(".") else name  # of `...jpg` it would be `..`


def common_folder(parents: Iterable[str]) -> str:
    """Return the folder that folders share, all absolute.

    Raises:
        InputError: they are on two drives.
    """
    try:
        return os.path.commonpath(parents)
    except ValueError as error:  # two drives of Windows
        raise InputError("the list names photos on two drives; make a list for each") from error


def _read_list(path: Path) -> list[str]:
    try:
        # utf-8-sig: spreadsheets put a mark at the start; surrogateescape: names are only bytes
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            if path.suffix.lower() == ".txt":
                names = [line.rstrip("\r\n") for line in file]
            else:
                rows = read_rows(file)
                if "path" not in (rows.fieldnames or ()):
                    raise InputError(f"source={path} has no column `path`; name one so")
                names = [row["path"] or "" for row in unescape_rows(rows)]
    except OSError as error:
        raise InputError(f"source={path} cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise InputError(f"source={path} is not a CSV file ({error})") from error
    return [
        beside if os.path.exists(beside := str(path.parent / name)) else name
        for name in names
        if name.strip()
    ]
