"""Any image file -> Pillow's image of it, or one sentence saying why not.

Each format's reader is called by itself rather than through `Image.open`, whose limit on pixels is
a global of the process; nothing here changes a global of Pillow.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install

# The reader of JPEG opens MPO too. Pillow before 11.3 has no AVIF.
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF")
_EXIF_ORIENTATION = 274
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SUBFILE = 256, 257, 254

Image.init()


@contextmanager
def opened(
    path: str | Path, max_pixels: int | None = None, content: bytes | None = None
) -> Iterator[tuple[Image.Image, int, tuple[int, int]]]:
    """Yield the image, only its header read; the orientation still to apply; the upright size.

    The orientation is EXIF's, 1 to 8; the size is (height, width) in pixels. Pixels are decoded by
    what the body does with the image, which belongs under `decoding_errors`.

    Args:
        path: of the file.
        max_pixels: images with more are refused.
        content: the file's bytes where it is not on disk; `path` then names it in errors.

    Raises:
        InputError: the file is missing, is no photo, is damaged, or has more than `max_pixels`.
    """
    with ExitStack() as stack:
        with decoding_errors(path):
            stack.enter_context(_pillow_quiet())
            stream: BinaryIO
            if content is None:
                _require_file(path)
                stream = stack.enter_context(Path(path).open("rb"))
            else:
                stream = io.BytesIO(content)
            image = _identify(path, stream)
            orientation, (height, width) = _geometry(image, stream)
        if max_pixels is not None and height * width > max_pixels:
            raise InputError(
                f"{path} has {width} x {height} pixels, more than the limit of {max_pixels:,}: "
                "make it smaller or raise max_pixels"
            )
        yield image, orientation, (height, width)


@contextmanager
def decoding_errors(path: str | Path) -> Iterator[None]:
    """Raise an `InputError` for whatever reading or decoding a file raises."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the name") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions") from error
    # On damaged files Pillow's decoders raise nearly everything: OSError, SyntaxError, ValueError,
    # struct.error, zlib.error, KeyError, AssertionError, OverflowError, MemoryError and more.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path} cannot be read, it may be damaged or cut short ({reason}): "
            "copy, download or export it again"
        ) from error


def is_undamaged(path: str | Path, max_pixels: int) -> bool:
    """Tell whether a file is an image that can be decoded to its end.

    The checksums of a PNG say so without decoding it. Of other images with more than `max_pixels`,
    which would fill the memory, only the header is read.
    """
    try:
        with opened(path) as (image, _, (height, width)), decoding_errors(path):
            if image.format == "PNG":
                image.verify()
            elif height * width <= max_pixels:
                image.load()
    except InputError:
        return False
    return True


def _require_file(path: str | Path) -> None:
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        try:
            os.scandir(path).close()
        except OSError as error:
            raise InputError(
                f"{path} is a folder that cannot be listed ({error.strerror}): change its "
                "permissions"
            ) from error
    # Not a folder, and not a named pipe either: opening one would wait for ever.
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a file: name a photo")


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1 where there is none."""
    try:
        # Not `image.getexif`: that of a PNG decodes the image to find more.
        orientation = Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1)
    except Exception:  # a photo with damaged EXIF can still be decoded
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _identify(path: str | Path, stream: BinaryIO) -> Image.Image:
    start = stream.read(16)
    if not start:
        raise InputError(f"{path} is empty: copy or download it again")
    openers = [Image.OPEN[name] for name in _FORMATS if name in Image.OPEN]
    readers = [reader for reader, accepts in openers if accepts and accepts(start) is True]
    # A `mif1` file may hold AVIF or HEIC: the first reader that can takes it.
    needs_heif = start[4:8] == b"ftyp" and start[8:12].startswith(
        (b"hei", b"hev", b"mif1", b"msf1")
    )
    if needs_heif:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            pass
        else:
            readers.append(HeifImageFile)
            needs_heif = False
    problem = None
    for reader in readers:
        stream.seek(0)
        try:
            image = reader(stream, "")
        except SyntaxError as error:
            if str(error) == "unknown pixel mode":  # of a TIFF
                raise InputError(
                    f"{path} has pixels of a kind that is not read, such as colours in floating "
                    "point: save it with 8 or 16 bits a colour"
                ) from error
            problem = error
            continue
        # A camera raw is a TIFF whose first image is a thumbnail.
        if isinstance(image, TiffImageFile) and image.tag_v2.get(_TIFF_SUBFILE) == 1:
            raise InputError(f"{path} looks like a camera raw: export it as JPEG or TIFF")
        return image
    if needs_heif:
        raise InputError(f"{path} is a HEIC photo: run {how_to_install('heic')}")
    if problem is None:
        if Path(path).suffix.lower() in _ARCHIVES:
            raise InputError(f"{path} is an archive: unpack it and give the folder of the photos")
        raise InputError(f"{path} is not a photo in a known format: export it as JPEG, PNG or TIFF")
    raise problem


def _geometry(image: Image.Image, stream: BinaryIO) -> tuple[int, tuple[int, int]]:
    """Return the orientation, 1 to 8, to apply after decoding, and the upright (height, width)."""
    width, height = image.size
    if isinstance(image, TiffImageFile):
        width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]
    elif image.format == "PNG" and "exif" not in image.info:
        _find_late_exif(image, stream)
    orientation = exif_orientation(image)
    size = (width, height) if orientation >= 5 else (height, width)
    # A TIFF comes upright out of Pillow's decoder.
    return 1 if image.format == "TIFF" else orientation, size


def _find_late_exif(image: Image.Image, stream: BinaryIO) -> None:
    """Add the EXIF that comes after a PNG's pixels, where the format allows it too."""
    pixels = stream.tell()
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            image.info["exif"] = b"Exif\0\0" + stream.read(length)
            break
        stream.seek(length + 4, 1)
    stream.seek(pixels)


# The entry that `warnings.filterwarnings("ignore", module=...)` adds.
_IGNORE_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Ignore Pillow's warnings, on odd metadata mostly, while a photo is read."""
    if getattr(sys.flags, "context_aware_warnings", False):  # Python 3.14 can keep threads apart
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
        return
    # Threads share one list. `catch_warnings` swaps it, and two threads that overlap would leave
    # each other's filters behind; so each adds an entry and removes one.
    filters = cast("list[object]", warnings.filters)
    filters.insert(0, _IGNORE_PILLOW)
    try:
        yield
    finally:
        with suppress(ValueError):
            filters.remove(_IGNORE_PILLOW)
