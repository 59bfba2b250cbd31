"""The zip of masks: fetched and checked; hostile ones are refused.

No hash of it is published, so its content is checked instead of a pinned one.
"""

from __future__ import annotations

import http.client
import re
import ssl
import stat
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PureWindowsPath

from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES

# far above what the masks take, far below what a machine fails on
_MAX_ENTRIES = 10_000
_MAX_FILE_BYTES = 20_000_000
_MAX_TOTAL_BYTES = 500_000_000

_TIMEOUT = 60  # seconds without a byte

_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    UnicodeError,  # letters that an address cannot hold
)


def fetch_masks(url: str, archive: Path) -> dict[str, bytes]:
    """Return the masks in the archive by file name; fetch it if it is missing or damaged.

    Args:
        url: http or https address of the zip.
        archive: where it is kept.

    Raises:
        InputError: it cannot be fetched, or is not a valid zip of masks.
        OSError: the disk is full, or may not be written.
    """
    if archive.exists():
        try:
            return _masks_in(archive, str(archive))
        except zipfile.BadZipFile:
            archive.unlink()
    # urllib would open file:// and ftp:// too
    if not re.match(r"https?://([\w.-]+|\[[\da-f:.]+\])(:\d+)?/", url, re.IGNORECASE):
        raise InputError(f"{url} is not an http or https address: check the address of the masks")
    partial = archive.with_name(f"{archive.name}.partial")
    try:
        _download(url, partial)
        contents = _masks_in(partial, url)
        partial.replace(archive)
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{url} is not a valid zip ({error}): run again, or check the address of the masks"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return contents


def _download(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "flukeseg"})
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT) as response,
            path.open("wb") as file,
        ):
            while file.tell() <= _MAX_TOTAL_BYTES and (chunk := response.read(1 << 16)):
                file.write(chunk)
            if file.tell() > _MAX_TOTAL_BYTES:
                raise InputError(
                    f"{url} is far larger than masks are: check the address of the masks"
                )
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(
            f"{url} cannot be fetched ({error.code} {error.reason}): check the address of the "
            "masks, or run again later"
        ) from error
    except _NETWORK_ERRORS as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} cannot be fetched ({reason}): check the network, then run again"
        ) from error


def _masks_in(archive: Path, source: str) -> dict[str, bytes]:
    """Read every mask, by file name.

    Raises:
        zipfile.BadZipFile: damaged, or not a zip.
        InputError: valid, but not a zip of masks; nothing of it may be used.
    """
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(archive) as file:
            entries = _mask_entries(file, source)
            for name, entry in entries.items():
                contents[name] = read_entry(file, entry)
    except (InputError, zipfile.BadZipFile, PermissionError):
        raise
    except Exception as error:  # zlib.error, EOFError, NotImplementedError, struct.error, ...
        raise zipfile.BadZipFile(f"{error}") from error
    return contents


def read_entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Unpack one entry, never more than the bound on a file.

    Raises:
        zipfile.BadZipFile: it is damaged, too large, or compressed in an unusual way.
    """
    # of other methods, zipfile unpacks everything before it cuts to the size that the entry states
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename} is compressed in an unusual way")
    if entry.file_size > _MAX_FILE_BYTES:
        raise zipfile.BadZipFile(f"{entry.filename} is over {_MAX_FILE_BYTES} bytes")
    with file.open(entry) as stream:
        return stream.read(entry.file_size)  # and compares the checksum


def _mask_entries(file: zipfile.ZipFile, source: str) -> dict[str, zipfile.ZipInfo]:
    def refuse(why: str) -> InputError:
        return InputError(f"{source} {why}: check the address of the masks")

    if len(file.infolist()) > _MAX_ENTRIES:
        raise refuse(f"has over {_MAX_ENTRIES} entries")
    entries: dict[str, zipfile.ZipInfo] = {}
    stems = set()
    for entry in file.infolist():
        path = PureWindowsPath(entry.filename)  # reads both kinds of slash, and drives
        if path.anchor or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            raise refuse(f"has an entry that leads elsewhere, {entry.filename!r}")
        junk = "__MACOSX" in path.parts or path.name.startswith(".")
        if entry.is_dir() or junk or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        stem = path.name.split(".")[0]  # also of `0000e88ab.jpg.png`
        if not re.fullmatch(r"[A-Za-z0-9_-]+", stem):
            raise refuse(f"has an entry that is named like no photo, {entry.filename!r}")
        if stem.casefold() in stems:
            raise refuse(f"has two masks for {stem}")
        stems.add(stem.casefold())
        entries[stem + path.suffix] = entry
    if not entries:
        raise refuse("has no masks")
    if sum(entry.file_size for entry in entries.values()) > _MAX_TOTAL_BYTES:
        raise refuse("is far larger unpacked than masks are")
    return entries
