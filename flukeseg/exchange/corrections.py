"""Corrected masks as pairs that training takes as they are: `images/` and `masks/`."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.outside_files import explained, read_json
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.images.decoding import is_undamaged
from flukeseg.images.encoding import encode_png
from flukeseg.images.photo_search import PAIRS
from flukeseg.images.reading import MAX_PIXELS, find_photos
from flukeseg.prediction.kept_masks import hash_file

log = logging.getLogger(__name__)


def write_corrections(
    output: Path,
    corrections: Iterable[tuple[PredictedPhoto, np.ndarray]],
    origin: str = "corrections",
    photos: Iterable[PredictedPhoto] = (),
) -> Counter[str]:
    """Write `images/` and `masks/` of the photos that somebody went through.

    A mask that nobody changed is the prediction's file, byte for byte. Files that are there already
    with the same content stay as they are. Folders in a photo's name become `__`. Only what was
    written from the same origin is replaced, and only where nobody changed it since.

    Args:
        output: folder of the pairs.
        corrections: photos and their masks H×W uint8, 0 or 1; an empty one is no fluke.
        origin: where they come from, as it is named in errors, such as `masks of FOLDER`.
        photos: those whose pairs of this origin are deleted where `corrections` lacks them.

    Returns:
        How many masks are `unchanged`, `changed`, and of these `emptied`; and how many of all take
        the place of others that were written before, as of another annotator, and are `replaced`.

    Raises:
        InputError: a photo comes twice, or two are called alike, or one has gone or was changed, or
            a file of another origin or of a person's is in the way.
    """
    counts: Counter[str] = Counter(unchanged=0, changed=0, emptied=0, replaced=0)
    stems: dict[str, Path] = {}
    pairs = _Pairs(output, origin)
    try:
        for photo, mask in corrections:
            stem = _stem(photo)
            if (other := stems.get(stem.casefold())) == photo.path:
                raise InputError(f"{photo.path} comes twice; keep one of its annotations")
            if other is not None:
                raise InputError(f"{other} and {photo.path} would both be {stem}; rename one")
            stems[stem.casefold()] = photo.path
            same = np.array_equal(mask, photo.read_mask())
            content = photo.mask_path.read_bytes() if same else encode_png(mask * 255)
            counts["unchanged" if same else "changed"] += 1
            counts["emptied"] += not same and not mask.any()
            counts["replaced"] += pairs.write(stem, photo.require_photo(), content)
        for photo in photos:
            if _stem(photo).casefold() not in stems:
                pairs.delete(_stem(photo), photo)
    finally:  # what was written until then is known to be ours
        pairs.save()
    return counts


def _stem(photo: PredictedPhoto) -> str:
    return photo.name.replace("/", "__")


class _Pairs:
    """The pairs of a folder, with a record of those that were written here, and from what.

    Args:
        output: the folder, which may not exist yet.
        origin: what pairs are written from now.
    """

    def __init__(self, output: Path, origin: str) -> None:
        self.output, self.origin = output, origin
        self._known = _read_record(output / PAIRS)
        self._is_changed = False
        self._there = {kind: _by_stem(output / kind) for kind in ("images", "masks")}

    def write(self, stem: str, photo: Path, mask: bytes) -> bool:
        """Write a pair, or leave it as it is where nothing in it is new.

        Returns:
            Whether its mask took the place of another.

        Raises:
            InputError: another's file is in the way; neither photo nor mask is then written.
        """
        known = self._known.get(stem, {})
        is_ours = known.get("origin") == self.origin
        before = known if is_ours else {}
        is_copied = bool(before.get("copied"))
        digests = {"photo": hash_file(photo), "mask": hashlib.sha256(mask).hexdigest()}
        image_path = self.output / "images" / f"{stem}{photo.suffix}"
        mask_path = self.output / "masks" / f"{stem}.png"
        was = before.get("photo") if is_copied else None
        is_new_image = self._is_new(image_path, digests["photo"], was)
        is_new_mask = self._is_new(mask_path, digests["mask"], before.get("mask"))
        for path in {*self._files(image_path), *self._files(mask_path)} - {image_path, mask_path}:
            path.unlink()  # ours, of a photo that had another suffix
        if is_new_image:
            with atomic_write(image_path) as partial:
                shutil.copyfile(photo, partial)
        if is_new_mask:
            with atomic_write(mask_path) as partial:
                partial.write_bytes(mask)
        if is_ours or is_new_mask:
            now = {"origin": self.origin, **digests, "copied": is_new_image or is_copied}
            self._is_changed |= now != known
            self._known[stem] = now
        return is_new_mask and before.get("mask") not in (None, digests["mask"])

    def delete(self, stem: str, photo: PredictedPhoto) -> None:
        """Delete a pair that was written from the same origin, where it is still as it was.

        It stays where nobody could make it again: the photo was replaced, or its mask is damaged.
        """
        known, mask = self._known.get(stem, {}), self.output / "masks" / f"{stem}.png"
        if known.get("origin") != self.origin:
            return
        files = dict.fromkeys(self._files(mask), known.get("mask"))
        if known.get("copied"):
            image = self.output / "images" / mask.name
            files |= dict.fromkeys(self._files(image), known.get("photo"))
        as_written = {**files, photo.path: known.get("photo")}
        if not is_undamaged(photo.mask_path, MAX_PIXELS) or any(
            hash_file(path) != digest for path, digest in as_written.items()
        ):
            log.warning("%s stays, changed or not to be made again; delete it if wrong", mask)
            return
        for path in files:
            path.unlink(missing_ok=True)
        del self._known[stem]
        self._is_changed = True
        log.info("%s deleted: its mask was taken back", mask)

    def save(self) -> None:
        """Write the record, where anything in it is new."""
        if self._is_changed:
            with atomic_write(self.output / PAIRS) as partial:
                partial.write_text(json.dumps(self._known, indent=1))

    def _is_new(self, path: Path, digest: str | None, before: str | None) -> bool:
        """Tell whether a file is to be written.

        Args:
            path: of the file.
            digest: of its content, SHA-256.
            before: of what was written there from the same origin; None where nothing was.
        """
        is_new = True
        for there in {*self._files(path), path}:
            now = hash_file(there)
            # what a person changed there stays, as long as there is nothing new to write
            if now is not None and there == path and digest in (now, before):
                is_new = False
            elif now not in (None, before):
                wrote = self._known.get(path.stem, {}).get("origin", self.origin)
                raise InputError(
                    f"{there} was written from the {wrote}; name another output= for the "
                    f"{self.origin}"
                    if wrote != self.origin
                    else f"{there} is not what was written from the {wrote}, so it stays; name "
                    "another output=, or move it away"
                )
        return is_new

    def _files(self, path: Path) -> list[Path]:
        """Return the files that training would take for this one, whatever their suffix."""
        return self._there[path.parent.name].get(path.stem.casefold(), [])


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in find_photos(folder) if folder.is_dir() else []:
        found[path.stem.casefold()].append(path)
    return dict(found)


def _read_record(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = read_json(path)
    with explained(str(path)):
        return {stem: entry for stem, entry in content.items() if "origin" in entry}
