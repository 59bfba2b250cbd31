"""Any photo or mask file -> an upright array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from flukeseg.errors import InputError
from flukeseg.images.decoding import decoding_errors, exif_orientation, opened

# 100 million pixels are 300 MB of RGB: more than cameras make, and still fits in memory.
MAX_PIXELS = 100_000_000

MASK_THRESHOLD = 108
"""Grey above it is fluke, as in the reference's masks, whose levels JPEG has changed."""

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp",
    ".heic", ".heif", ".hif", ".avif",
})
# fmt: on

_TIFF_PHOTOMETRIC = 262

Decoded = TypeVar("Decoded")


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photo as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Of several frames or pages, the first is read. Transparent parts become white, the background
    of the project's cut-outs and of scanned cards; the colours stored there are arbitrary. 16-bit
    values keep their high byte, as Pillow does for 16-bit colour: stretching from minimum to
    maximum would make brightness depend on the rest of the frame. 12-bit values in a 16-bit file
    therefore come out dark, since nothing in the file distinguishes them from a dark photo. Floats
    are 0 to 1, or 0 to 255 if any is above 1. Embedded colour profiles are not applied.

    Raises:
        InputError: the file is missing, is no photo, is damaged, or has more than `max_pixels`.
    """
    return read_for_network(path, None, max_pixels)[0]


def read_for_network(
    path: str | Path,
    size: tuple[int, int] | None,
    max_pixels: int = MAX_PIXELS,
    content: bytes | None = None,
) -> tuple[np.ndarray, int, tuple[int, int]]:
    """Read a photo as `read_photo` does, or smaller where that is enough and cheaper.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, each pixel the mean of
    those that it replaces. That is done where at least twice the network's size remains: resizing
    then averages four pixels or more, and the result hardly depends on the scale of decoding.

    Args:
        path: of the file.
        size: (height, width) of the network's input; None reads the photo at its own size.
        max_pixels: photos with more are refused.
        content: the file's bytes where it is not on disk; `path` then names it in errors.

    Returns:
        The photo, the EXIF orientation that the file states (1 to 8), and the upright photo's own
        (height, width).

    Raises:
        InputError: as `read_photo`.
    """
    with opened(path, max_pixels, content) as (image, turn, own):
        stated, shown = exif_orientation(image), own
        share = 1 if size is None else 2 * max(size) / max(own)
        smaller = max(1, round(image.width * share)), max(1, round(image.height * share))
        if share <= 0.5 and image.format in ("JPEG", "MPO") and image.draft(None, smaller):
            shown = image.size[::-1] if turn < 5 else image.size
        return _upright(path, _to_rgb(path, image), turn, shown), stated, own


def convert_picture(picture: Image.Image) -> np.ndarray:
    """Return a picture of PIL as `read_photo` reads its file: H×W×3 uint8 RGB, upright.

    Raises:
        InputError: it is damaged, or holds values whose white is not known.
    """
    path = getattr(picture, "filename", "") or "the picture"
    colours = _to_rgb(path, picture)
    turn = 1 if picture.format == "TIFF" else exif_orientation(picture)  # TIFFs decode upright
    return _upright(path, colours, turn, colours.shape[:2] if turn < 5 else colours.shape[1::-1])


def read_mask(
    path: str | Path, threshold: int = MASK_THRESHOLD, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a mask as H×W uint8, upright: 1 where its grey, 0 to 255, is above `threshold`.

    Raises:
        InputError: as `read_mask_levels`.
    """
    return (read_mask_levels(path, threshold, max_pixels) > threshold).astype(np.uint8)


def read_mask_levels(
    path: str | Path, threshold: int = MASK_THRESHOLD, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a mask's grey levels as H×W uint8, 0 to 255, upright; above `threshold` is fluke.

    Colours, those of a palette too, count by their grey; transparent parts are not fluke. A mask
    may be empty, but one that only seems empty is an error: values 0 and 1, dark colours, or a
    shape drawn in the alpha channel.

    Raises:
        InputError: as `read_photo`, and for masks whose values are not grey levels.
    """
    with opened(path, max_pixels) as (image, orientation, size):
        if _is_deep(image):
            levels = _decode(path, image, np.asarray)
            grey, hidden = _to_8_bit(path, image, levels), False
        else:
            colours = _decode(path, image, _colours)
            levels = grey = np.asarray(_flatten(colours, "black").convert("L"))
            extrema = cast("tuple[tuple[int, int], ...]", colours.getextrema())
            hidden = any(
                high > threshold and (band != "A" or low < high)
                for band, (low, high) in zip(colours.getbands(), extrema, strict=True)
            )
        if levels.max() == 1 and levels.dtype != np.float32:
            raise InputError(
                f"{path} holds the values 0 and 1 instead of grey levels up to 255: "
                "multiply the mask by 255 and save it again"
            )
        if hidden and grey.max() <= threshold:
            raise InputError(
                f"{path} has colours or transparency but no grey level above {threshold}: "
                "save the mask with white for fluke and black for the rest"
            )
        return _upright(path, grey, orientation, size)


def photo_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the upright photo, in pixels, from its header alone.

    Raises:
        InputError: the file is missing, is no photo, or its header is damaged.
    """
    with opened(path) as (_, _, size):
        return size


def find_photos(folder: str | Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name, with suffixes in any case.

    Hidden files are left out: macOS adds a `._x.jpg` that is no photo to each `x.jpg`.

    Raises:
        InputError: there is no such folder, or it may not be read.
    """
    try:
        return sorted(
            path
            for path in Path(folder).iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{folder} cannot be listed ({reason}): name a folder of photos that you may read"
        ) from error


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _decode(path: str | Path, image: Image.Image, how: Callable[[Image.Image], Decoded]) -> Decoded:
    with decoding_errors(path):
        return how(image)


def _to_rgb(path: str | Path, image: Image.Image) -> np.ndarray:
    if _is_deep(image):
        return np.stack([_to_8_bit(path, image, _decode(path, image, np.asarray))] * 3, axis=-1)
    return _to_array(_flatten(_decode(path, image, _colours), "white"))


def _to_8_bit(path: str | Path, image: Image.Image, values: np.ndarray) -> np.ndarray:
    """Return H×W uint8 of the values that an image of more than 8 bits holds."""
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        highest = values.max()
        if highest > 255:
            raise InputError(
                f"{path} has values up to {highest:g}: save it as 8-bit, or as floats of 0 to 1"
            )
        return (values.clip(min=0) * (255 if highest <= 1 else 1)).round().astype(np.uint8)
    # Older Pillows give a 16-bit PNG as 32-bit integers, which elsewhere have no known white.
    if image.mode == "I" and image.format != "PNG":
        raise InputError(f"{path} has 32-bit or signed values: save it as 8-bit or 16-bit")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0:
        values = 65535 - values  # white is 0; Pillow inverts 8-bit values only
    return (values >> 8).astype(np.uint8)


def _colours(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        image.load()
        return image  # `convert` would copy it
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _flatten(colours: Image.Image, ground: str) -> Image.Image:
    if colours.mode == "RGB":
        return colours
    return Image.alpha_composite(Image.new("RGBA", colours.size, ground), colours).convert("RGB")


def _to_array(image: Image.Image) -> np.ndarray:
    """Return an RGB image as H×W×3 uint8, which nothing else refers to.

    In parts: Pillow gives an image as one string of bytes, which it joins from others, so that a
    photo of 100 megapixels would be in memory four times.
    """
    width, height = image.size
    values = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, 256):
        bottom = min(top + 256, height)
        values[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return values


def _upright(
    path: str | Path, array: np.ndarray, orientation: int, size: tuple[int, int]
) -> np.ndarray:
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if array.shape[:2] != size:  # HEIC can; the limit on pixels was checked against the header
        raise InputError(
            f"{path} is damaged, it does not have the size that its header states: copy, download "
            "or export it again"
        )
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    upright = np.ascontiguousarray(array[::down, ::across])
    return upright if upright.flags.writeable else upright.copy()
