"""Files that appear complete or not at all, and folders that one process at a time may write to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from flukeseg.errors import InputError


@contextmanager
def atomic_write(path: Path, partial: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Yield a path to write to; what is there at the end replaces `path`.

    The folder of `path` is created. A process that is killed leaves `path` as it was.

    Args:
        path: file to write.
        partial: where to write it first, on the same file system; by default beside it.
        sync: whether to wait until the disk has it, for what a power failure must not take.

    Raises:
        InputError: it cannot be written, for example because the disk is full.
    """
    partial = partial or path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)  # a link there would be followed
        yield partial
        if sync:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):  # half a file is of no use, and takes room
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(
                f"{path} cannot be written ({error.strerror or error}); what was written before "
                "is kept: make room or allow writing there, then start again"
            ) from error
        raise


def require_inside(path: Path, folder: Path) -> None:
    """Check that a path does not lead out of a folder, which may be somebody else's, by a link.

    Raises:
        InputError: it does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} leads out of {folder}; remove this link, or choose another")


def refuse_links(folder: Path, files: Iterable[Path]) -> None:
    """Check that no link in a folder, which may be somebody else's, leads what is written out.

    Files that are written whole replace a link; everything writes through a link to a folder.

    Args:
        folder: searched for links to folders.
        files: those in it that are read, or that lines are added to.

    Raises:
        InputError: there is one.
    """
    folders = (Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)
    for path in chain(files, folders):
        if path.is_symlink():
            require_inside(path, folder)


@contextmanager
def locked_folder(folder: Path, name: str = ".lock", hint: str = "wait for it") -> Iterator[None]:
    """Keep other processes out of a folder; this process may enter it again.

    Args:
        folder: created if it does not exist.
        name: of the lock file, where processes share the folder and each locks its own part.
        hint: what to do where it is locked, for the error.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=0, is_singleton=True)
        lock.acquire()
    except Timeout as error:  # for example a Slurm job that outlived the one who submitted it
        raise InputError(f"{folder} is locked by another process; {hint}") from error
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
