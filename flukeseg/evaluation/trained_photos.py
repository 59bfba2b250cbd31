"""Which photos of a folder a run was trained and validated on, by the run's own record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from flukeseg.data.cache import digests
from flukeseg.data.splits import SplitPhoto
from flukeseg.data.workers import available_processors
from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import TrueMask
from flukeseg.evaluation.run_data import read_run_data
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.images.rgbm import read_rgbm
from flukeseg.training.split_record import STARTS, read_split, starts_of

log = logging.getLogger(__name__)


class RunPhotos(NamedTuple):
    """Names of the photos of a folder that a run was trained on, that it validated on, and that the
    networks were trained on that it goes on from."""

    train: frozenset[str] = frozenset()
    val: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()


def find_run_photos(run: Path, root: Path, truths: Mapping[str, TrueMask]) -> RunPhotos:
    """Find the photos of a folder that a run was trained and validated on, by its `split.csv`.

    A photo is known by its pixels, wherever it lies and whatever its mask is today. In the folder
    that the run itself names, a photo of other pixels is known by its name: it was changed since.
    A photo that was used both ways was trained on. What cannot be known is logged.

    Args:
        run: the run's folder.
        root: the folder of pairs.
        truths: its photos.

    Raises:
        InputError: the run's files are damaged.
    """
    # a run and its starts mostly see photos alike
    hashes = cache(partial(_hashes, truths))
    before = [_find_photos(start, root, truths, hashes).train for start in starts_of(run)]
    own = _find_photos(run, root, truths, hashes)
    return own._replace(before=frozenset[str]().union(*before))


def _find_photos(
    run: Path,
    root: Path,
    truths: Mapping[str, TrueMask],
    hashes: Callable[[tuple[int, int], int], Mapping[str, tuple[str, ...]]],
) -> RunPhotos:
    record, data = read_split(run), read_run_data(run)
    own = data is not None and data.root is not None and Path(data.root).resolve() == root.resolve()
    if data is None or (record is None and not own):
        log.warning(
            "%s does not record which photos it was trained on: some of those judged may be among "
            "them",
            run,
        )
        return RunPhotos()
    if record is None:  # of a version that wrote none
        log.warning(
            "%s has no split.csv: its split is drawn again from the photos that lie in %s today, "
            "and is another one if there were others then",
            run,
            root,
        )
        val = truths.keys() & data.validation_names()
        return RunPhotos(frozenset(truths.keys() - val), frozenset(val))
    return _match(record, hashes(data.size, data.mask_threshold) if record else {}, own, run, root)


def _match(
    record: list[SplitPhoto],
    hashes: Mapping[str, tuple[str, ...]],
    own: bool,
    run: Path,
    root: Path,
) -> RunPhotos:
    by_hash: dict[str, set[str]] = {}
    for photo in record:
        for digest in filter(None, (photo.hash, photo.photo)):
            by_hash.setdefault(digest, set()).add(photo.use)
    by_name = {photo.name: {photo.use} for photo in record}
    uses: dict[str, set[str]] = {}
    for name, of_photo in hashes.items():
        uses[name] = set().union(*(by_hash.get(digest, ()) for digest in of_photo))
        if own and not uses[name]:
            uses[name] = by_name.get(name, set())
    _log_differences(record, hashes, run, root)
    train = frozenset(name for name, use in uses.items() if "train" in use)
    return RunPhotos(train, frozenset(name for name, use in uses.items() if use == {"val"}))


def _log_differences(
    record: list[SplitPhoto], hashes: Mapping[str, tuple[str, ...]], run: Path, root: Path
) -> None:
    here = {digest for of_photo in hashes.values() for digest in of_photo}
    found = {photo for photo in record if {photo.hash, photo.photo} & here}
    if not found:
        if alike := sorted({photo.name for photo in record} & hashes.keys()):
            log.warning(
                "%s has photos with the names of some that %s was trained or validated on, and "
                "other pixels; if they are the same, saved anew, training photos may be judged: %s",
                *(root, run, name_some(alike)),
            )
        return
    sources = {photo.source for photo in found}  # others lie in folders of their own
    ours = [photo for photo in record if photo.source in sources and photo.use == "val"]
    lost = sorted(photo.name for photo in ours if photo not in found)
    if lost and run.parent.name != STARTS:  # what a start validated on is not judged here
        log.warning(
            "of the %d photos that %s validated on, %d are not in %s or were changed since: %s",
            *(len(ours), run, len(lost), root, name_some(lost)),
        )


def name_some(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _hashes(
    truths: Mapping[str, TrueMask], size: tuple[int, int], mask_threshold: int
) -> dict[str, tuple[str, ...]]:
    """Return the hashes of photos as a network of a size sees them, by name."""

    def read(truth: TrueMask) -> tuple[str, ...]:
        if truth.photo is None:
            return ()
        try:
            photo = read_rgbm(truth.photo) if truth.in_channels == 4 else read_photo(truth.photo)
            mask = read_mask(truth.mask, mask_threshold)
        except InputError:  # no run was trained on it, and whoever judges it says what is wrong
            return ()
        return digests(resize_photo(photo, size), resize_mask(mask, size))

    # Pillow and OpenCV release the GIL while they decode
    with ThreadPoolExecutor(available_processors()) as pool:
        found = pool.map(read, truths.values())
        bar = tqdm(found, total=len(truths), unit="photo", desc="split.csv", leave=False)
        return dict(zip(truths, bar, strict=True))
