"""Wildbook's bulk import: spreadsheets of at most 200 encounters, each with its photos."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.exif import Taken, read_taken
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.reid_tables import Add, csv_table
from flukeseg.images.photo_search import COPIES

MOST = 200
"""Encounters of one import, by Wildbook's own advice."""

LONGEST = 80
"""Letters of a photo's new name, without suffix."""


@contextmanager
def wildbook_table(
    output: Path,
    individuals: Individuals,
    species: str,
    location: str | None,
    year: int | None,
    submitter: str | None,
) -> Iterator[Add]:
    """Write `wildbook/001/encounters.csv` and its `photos/`, then 002, …; an encounter a photo.

    Photos without a fluke are left out. Photos are copied under names of letters, digits, periods
    and spaces alone, since Wildbook removes everything else; `wildbook/names.csv` says which was
    which. Columns are those of Wildbook's documentation of its bulk import; those that are empty
    for everybody are left out, as it asks. What an earlier run wrote, as `names.csv` says, and this
    one does not is deleted, so that nothing is imported twice.

    Args:
        output: folder of the table.
        individuals: who is on the photos.
        species: genus and epithet, such as `Megaptera novaeangliae`.
        location: a location ID as Wildbook lists it; None where every photo knows its place.
        year: of photos whose EXIF has no date; None where every photo has one.
        submitter: user name at Wildbook.

    Raises:
        InputError: the species is not two words.
    """
    genus, _, epithet = species.partition(" ")
    if not epithet or " " in epithet:
        raise InputError(
            f"table.species={species} must be genus and epithet, as Megaptera novaeangliae"
        )
    constant = {
        "Encounter.genus": genus,
        "Encounter.specificEpithet": epithet,
        "Encounter.locationID": location,
        "Encounter.submitterID": submitter,
    }
    columns = [
        "Encounter.mediaAsset0", "Encounter.year", "Encounter.month", "Encounter.day",
        "Encounter.hour", "Encounter.minutes",
        "Encounter.decimalLatitude", "Encounter.decimalLongitude",
        *(name for name, value in constant.items() if value is not None),
    ]  # fmt: skip
    if individuals.path is not None:
        columns.append("MarkedIndividual.individualID")
    used: set[str] = set()
    before = _read_names(output / "wildbook")
    written: dict[tuple[str, str], Path] = {}
    write = None  # of the current import
    with ExitStack() as whole_run:  # a run that fails changes nothing
        note = whole_run.enter_context(
            csv_table(output / "wildbook" / "names.csv", ("import", "name", "photo"))
        )

        def add(photo: PredictedPhoto) -> None:
            nonlocal write
            if not photo.flukes:
                return
            row = _taken_columns(photo, read_taken(photo.require_photo()), location, year)
            number = f"{len(written) // MOST + 1:03d}"
            folder = output / "wildbook" / number
            if len(written) % MOST == 0:
                write = whole_run.enter_context(csv_table(folder / "encounters.csv", columns))
            name = safe_name(photo.relative, used)
            row["Encounter.mediaAsset0"] = name
            row |= {key: value for key, value in constant.items() if value is not None}
            if individuals.path is not None:
                row["MarkedIndividual.individualID"] = individuals.name(photo)
            write(row)
            note({"import": number, "name": name, "photo": photo.path})
            written[number, name] = photo.path

        yield add
        if written:
            (output / "wildbook").mkdir(parents=True, exist_ok=True)
            (output / "wildbook" / COPIES).touch()
        for (number, name), photo in written.items():
            with atomic_write(output / "wildbook" / number / "photos" / name) as partial:
                shutil.copyfile(photo, partial)
    _delete(output / "wildbook", before - written.keys(), {number for number, _ in written})


def _read_names(folder: Path) -> set[tuple[str, str]]:
    """Return import and file name of what an earlier run wrote; the folder may be a stranger's."""
    path = folder / "names.csv"
    if not path.is_file():
        return set()
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            named = {(row["import"], row["name"]) for row in csv.DictReader(file)}
    except (KeyError, csv.Error) as error:
        raise InputError(f"{path} is not what was written there; delete {folder}") from error
    return {
        (number, name)
        for number, name in named
        if re.fullmatch(r"[0-9]{3,}", number or "") and re.fullmatch(r"[A-Za-z0-9. ]+", name or "")
    }


def _delete(folder: Path, old: set[tuple[str, str]], kept: set[str]) -> None:
    """Delete photos of an earlier run, and imports that none are left of; no file of others."""
    for number, name in old:
        photo = folder / number / "photos" / name
        if photo.parent.resolve() == folder.resolve() / number / "photos" and photo.is_file():
            photo.unlink()
    for number in {number for number, _ in old} - kept:
        one_import = folder / number
        if not one_import.is_symlink():
            (one_import / "encounters.csv").unlink(missing_ok=True)
            with suppress(OSError):  # somebody else's files are in it
                (one_import / "photos").rmdir()
                one_import.rmdir()


def safe_name(relative: str, used: set[str]) -> str:
    """Return a file name of letters, digits, periods and spaces that nobody has, and note it.

    Args:
        relative: path of the photo, with `/`.
        used: names given so far, in lower case.
    """
    path = PurePosixPath(relative)
    plain = re.sub(r"[^A-Za-z0-9. ]+", " ", str(path.with_suffix("")))
    plain = " ".join(plain.split())[-LONGEST:].strip(" .") or "photo"
    suffix = re.sub(r"[^A-Za-z0-9.]", "", path.suffix)
    name, number = plain + suffix, 1
    while name.lower() in used:
        number += 1
        name = f"{plain} {number}{suffix}"
    used.add(name.lower())
    return name


def _taken_columns(
    photo: PredictedPhoto, taken: Taken, location: str | None, year: int | None
) -> dict[str, Any]:
    missing = []
    if taken.when is None and year is None:
        missing.append(("date", "table.year="))
    if taken.latitude is None and location is None:
        missing.append(("place", "table.location= with an ID from its list"))
    if missing:
        raise InputError(
            f"{photo.path} has no {' and no '.join(what for what, _ in missing)} in its EXIF, "
            "which Wildbook wants of every encounter; for photos that have none, give "
            f"{' and '.join(option for _, option in missing)}"
        )
    row: dict[str, Any] = {"Encounter.year": year}
    if taken.when is not None:
        parts = ("year", "month", "day", "hour")
        row = {f"Encounter.{part}": getattr(taken.when, part) for part in parts}
        row["Encounter.minutes"] = taken.when.minute
    if taken.latitude is not None:
        row["Encounter.decimalLatitude"] = taken.latitude
        row["Encounter.decimalLongitude"] = taken.longitude
    return row
