"""When and where a photo was taken, from its EXIF."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image

from flukeseg.images.decoding import opened


class Taken(NamedTuple):
    """When, by the camera's clock, and where, in degrees north and east; None is not known."""

    when: datetime | None
    latitude: float | None
    longitude: float | None


def read_taken(path: str | Path) -> Taken:
    """Read when and where a photo was taken, from its header alone.

    What cannot be meant, such as a date to come or the place 0, 0 of a receiver without a fix, is
    not known.

    Raises:
        InputError: the file is missing or is no photo.
    """
    when = latitude = longitude = None
    # EXIF is damaged in more ways than Pillow has exceptions for: a photo is one all the same
    with opened(path) as (image, _, _), suppress(Exception):
        exif = Image.Image.getexif(image)
        when = _date(exif.get_ifd(ExifTags.IFD.Exif), exif)
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
        latitude = _degrees(place, ExifTags.GPS.GPSLatitude, "S", 90)
        longitude = _degrees(place, ExifTags.GPS.GPSLongitude, "W", 180)
    if latitude is None or longitude is None or latitude == longitude == 0:
        latitude = longitude = None
    return Taken(when, latitude, longitude)


def _date(details: Mapping[int, Any], exif: Mapping[int, Any]) -> datetime | None:
    tags = ExifTags.Base
    for value in (
        details.get(tags.DateTimeOriginal),
        details.get(tags.DateTimeDigitized),
        exif.get(tags.DateTime),
    ):
        with suppress(ValueError, TypeError):
            when = datetime.strptime(str(value)[:19], "%Y:%m:%d %H:%M:%S")
            if datetime(1900, 1, 1) <= when <= datetime.now():
                return when
    return None


def _degrees(place: Mapping[int, Any], key: int, negative: str, most: int) -> float | None:
    """Return degrees of the degrees, minutes and seconds of a key; its hemisphere is one before."""
    try:
        degrees, minutes, seconds = (float(part) for part in place[key])
        sign = -1 if str(place.get(key - 1, "")).strip("\0 ").upper() == negative else 1
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    value = sign * (degrees + minutes / 60 + seconds / 3600)
    return round(value, 6) if math.isfinite(value) and abs(value) <= most else None
