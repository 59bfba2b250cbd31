"""The photo that a request names: inside the request, below an allowed folder, or at a URL."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fastapi import HTTPException

from flukeseg.errors import InputError
from flukeseg.serving.url_fetch import UrlRules, fetch


class NamedPhoto(NamedTuple):
    """A photo to decode: `content`, or without that the file `name`, which errors mention too."""

    name: str
    content: bytes | None = None


@dataclass(frozen=True)
class PhotoSources:
    """Where photos may come from.

    Args:
        folders: photos below them may be named by their path.
        urls: which may be fetched.

    Raises:
        InputError: a folder does not exist.
    """

    folders: tuple[Path, ...] = ()
    urls: UrlRules = field(default_factory=UrlRules)

    def __post_init__(self) -> None:
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"photo_folders: {folder} is no folder; name one that exists")

    async def find(self, uri: str) -> NamedPhoto:
        """Return the photo of a URI: `data:`, a URL, or the absolute path of a file.

        Raises:
            HTTPException: 400 if it cannot be read, 403 if it is not allowed, 404 if there is no
                such file, and what `fetch` raises.
        """
        if uri.startswith("data:"):
            return NamedPhoto("the photo", _decode_data(uri))
        if uri.startswith(("http://", "https://")):
            return NamedPhoto("the photo", await fetch(uri, self.urls))
        return NamedPhoto(str(self.find_file(uri)))

    def find_file(self, name: str) -> Path:
        """Return the file of a path, with links followed.

        Raises:
            HTTPException: 400 if it is not absolute, 403 if it is not below an allowed folder,
                whether it exists or not, and 404 if it does not exist there.
        """
        try:
            path = Path(name)
            if not path.is_absolute():
                raise HTTPException(
                    400, "image_uri must be a data: URI, a URL, or the absolute path of a file"
                )
            path = path.resolve()
            if not any(path.is_relative_to(folder.resolve()) for folder in self.folders):
                raise HTTPException(403, "the path is not below one of photo_folders")
            if not path.is_file():
                raise HTTPException(404, f"{path} does not exist")
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or no path at all
            raise HTTPException(400, f"the path cannot be used ({error})") from error
        return path


def _decode_data(uri: str) -> bytes:
    head, comma, text = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise HTTPException(400, "a data: URI must be data:image/…;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, f"the data: URI is no base64 ({error})") from error
