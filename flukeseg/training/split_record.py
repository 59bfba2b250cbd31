"""The record of a run's split: which photos it was trained on, and with which it may be resumed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import escape_cell, unescape_cell
from flukeseg.data.splits import SplitPhoto
from flukeseg.errors import InputError

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
