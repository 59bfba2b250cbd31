"""Fetch the reference's 450 humpback masks and the photos they were drawn on.

    pip install "flukeseg[kaggle]"
    python -m flukeseg.data.humpback450

The photos belong to the Kaggle competition humpback-whale-identification and come through Kaggle's
own client with your token: make one at https://www.kaggle.com/settings, and accept the rules on the
competition's page. A run that was stopped continues where it was: photos that are there and valid
are not fetched again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from flukeseg.data.humpback450.masks_archive import fetch_masks, read_entry
from flukeseg.errors import InputError
from flukeseg.images.reading import photo_size, read_mask, read_photo
from flukeseg.installation import how_to_install

MASKS_URL = "https://storage.googleapis.com/kaggle-forum-message-attachments/459392/11072/masks.zip"
COMPETITION = "humpback-whale-identification"
EXPECTED = 450

_CALLS = 4  # of Kaggle's client at once; each spends most of its time starting
_CALL_TIMEOUT = 300  # seconds
_HOPELESS = 8  # photos that fail before any has come: the photos are not the cause


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fetch` from the command line."""
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

    Files that are there and valid are not fetched again. A file gets its final name once it is
    complete and decodes. `root/masks.zip` is kept for the next run.

    Args:
        root: folder, created if it does not exist.
        masks_url: http or https address of the zip of masks.
        kaggle: command that starts Kaggle's client; by default the one on PATH or of this Python.

    Raises:
        InputError: something could not be fetched or written; the rest was.
    """
    root = Path(root)
    partial = root / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        for folder in (root / "masks", root / "images", partial):
            folder.mkdir(parents=True, exist_ok=True)
        contents = fetch_masks(masks_url, root / "masks.zip")
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


def _write_masks(contents: dict[str, bytes], root: Path) -> tuple[list[Path], list[str]]:
    """Write the masks; return their paths, and what is wrong with the others."""
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
    """Fetch the missing photos; return what is wrong with those that could not be fetched."""
    photos = {root / "images" / f"{mask.stem}.jpg": mask for mask in masks}
    problems: list[str] = []
    came = False
    with ThreadPoolExecutor(_CALLS) as pool:
        sound = pool.map(lambda pair: _problem(*pair) is None, photos.items())
        missing = [photo for photo, here in zip(photos, sound, strict=True) if not here]
        if not missing:
            return []
        command = list(kaggle or [_find_kaggle()])

        def fetch_one(photo: Path) -> str | None:
            try:
                return _fetch_photo(command, photo, photos[photo])
            except InputError:  # of every photo: here, as this thread would begin another first
                pool.shutdown(wait=False, cancel_futures=True)
                raise

        calls = {pool.submit(fetch_one, photo): photo for photo in missing}
        try:
            for call in tqdm(as_completed(calls), total=len(calls), desc="photos", disable=None):
                problem = call.result()
                came = came or calls[call].exists()
                problems += [problem] if problem else []
                if len(problems) == _HOPELESS and not came:
                    raise InputError(
                        f"no photo could be fetched from Kaggle ({problem}): fix this first"
                    )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return problems


def _fetch_photo(command: list[str], photo: Path, mask: Path) -> str | None:
    """Fetch one photo through Kaggle's client; return what is wrong with it, or None.

    Raises:
        InputError: no other photo could be fetched either.
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
        raise InputError(f"{command[0]} cannot be started ({error}): install it again") from error
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
    """Unpack the photo if it came in a zip, as Kaggle sends some files."""
    if path.read_bytes()[:4] != b"PK\3\4":
        return path
    try:
        with zipfile.ZipFile(path) as file:
            content = read_entry(file, file.getinfo(name))
    except Exception as error:  # zlib.error, EOFError and more
        raise InputError(f"{path} came in a damaged zip ({error}): run again") from error
    photo = path.with_name("unzipped")
    photo.write_bytes(content)
    return photo


def _explain(output: str) -> str:
    """Return the reason why Kaggle's client failed.

    Raises:
        InputError: the reason holds for every photo.
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
        raise InputError(f"Kaggle's client is missing: {how_to_install('kaggle')}")
    return found
