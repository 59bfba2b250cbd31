"""Files that an annotation tool, or anybody, wrote: read with bounds, and wrong in one sentence."""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.exchange.predicted_photos import PredictedPhoto

MOST_BYTES = 2**30
"""Of a file, and of everything in an archive together once unpacked."""


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Put whatever damaged content leads to in one sentence that begins with where it is.

    Args:
        where: the file, and the photo in it where there is one.

    Raises:
        InputError: something inside went wrong.
    """
    try:
        yield
    except InputError:
        raise
    except (
        ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RecursionError,
        TypeError, ValueError, cv2.error, struct.error, zipfile.BadZipFile, zlib.error,
        NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it has no {reason}"
        raise InputError(f"{where} cannot be read: {reason}; export it again") from error


def check_labels(found: Iterable[str], label: str) -> None:
    """Refuse a photo whose shapes all have other labels, which would empty its mask.

    That is another spelling more often than no fluke.

    Raises:
        ValueError: there are such shapes alone.
    """
    if (found := sorted({*found})) and label not in found:
        raise ValueError(
            f"its shapes are labelled {', '.join(found)[:100]}, and none {label}: give "
            f"label={found[0][:50]}, or delete them where there is no fluke"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size.

    Raises:
        InputError: it cannot be read, is too large, or is no JSON.
    """
    with explained(str(path)):
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return json.loads(path.read_bytes())


class Archive:
    """A zip whose members are read into memory one by one, never unpacked to disk.

    Args:
        path: of the zip.

    Raises:
        InputError: it is none, a member's name leads out of it, or it is too large unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(str(path)), zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
        self.sizes = {info.filename: info.file_size for info in members}
        for name in self.sizes:
            if leads_outside(name):
                raise InputError(f"{path} has a member {name} that leads out of it; do not use it")
        if sum(info.file_size for info in members) > MOST_BYTES:
            raise InputError(f"{path} has more than {MOST_BYTES:,} bytes unpacked; export less")

    def read(self, name: str) -> bytes:
        """Return a member's bytes, as many as the archive's index says at most.

        Raises:
            InputError: there is none, or it is damaged.
        """
        with explained(f"{self.path}: {name}"), zipfile.ZipFile(self.path) as archive:
            size = self.sizes[name]
            with archive.open(name) as member:
                content = member.read(size + 1)
            if len(content) != size:
                raise ValueError("it is not as long as the archive says")
            return content


def leads_outside(name: str) -> bool:
    """Tell whether a name is absolute, on any system, or has `..` in it."""
    parts = re.split(r"[/\\]", name)
    return parts[0] == "" or ".." in parts or ":" in parts[0]


def read_png(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode a PNG that must have a size, to H×W×3 uint8 RGB.

    Args:
        content: the file.
        size: (height, width), checked before anything is allocated.

    Raises:
        ValueError: it is no PNG, or has another size.
    """
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        raise ValueError("a mask in it is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    if (height, width) != tuple(size):
        raise ValueError(f"a mask in it is {width} × {height} instead of {size[1]} × {size[0]}")
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    if image is None:
        raise ValueError("a mask in it is a damaged PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_size(width: Any, height: Any, photo: PredictedPhoto) -> None:
    """Check that a tool saw the photo at the size it was predicted at.

    Raises:
        ValueError: it did not.
    """
    if (height, width) != photo.size:
        raise ValueError(
            f"it is {width} × {height} there, and {photo.size[1]} × {photo.size[0]} in the "
            "prediction, so its masks do not fit"
        )


class PhotoFinder:
    """Finds a prediction's photo by the name that a tool has for it; opens nothing by that name.

    Args:
        photos: of the prediction.
    """

    def __init__(self, photos: Iterable[PredictedPhoto]) -> None:
        self._found: dict[str, PredictedPhoto | None] = {}
        self._exact: dict[str, PredictedPhoto] = {}
        for photo in photos:
            own = (str(photo.path), photo.given, photo.relative, photo.name, photo.path.name)
            for name in {_with_slashes(text) for text in (*own, photo.path.stem)}:
                # None: several photos are called so
                self._found[name] = None if name in self._found else photo
            for text in (str(photo.path), photo.relative):
                self._exact[_with_slashes(text)] = photo

    def knows(self, name: str) -> bool:
        """Tell whether a photo is called so, or several are."""
        return _with_slashes(name) in self._found

    def find(self, file: Path, name: Any) -> PredictedPhoto:
        """Return the photo of a name: its path, its path inside the folder, or its file name.

        Args:
            file: that has the name in it.
            name: as it stands there.

        Raises:
            InputError: no photo, or more than one, is called so.
        """
        text = _with_slashes(name).removeprefix("./") if isinstance(name, str) else ""
        return self._exact.get(text) or self.find_by_any_name(file, text or name)

    def find_by_any_name(self, file: Path, name: Any) -> PredictedPhoto:
        """Return the photo of a name that may have lost its folder, as `find`.

        A path inside the folder that is also the file name of another photo is refused.
        """
        text = _with_slashes(name) if isinstance(name, str) else ""
        if text in self._found:
            photo = self._found[text]
            if photo is None:
                raise InputError(f"{file} names {text}, which is several photos; give its folder")
            return photo
        if text and not leads_outside(text) and "/" in text:
            last = text.rpartition("/")[2]
            if self._found.get(last) is not None:
                return self._found[last]
        raise InputError(
            f"{file} names the photo {str(name)[:200]!r}, which the prediction does not have; name "
            "the prediction that was exported"
        )


def _with_slashes(name: str) -> str:
    return re.sub(r"[/\\]+", "/", name)
