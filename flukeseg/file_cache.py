"""A folder of the user's own for what takes long to make and can be made again.

Where it is not there and cannot be made, nothing is kept: what is asked for is made each time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError

log = logging.getLogger(__name__)

SIZE = "FLUKESEG_CACHE_MB"
"""Environment variable: how much is kept, in MB; 0 keeps nothing."""

MEGABYTES = 1000.0

NAME = "converted"

DIGEST = 32
"""Bytes of the SHA-256 that a kept file begins with."""

ABANDONED = 3600
"""Seconds after which a half-written file is of a process that was killed."""


def cache_folder() -> Path:
    """Return flukeseg's folder in torch's for networks: `TORCH_HOME` or `~/.cache/torch`."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # as torch.hub.get_dir does, without torch
    home = Path(os.environ.get("TORCH_HOME") or caches / "torch").expanduser()
    return home / "hub" / "flukeseg"


def read_cached(key: str) -> bytes | None:
    """Return what is kept under a key; None where there is nothing.

    What is damaged is removed. What another user wrote, or may write to, is not read: a network
    that is loaded is a program.
    """
    if not _most_bytes():
        return None
    try:
        path = _folder() / key
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check_owner(os.fstat(file.fileno()))
            content = file.read()
        os.utime(path)  # those unused for longest are the first to go
    except (OSError, RuntimeError) as error:  # Path.home raises the second
        log.debug("nothing is kept under %s: %s", key, error)
        return None
    digest, content = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(content).digest() == digest:
        return content
    log.debug("%s is damaged, and removed", path)
    remove_cached(key)
    return None


def write_cached(key: str, content: bytes) -> None:
    """Keep something under a key of letters and digits, and remove what is too much with it."""
    most = _most_bytes()
    if len(content) + DIGEST > most:
        return
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (cache_folder() / NAME).mkdir(mode=0o700)
        folder = _folder()
        path = folder / key
        # a name of its own: other processes may write the same
        with atomic_write(path, folder / f"{secrets.token_hex(8)}.partial") as partial:
            partial.touch(mode=0o600, exist_ok=False)
            partial.write_bytes(hashlib.sha256(content).digest() + content)
        _make_room(folder, most, path)
    except (InputError, OSError, RuntimeError) as error:
        log.debug("%s is not kept: %s", key, error)


def remove_cached(key: str) -> None:
    """Remove what is kept under a key, if anything is."""
    with suppress(OSError, RuntimeError):
        (cache_folder() / NAME / key).unlink()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; it is read again where it changed.

    Raises:
        OSError: it cannot be read.
    """
    found = path.stat()
    return _digest(str(path), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=32)
def _digest(path: str, size: int, modified: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _most_bytes() -> float:
    text = os.environ.get(SIZE, "")
    try:
        return max(0.0, float(text or MEGABYTES)) * 1e6
    except ValueError as error:
        raise InputError(f"{SIZE}={text} must be a number of MB; 0 keeps nothing") from error


def _folder() -> Path:
    """Return the folder.

    Raises:
        OSError: it is not there, or is not this user's alone.
    """
    folder = cache_folder() / NAME
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    _check_owner(found)
    return folder


def _check_owner(found: os.stat_result) -> None:
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise PermissionError("it belongs to another user, or others may write to it")


def _make_room(folder: Path, most: float, newest: Path) -> None:
    """Remove the files that were used longest ago until the others fit."""
    files = sorted(_entries(folder), key=lambda entry: entry[0])
    total = sum(size for _, size, _ in files)
    for used, size, path in files:
        unfinished = path.suffix == ".partial"
        if unfinished and time.time() - used < ABANDONED:
            continue
        if unfinished or (total > most and path != newest):
            with suppress(OSError):
                path.unlink()
                total -= size


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield of each file when it was used, its bytes and its path."""
    for path in folder.iterdir():
        with suppress(OSError):  # another process removed it
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime, found.st_size, path
