"""The zip of masks: fetched, resumed, checked; hostile ones refused."""

from __future__ import annotations

import http.client
import re
import ssl
import stat
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES

# Far above what the masks take, far below what a machine chokes on.
_MAX_ENTRIES = 10_000
_MAX_FILE_BYTES = 20_000_000
_MAX_TOTAL_BYTES = 500_000_000

_TIMEOUT = 60  # seconds without a byte
_TRIES = 5  # connections in a row that bring nothing new

_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    UnicodeError,  # of letters that an address cannot hold
)


def fetch_masks(url: str, archive: Path) -> dict[str, bytes]:
    """Give the masks in the archive by file name, fetching it if it is not there and sound.

    Args:
        url: http or https address of the zip.
        archive: where it is kept; beside it, `.part` holds what has come of it so far.

    Raises:
        InputError: it cannot be fetched, or is no sound zip of masks.
        OSError: the disk is full, or may not be written.
    """
    if archive.exists():
        try:
            return _masks_in(archive, str(archive))
        except zipfile.BadZipFile:
            archive.unlink()
    # urllib would open file:// and ftp:// as well.
    if not re.match(r"https?://([\w.-]+|\[[\da-f:.]+\])(:\d+)?/", url, re.IGNORECASE):
        raise InputError(f"{url} is no http or https address: check the address of the masks")
    part = archive.with_name(archive.name + ".part")
    resumed = part.exists()
    _download(url, part)
    try:
        contents = _masks_in(part, url)
    except zipfile.BadZipFile as error:
        part.unlink()
        if resumed:  # what lay there may have been the start of another file
            return fetch_masks(url, archive)
        raise InputError(
            f"{url} is no sound zip ({error}): check the address of the masks"
        ) from error
    except InputError:
        part.unlink()
        raise
    part.replace(archive)
    return contents


def _download(url: str, part: Path) -> None:
    """Fetch a file, going on from what is there if the server can."""
    idle = 0
    while True:
        done = part.stat().st_size if part.exists() else 0
        try:
            if _receive(url, part, done):
                return
            reason = "the connection breaks off"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # nothing left to ask for; the zip's checksums will tell
                return
            reason = f"{error.code} {error.reason}"
            if error.code < 500:
                raise InputError(
                    f"{url} cannot be fetched ({reason}): check the address of the masks"
                ) from error
        except _NETWORK_ERRORS as error:
            reason = getattr(error, "reason", error)
        idle = 0 if part.exists() and part.stat().st_size > done else idle + 1
        if idle == _TRIES:
            raise InputError(
                f"{url} cannot be fetched ({reason}): check the network, then run again"
            )
        time.sleep(0.1 * 2**idle)


def _receive(url: str, part: Path, done: int) -> bool:
    """Append what is missing, or start anew if the server cannot resume; tell if it is whole."""
    request = urllib.request.Request(url, headers={"User-Agent": "flukeseg"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if response.status == 206 and not resumes:
            part.unlink()
            raise http.client.HTTPException("the server sends another part than asked for")
        done = done if response.status == 206 else 0
        total = None if response.length is None else done + response.length
        with (
            part.open("ab" if done else "wb") as file,
            tqdm(
                total=total, initial=done, unit="B", unit_scale=True, desc="masks", disable=None
            ) as bar,
        ):
            while done <= _MAX_TOTAL_BYTES and (chunk := response.read(1 << 16)):
                done += file.write(chunk)
                bar.update(len(chunk))
    if done > _MAX_TOTAL_BYTES:
        part.unlink()
        raise InputError(f"{url} is far larger than masks are: check the address of the masks")
    return total is None or done == total


def _masks_in(archive: Path, source: str) -> dict[str, bytes]:
    """Read every mask, by the name of its file.

    Raises:
        zipfile.BadZipFile: damaged, or no zip.
        InputError: sound, but not a zip of masks; nothing of it is to be used.
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
        zipfile.BadZipFile: it is damaged, too large, or packed in an unusual way.
    """
    # Of other methods, zipfile unpacks all before it cuts to the size that the entry states.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename} is packed in an unusual way")
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
