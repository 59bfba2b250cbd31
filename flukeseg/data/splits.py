"""Which photos train and which validate, by stems and seed alone, whatever their order on disk.

Photos that belong together (near-identical, or of one individual) form a cluster, and a cluster is
never divided between training and validation.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from flukeseg.csv_cells import read_rows
from flukeseg.errors import InputError

NEAR_IDENTICAL_BITS = 44
"""Photos whose 256-bit perceptual hashes differ in at most so many bits count as one picture: a
resized, recompressed, brightened or slightly cropped copy, or the next frame of a burst. Hashes of
unrelated photos differ in about half of their bits."""

log = logging.getLogger(__name__)


class SplitPhoto(NamedTuple):
    """A photo of a split: its source in a mixture, or none; `use` is train or val; its name, a hash
    of the photo and mask that the network sees, and one of the photo alone.

    Records of earlier versions lack the last one."""

    source: str
    use: str
    name: str
    hash: str
    photo: str = ""


def clusters(
    stems: Sequence[str], hashes: np.ndarray, individuals: Mapping[str, str] | None = None
) -> list[list[str]]:
    """Group stems that must not be divided between training and validation.

    Args:
        stems: N names.
        hashes: N×B bool, perceptual hashes.
        individuals: the individual on each photo, by stem; a stem without one stands alone.

    Returns:
        Clusters, each sorted, sorted by their first stem.
    """
    links = near_identical(hashes)
    first_photo: dict[str, int] = {}
    for i, stem in enumerate(stems):
        individual = (individuals or {}).get(stem)
        if individual is not None:
            links.append((first_photo.setdefault(individual, i), i))
    rows, columns = np.array(links, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(links)), (rows, columns)), shape=(len(stems),) * 2)
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[str]] = {}
    for stem, number in zip(stems, component.tolist(), strict=True):
        members.setdefault(number, []).append(stem)
    return sorted(sorted(cluster) for cluster in members.values())


def near_identical(
    hashes: np.ndarray, bits: int = NEAR_IDENTICAL_BITS, first: int | None = None
) -> list[tuple[int, int]]:
    """Index pairs i < j of hashes (N×B bool) that differ in at most `bits` bits.

    Of `first` hashes alone, each is compared with all after it; None is of all.
    """
    signs = hashes.astype(np.float32) * 2 - 1  # dot product = B - 2 × differing bits
    pairs = []
    rows = len(signs) - 1 if first is None else first
    for i in range(rows):  # row by row: memory stays at N, not N²
        differing = (signs.shape[1] - signs[i + 1 :] @ signs[i]) / 2
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(differing <= bits)]
    return pairs


def split_by_count(
    groups: Sequence[Sequence[str]], count: int, seed: int, key: str = "data.val_count"
) -> list[str]:
    """Draw `count` validation stems, one cluster at a time.

    A cluster that would exceed the count is skipped, so that the count is met, or nearly. `key` is
    the option that gave it, for errors.

    Raises:
        InputError: the count leaves nothing to train on, or no cluster is small enough.
    """
    total = sum(len(group) for group in groups)
    if not 0 < count < total:
        if total < 2:
            raise InputError("one photo is too few to train and to validate on; give more")
        raise InputError(f"{key}={count} must be between 1 and {total - 1}, of {total}")
    chosen: list[str] = []
    for group in sorted(groups, key=lambda group: _draw(group, seed)):
        if len(chosen) + len(group) <= count:
            chosen += group
    if not chosen:
        raise InputError(
            f"{key}={count} is smaller than every group of photos that belong together: "
            f"the smallest of {len(groups)} has {min(map(len, groups))} of {total} photos"
        )
    return sorted(chosen)


def split_by_fold(groups: Sequence[Sequence[str]], folds: int, fold: int, seed: int) -> list[str]:
    """Return the validation stems of one fold; folds are disjoint, cover all stems, and are about
    equal in size.

    Raises:
        InputError: fewer than 2 folds, more folds than clusters, or no such fold.
    """
    if not 2 <= folds <= len(groups):
        raise InputError(
            f"data.folds={folds} must be between 2 and {len(groups)}, the number of photos or "
            "groups of photos that belong together"
        )
    if not 0 <= fold < folds:
        raise InputError(f"data.fold={fold} must be between 0 and {folds - 1}")
    bins: list[list[str]] = [[] for _ in range(folds)]
    for group in sorted(groups, key=lambda group: (-len(group), _draw(group, seed))):
        min(bins, key=len).extend(group)
    return sorted(bins[fold])


def read_individuals(path: Path, known: Sequence[str]) -> dict[str, str]:
    """Read `groups.csv`: a header `stem,individual`, then one photo a line.

    Stems that are not among `known` are logged; a photo without an individual stands alone.

    Raises:
        InputError: it is not CSV, a column is missing, a stem has two individuals, or no stem is
            known.
    """
    individuals: dict[str, str] = {}
    reader = read_rows(read_text(path).splitlines())
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV ({error}); check its quotes") from error
    if not {"stem", "individual"} <= {*columns}:
        raise InputError(f"{path} must start with the header line: stem,individual")
    for row in rows:
        stem, individual = ((row[column] or "").strip() for column in ("stem", "individual"))
        if stem and individual and individuals.setdefault(stem, individual) != individual:
            raise InputError(f"{path} gives {stem} two individuals; keep one of the lines")
    found = {stem: individuals[stem] for stem in known if stem in individuals}
    if not found:
        raise InputError(f"{path} names none of the photos; give stems without a suffix")
    if strangers := sorted(individuals.keys() - {*known}):
        log.warning(
            "%s names %d stems that are no photos, such as %s; give stems without a suffix",
            *(path, len(strangers), strangers[0]),
        )
    return found


def read_stems(path: Path, known: Sequence[str]) -> list[str]:
    """Read `val.txt`: one stem a line, all of which must be among `known`.

    Raises:
        InputError: the list is empty, or names stems that are not among `known`.
    """
    stems = {line.strip() for line in read_text(path).splitlines()} - {""}
    if not stems:
        raise InputError(f"{path} names no stem; write one a line, or remove the file")
    strangers = sorted(stems - set(known))
    if strangers:
        raise InputError(
            f"{path} names {len(strangers)} stem(s) that have no pair: {', '.join(strangers[:10])}"
        )
    return sorted(stems)


def read_text(path: Path) -> str:
    """Read a text file that a user wrote, with or without a byte order mark.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8; save it again in that encoding") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); replace it") from error


def _draw(group: Sequence[str], seed: int) -> bytes:
    # a hash of the name, not a shuffle of the list: adding a photo moves no other one
    return hashlib.sha256(f"{seed}/{group[0]}".encode()).digest()
