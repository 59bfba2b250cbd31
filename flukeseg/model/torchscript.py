"""TorchScript files are programs, and may be somebody else's: what they may call."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from flukeseg.errors import InputError

# the operators of torch that name files, custom classes, and operators of other libraries (those of
# torchvision write files)
FORBIDDEN = re.compile(r"\b(?:from_file|save|load|classes|ops\.(?!prim\b)\w+)\b")

LARGEST = 50_000_000
"""Bytes of source in a file; that of a network is under a million."""


def check_torchscript(path: Path) -> None:
    """Check that a TorchScript file computes only; to load it already runs some of it.

    Raises:
        InputError: it calls anything that reads or writes files, or that is not torch's.
        zipfile.BadZipFile: it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        sources = [entry for entry in entries if entry.filename.lower().endswith(".py")]
        names = {entry.filename.lower() for entry in entries}
        if len(names) < len(entries) or sum(entry.file_size for entry in sources) > LARGEST:
            raise zipfile.BadZipFile("it is not as torch writes it")
        for entry in sources:
            if found := FORBIDDEN.search(archive.read(entry).decode("latin-1")):
                raise InputError(
                    f"checkpoint={path} is a program that calls {found[0]}, which no network does; "
                    "give a file that flukeseg.export wrote"
                )
