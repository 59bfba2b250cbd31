"""Any photo or mask file -> an upright array; resizing both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from flukeseg.errors import InputError
from flukeseg.images.decoding import exif_orientation, opened

# 100 million pixels are 300 MB of RGB: above what cameras make, below what a machine chokes on.
MAX_PIXELS = 100_000_000

MASK_THRESHOLD = 108
"""Grey above it is fluke, as in the reference's masks, which have JPEG-like levels."""

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp",
    ".heic", ".heif", ".hif", ".avif",
})
# fmt: on

_TIFF_PHOTOMETRIC = 262


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photo as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Of several frames or pages, the first. Transparent parts become white, like the ground of the
    project's cut-outs and of scanned cards; what colours hide beneath them is arbitrary. 16-bit
    values keep their high byte, as Pillow does for 16-bit colour: a stretch from minimum to maximum
    would make brightness depend on whatever else is in the frame. 12-bit values in a 16-bit file
    therefore come out dark: nothing in the file tells them from a dark photo. Floats are taken as
    0 to 1, or as 0 to 255 if any is above 1. Embedded colour profiles are not applied.

    Raises:
        InputError: the file is missing, is no photo, is damaged, or has more than `max_pixels`.
    """
    return read_for_network(path, None, max_pixels)[0]


def read_for_network(
    path: str | Path, size: tuple[int, int] | None, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, int, tuple[int, int]]:
    """Read a photo as `read_photo` does, or smaller where that is enough and comes cheaper.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, each pixel the mean of
    those it stands for. It is where twice what the network can use is left, for the mean of four
    pixels or more hides which scale it was.

    Args:
        path: of the file.
        size: (height, width) of what the network sees; None reads all there is.
        max_pixels: photos with more are refused.

    Returns:
        The photo, the EXIF orientation that the file states (1 to 8), and the upright photo's own
        (height, width).

    Raises:
        InputError: as `read_photo`.
    """
    with opened(path, max_pixels) as (image, turn, own):
        stated, shown = exif_orientation(image), own
        share = 1 if size is None else 2 * max(size) / max(own)
        smaller = tuple(max(1, round(side * share)) for side in image.size)
        if share <= 0.5 and image.format in ("JPEG", "MPO") and image.draft(None, smaller):
            shown = image.size[::-1] if turn < 5 else image.size
        if _is_deep(image):
            colours = np.stack([_to_8_bit(path, image)] * 3, axis=-1)
        else:
            colours = np.asarray(_flatten(_colours(image), "white"))
        return _upright(colours, turn, shown), stated, own


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

    Colours, of a palette too, count by their grey; transparent parts are not fluke. 108 is the
    reference's, whose masks have JPEG-like levels in between. A mask may be empty, but one that
    only looks empty is an error: values 0 and 1, dark colours, or a shape that is in the alpha.

    Raises:
        InputError: as `read_photo`, and for masks whose values cannot be meant as grey levels.
    """
    with opened(path, max_pixels) as (image, orientation, size):
        if _is_deep(image):
            levels, grey, hidden = np.asarray(image), _to_8_bit(path, image), False
        else:
            colours = _colours(image)
            levels = grey = np.asarray(_flatten(colours, "black").convert("L"))
            hidden = any(
                high > threshold and (band != "A" or low < high)
                for band, (low, high) in zip(colours.getbands(), colours.getextrema(), strict=True)
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
        return _upright(grey, orientation, size)


def photo_size(path: str | Path) -> tuple[int, int]:
    """Give (height, width) of the upright photo, in pixels, from its header alone.

    Raises:
        InputError: the file is missing, is no photo, or its header is damaged.
    """
    with opened(path) as (_, _, size):
        return size


def find_photos(folder: str | Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name, whatever the suffix's case.

    Hidden files are left out: macOS puts a `._x.jpg` that is no photo beside each `x.jpg`.

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


def _to_8_bit(path: str | Path, image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
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
    if image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0:
        values = 65535 - values  # white is 0; Pillow inverts 8-bit values only
    return (values >> 8).astype(np.uint8)


def _colours(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _flatten(colours: Image.Image, ground: str) -> Image.Image:
    if colours.mode == "RGB":
        return colours
    return Image.alpha_composite(Image.new("RGBA", colours.size, ground), colours).convert("RGB")


def _upright(array: np.ndarray, orientation: int, size: tuple[int, int]) -> np.ndarray:
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if array.shape[:2] != size:  # HEIC can; the bound on pixels was checked against the header
        raise ValueError("it is not as large as its header says")
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.array(array[::down, ::across], order="C")
