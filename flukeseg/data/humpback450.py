"""Fetch the reference's 450 humpback masks and the photos they were drawn on.

    pip install "flukeseg[kaggle]"
    python -m flukeseg.data.humpback450

The photos belong to the Kaggle competition humpback-whale-identification and come through Kaggle's
own client with your token: make one at https://www.kaggle.com/settings, and accept the rules on the
competition's page. Whatever stops a run, the next one goes on from there.
"""

import argparse
import http.client
import re
import shutil
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from flukeseg.data.photos import IMAGE_SUFFIXES, photo_size, read_mask, read_photo
from flukeseg.errors import InputError

MASKS_URL = "https://storage.googleapis.com/kaggle-forum-message-attachments/459392/11072/masks.zip"
COMPETITION = "humpback-whale-identification"
EXPECTED = 450

# Far above what the masks take, far below what a machine chokes on.
_MAX_ENTRIES = 10_000
_MAX_FILE_BYTES = 20_000_000
_MAX_TOTAL_BYTES = 500_000_000

_TIMEOUT = 60  # seconds without a byte
_TRIES = 5  # connections in a row that bring nothing new
_CALLS = 4  # of Kaggle's client at once; each spends most of its time starting
_CALL_TIMEOUT = 300  # seconds
_HOPELESS = 8  # photos that fail before any has come: it is not the photos

_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    UnicodeError,  # of letters that an address cannot hold
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fetch` from the command line; what the user can mend ends in a line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="data/humpback450", help="folder to fill (%(default)s)")
    parser.add_argument("--masks-url", default=MASKS_URL, help="zip of the masks (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        fetch(options.root, options.masks_url)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; run again to go on from here", file=sys.stderr)
        sys.exit(130)


def fetch(
    root: str | Path, masks_url: str = MASKS_URL, kaggle: Sequence[str] | None = None
) -> None:
    """Fill `root/masks` with the masks and `root/images` with the photos that have one.

    What is there and sound is not fetched again. A file gets its final name only once it is whole
    and decodes. `root/masks.zip` stays, so that the next run need not ask for it.

    Args:
        root: folder, made if need be.
        masks_url: http or https address of the zip of masks.
        kaggle: command that starts Kaggle's client; by default the one on PATH or of this Python.

    Raises:
        InputError: something could not be fetched or written; the rest is there.
    """
    root = Path(root)
    partial = root / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        for folder in (root / "masks", root / "images", partial):
            folder.mkdir(parents=True, exist_ok=True)
        contents = _masks(masks_url, root / "masks.zip")
        masks, problems = _write_masks(contents, root)
        problems += _fetch_photos(masks, root, kaggle)
    except OSError as error:
        raise InputError(
            f"{root} cannot be filled ({error}): make room or allow writing there, then run again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{root}: {len(contents) - len(problems)} photos with masks, {EXPECTED} are expected")
    if problems:
        lines = "".join(f"\n  {problem}" for problem in sorted(problems))
        raise InputError(f"{root} lacks {len(problems)} of its pairs; run again:{lines}")


def _masks(url: str, archive: Path) -> dict[str, bytes]:
    """Give the masks in the archive by file name, fetching it if it is not there and sound."""
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
            return _masks(url, archive)
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
                contents[name] = _read_entry(file, entry)
    except (InputError, zipfile.BadZipFile, PermissionError):
        raise
    except Exception as error:  # zlib.error, EOFError, NotImplementedError, struct.error, ...
        raise zipfile.BadZipFile(f"{error}") from error
    return contents


def _read_entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
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


def _write_masks(contents: dict[str, bytes], root: Path) -> tuple[list[Path], list[str]]:
    """Put the masks in place; give their paths, and what is wrong with those that are none."""
    masks, problems = [], []
    for name, content in contents.items():
        mask = root / "masks" / name
        if not mask.is_file() or mask.read_bytes() != content:
            partial = root / ".partial" / name
            partial.write_bytes(content)
            try:
                read_mask(partial)
            except InputError as error:
                problems.append(str(error).replace(str(partial), str(mask)))
                continue
            partial.replace(mask)
        masks.append(mask)
    return masks, problems


def _fetch_photos(masks: list[Path], root: Path, kaggle: Sequence[str] | None) -> list[str]:
    """Fetch the photos that are not there; give what is wrong with those that could not be."""
    photos = {root / "images" / f"{mask.stem}.jpg": mask for mask in masks}
    problems: list[str] = []
    came = False
    with ThreadPoolExecutor(_CALLS) as pool:
        sound = pool.map(lambda pair: _problem(*pair) is None, photos.items())
        missing = [photo for photo, here in zip(photos, sound, strict=True) if not here]
        if not missing:
            return []
        command = list(kaggle or [_find_kaggle()])
        calls = {pool.submit(_fetch_photo, command, p, photos[p]): p for p in missing}
        try:
            for call in tqdm(as_completed(calls), total=len(calls), desc="photos", disable=None):
                problem = call.result()
                came = came or calls[call].exists()
                problems += [problem] if problem else []
                if len(problems) == _HOPELESS and not came:
                    raise InputError(f"no photo comes from Kaggle ({problem}): mend this first")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return problems


def _fetch_photo(command: list[str], photo: Path, mask: Path) -> str | None:
    """Fetch one photo through Kaggle's client; give what is wrong with it, or None.

    Raises:
        InputError: no other photo would come either.
    """
    folder = photo.parents[1] / ".partial" / photo.stem
    folder.mkdir()
    call = ["competitions", "download", "-c", COMPETITION, "-f", f"train/{photo.name}"]
    try:
        done = subprocess.run(
            [*command, *call, "-p", str(folder), "-q"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_CALL_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"{photo} took Kaggle's client over {_CALL_TIMEOUT} seconds"
    except OSError as error:
        raise InputError(f"{command[0]} cannot be started ({error}): install it anew") from error
    came = list(folder.iterdir())
    # Stopped midway, the client ends with 0 and leaves a note of its own beside half a photo.
    if done.returncode or len(came) != 1:
        return f"{photo} did not come from Kaggle ({_explain(done.stdout)})"
    try:
        partial = _unzipped(came[0], photo.name)
        read_photo(partial)
    except InputError as error:
        return str(error).replace(str(came[0]), str(photo))
    partial.replace(photo)
    return _problem(photo, mask)


def _problem(photo: Path, mask: Path) -> str | None:
    try:
        height, width = read_photo(photo).shape[:2]
    except InputError as error:
        return str(error)
    mask_height, mask_width = photo_size(mask)
    if (height, width) != (mask_height, mask_width):
        return f"{photo} is {width} x {height}, its mask {mask_width} x {mask_height}"
    return None


def _unzipped(path: Path, name: str) -> Path:
    """Take the photo out if it came in a zip, as Kaggle sends some files."""
    if path.read_bytes()[:4] != b"PK\3\4":
        return path
    try:
        with zipfile.ZipFile(path) as file:
            content = _read_entry(file, file.getinfo(name))
    except Exception as error:  # as in `_masks_in`
        raise InputError(f"{path} came in a damaged zip ({error}): run again") from error
    photo = path.with_name("unzipped")
    photo.write_bytes(content)
    return photo


def _explain(output: str) -> str:
    """Give the reason why Kaggle's client failed.

    Raises:
        InputError: it is one that holds for every photo.
    """
    if re.search(r"\b401\b|authenticat|kaggle\.json", output, re.IGNORECASE):
        raise InputError(
            "Kaggle's client has no valid token: make one at https://www.kaggle.com/settings and "
            "save it as ~/.kaggle/access_token (kaggle.json for clients before version 2)"
        )
    if re.search(r"\b403\b|accept.*rules", output, re.IGNORECASE):
        raise InputError(
            "Kaggle refuses the photos (403): accept the rules at "
            f"https://www.kaggle.com/competitions/{COMPETITION}/rules, then run again"
        )
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else "its client says nothing"


def _find_kaggle() -> str:
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("kaggle") or shutil.which("kaggle", path=beside_python)
    if found is None:
        raise InputError('Kaggle\'s client is missing: run pip install "flukeseg[kaggle]"')
    return found


if __name__ == "__main__":
    main()
