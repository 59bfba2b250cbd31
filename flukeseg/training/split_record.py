"""The record of a run's split: which photos it was trained on, and with which it may be resumed."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import escape_cell, unescape_cell
from flukeseg.data.splits import SplitPhoto
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.pretrained import FOLDER, NETWORKS

log = logging.getLogger(__name__)

STARTS = "start_from"
"""In a run's folder, that of the records of runs whose networks it goes on from."""

NAMED = 10
"""Photos that an error names; it counts the rest."""


def write_split(photos: Sequence[SplitPhoto], folder: Path) -> None:
    """Write `split.csv`: the `SplitPhoto` of each photo that is read from a file."""
    with (
        atomic_write(folder / "split.csv") as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(SplitPhoto._fields)
        writer.writerows(map(escape_cell, photo) for photo in sorted(photos))


def read_split(folder: Path) -> list[SplitPhoto] | None:
    """Read a run's `split.csv`; None where the run is of a version that wrote none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / "split.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            rows = list(csv.reader(file, strict=True))[1:]
            return [SplitPhoto(*map(unescape_cell, row)) for row in rows]
        except (csv.Error, TypeError) as error:
            raise InputError(f"{path} is damaged; restore it, or train the run anew") from error


def write_starts(folder: Path, start: str | None, encoder_weights: str | None = None) -> None:
    """Copy to `start_from/` what says which photos the network that a run starts from has seen.

    These are `split.csv` and `config.yaml` of its run, as `0/`, and what that run copied itself, as
    `1/` and so on; whoever judges the run keeps off those photos too. A checkpoint without a run
    has an empty folder. flukeseg's own networks have seen no photo.

    Args:
        folder: of the run that starts.
        start: the run or checkpoint whose network it starts from, see `find_checkpoint`.
        encoder_weights: without `start`, what fills the encoder; files of other tools record none.

    Raises:
        InputError: there is no such checkpoint.
    """
    shutil.rmtree(folder / STARTS, ignore_errors=True)  # of a run that was killed at its start
    key, given = "model.start_from", str(start)
    if not start:
        key, given = "model.encoder_weights", str(encoder_weights)
        is_name = encoder_weights in (None, "imagenet", "package")
        if is_name or not (Path(given).is_dir() or Path(given).suffix == ".ckpt"):
            return
    if given in NETWORKS:
        return
    checkpoint = find_checkpoint(given, key)
    if checkpoint.resolve().parent == FOLDER.resolve():
        return
    run = checkpoint.parent.parent
    for number, one in enumerate([run, *starts_of(run)]):
        copy = folder / STARTS / str(number)
        copy.mkdir(parents=True)
        for name in ("split.csv", "config.yaml"):
            if (one / name).is_file():
                shutil.copyfile(one / name, copy / name)


def warn_of_seen(held: Sequence[SplitPhoto], folder: Path) -> None:
    """Say which photos to validate or test on the network that a run starts from was trained on.

    They are known by hashes of what a network sees, so only where that run was of the same size;
    whoever judges the run later hashes its photos at each size.
    """
    records = [read_split(start) or [] for start in starts_of(folder)]
    seen = {photo.photo for record in records for photo in record if photo.use == "train"} - {""}
    if names := sorted(photo.name for photo in held if photo.photo in seen):
        log.warning(
            "of the %d photos to validate or test on, the network that this run starts from was "
            "trained on %d (first: %s), so that figures will be too good",
            *(len(held), len(names), names[0]),
        )


def starts_of(run: Path) -> list[Path]:
    """Return folders with the records of the runs whose networks a run goes on from."""
    folders = [path for path in (run / STARTS).glob("*") if path.name.isdigit() and path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name))


def refuse_changed_photos(photos: Sequence[SplitPhoto], folder: Path) -> None:
    """Check that a run is resumed with the photos, masks and split that it was started with.

    Otherwise it could be judged on photos that it has learnt from. A run folder without `split.csv`
    is of a version that wrote none, and is accepted.

    Raises:
        InputError: a photo is missing, new, changed or on the other side; names them.
    """
    record = read_split(folder)
    if record is None:
        return
    # without what records of earlier versions lack
    before, now = ({photo._replace(photo="") for photo in side} for side in (record, photos))
    changed = {(photo.source, photo.name) for photo in before ^ now}
    if not changed:
        return
    known = [{(photo.source, photo.name): photo.use for photo in side} for side in (before, now)]
    told = [_describe(key, *known) for key in sorted(changed)[:NAMED]]
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    raise InputError(
        f"{folder} was started with other photos: {', '.join(told)}{more}; restore them to go on, "
        "or leave ckpt_path=last out to start anew"
    )


def _describe(
    key: tuple[str, str], before: dict[tuple[str, str], str], now: dict[tuple[str, str], str]
) -> str:
    was, use = before.get(key), now.get(key)
    if was is None or use is None:
        return f"{key[1]} is {'new' if was is None else 'missing'}"
    return f"{key[1]} has changed" if was == use else f"{key[1]} was for {was} and is for {use}"
