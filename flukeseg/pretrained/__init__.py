"""Networks by name, with their checksums; README.md beside it says what `rendered` is good for."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.file_cache import cache_folder, digest_file

FOLDER = Path(__file__).parent


class Pretrained(NamedTuple):
    """A network: the name of its file, the SHA-256 of that, and where it is fetched from.

    Without `url` it comes with flukeseg.
    """

    file: str
    sha256: str
    url: str | None = None


NETWORKS = {
    "rendered": Pretrained(
        "rendered.ckpt", "9e1538573309efe3293777d593a4f3ea706460caced9aa8b79cad15a6123c7d7"
    ),
}
"""Names that `checkpoint=` takes instead of a path. A laboratory may add its own, with a `url`."""


def locate(name: str) -> Path:
    """Return the checkpoint of a network, fetched where it is not here yet.

    Fetched files are kept in torch's folder for them, `TORCH_HOME` or `~/.cache/torch`.

    Args:
        name: one of `NETWORKS`.

    Raises:
        InputError: there is no such network, it cannot be fetched, or its file is another.
    """
    if name not in NETWORKS:
        raise InputError(f"there is no network {name}; choose {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    path = FOLDER / network.file
    if network.url is not None:
        path = cache_folder() / network.file
        if not path.is_file():
            _fetch(name, network.url, path)
    if not path.is_file():
        raise InputError(
            f"the network {name} is not in this installation; train it: python -m flukeseg.train "
            f"+experiment={name}"
        )
    if digest_file(path) != network.sha256:
        instead = "install flukeseg again" if network.url is None else f"delete {path}"
        raise InputError(
            f"{path} is not the network {name}, its checksum is another: {instead}, or give "
            "checkpoint= its path if it is yours"
        )
    return path


def _fetch(name: str, url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
    except (OSError, ValueError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"the network {name} could not be fetched from {url} ({reason}); connect to the "
            f"network, or put the file at {path}"
        ) from error
    with atomic_write(path) as partial:
        partial.write_bytes(content)
