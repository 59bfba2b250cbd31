"""Archives of photos -> folders of them."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from pathlib import Path

from flukeseg.errors import InputError


def unpacked_folder(archive: Path, output: Path) -> Path:
    """Return the folder that an archive is unpacked to; two of one name have different ones."""
    digest = hashlib.sha256(os.fsencode(archive.absolute())).hexdigest()[:8]
    return output / "photos" / f"{archive.name.split('.')[0]}-{digest}"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive into a new folder.

    Raises:
        InputError: it is not an archive, is empty, or would write elsewhere.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"source={archive} cannot be unpacked ({reason}); give a folder"
        ) from error
    if not any(path.is_file() for path in partial.rglob("*")):
        raise InputError(f"source={archive} is an empty archive; give a folder of photos")
    partial.rename(folder)
