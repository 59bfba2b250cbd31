"""Tables for re-identification of a prediction folder, all in one pass."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from flukeseg.errors import InputError, require_int, require_text
from flukeseg.exchange.curvrank import TrailingEdge, curvrank_table, read_trailing_edge
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.predicted_photos import PredictedPhoto, Predictions
from flukeseg.exchange.reid_tables import megadetector_table, miewid_table, wildlife_table
from flukeseg.exchange.wildbook import wildbook_table

log = logging.getLogger(__name__)

TABLES = ("miewid", "wildlife", "megadetector", "wildbook", "curvrank")
"""Names of the tables; README.md of this folder says who reads which."""


@dataclass(frozen=True)
class TableSettings:
    """What the tables say besides the masks.

    Args:
        individuals: CSV with the columns `photo` and `name`; None names nobody.
        flukes: of each photo in `miewid` and `wildlife`: `largest` or `all`.
        species: scientific name, genus first.
        location: of `wildbook`, an ID from its list; None where EXIF has the place of every photo.
        year: of `wildbook`, for photos whose EXIF has no date.
        submitter: of `wildbook`, a user name there.

    Raises:
        InputError: `flukes` is neither, the year none, a text none, or `individuals` cannot be
            read.
    """

    individuals: str | None = None
    flukes: str = "largest"
    species: str = "Megaptera novaeangliae"
    location: str | None = None
    year: int | None = None
    submitter: str | None = None

    def __post_init__(self) -> None:
        if self.flukes not in ("largest", "all"):
            raise InputError(f"table.flukes={self.flukes} must be largest or all")
        # before photos are predicted, not after
        for key in ("individuals", "species", "location", "submitter"):
            if (value := getattr(self, key)) is not None:
                option = key if key == "individuals" else f"table.{key}"
                object.__setattr__(self, key, require_text(option, value))
        if self.year is not None:
            require_int("table.year", self.year, least=1900, most=datetime.now().year)
        Individuals(self.individuals)


def write_tables(
    predictions: str | Path,
    output: str | Path,
    tables: Sequence[str],
    settings: TableSettings,
    photos: str | Path | None = None,
) -> int:
    """Write tables of a prediction folder's current masks.

    Args:
        predictions: the folder.
        output: folder of the tables; made if it does not exist.
        tables: some of `TABLES`.
        settings: what they say besides the masks.
        photos: where the photos lie now, see `Predictions`.

    Returns:
        The number of photos.

    Raises:
        InputError: a name or a file cannot be used; no table is then changed.
    """
    if not tables:
        raise InputError(f"tables={list(tables)} must name one of {', '.join(TABLES)}")
    if unknown := [table for table in tables if table not in TABLES]:
        raise InputError(f"tables={unknown[0]} is not one of {', '.join(TABLES)}")
    output = Path(output)
    individuals = Individuals(settings.individuals)
    most = 1 if settings.flukes == "largest" else None
    predicted = Predictions(predictions, photos)

    def trailing_edge(photo: PredictedPhoto) -> TrailingEdge | None:
        return read_trailing_edge(predicted.folder, photo.name)

    species, location = settings.species, settings.location
    makers = {
        "miewid": partial(miewid_table, output, individuals, species, most),
        "wildlife": partial(wildlife_table, output, individuals, most),
        "megadetector": partial(megadetector_table, output),
        "wildbook": partial(
            wildbook_table, output, individuals, species, location, settings.year,
            settings.submitter,
        ),
        "curvrank": partial(curvrank_table, output, individuals, trailing_edge),
    }  # fmt: skip
    count = named = 0
    with ExitStack() as stack:
        adders = [stack.enter_context(makers[table]()) for table in dict.fromkeys(tables)]
        predicted.leave_out_unusable("the tables")
        for photo in predicted:
            named += individuals.name(photo) is not None
            for add in adders:
                add(photo)
            count += 1
        if settings.individuals is not None and not named:
            raise InputError(
                f"individuals={settings.individuals} names none of the {count} photos; give their "
                "paths or file names in the column photo"
            )
    log.info("%d photos, %d of them named: %s", count, named, output)
    if unused := individuals.unused:
        log.warning("%d photos of individuals= are not here, say %s", len(unused), unused[0])
    return count
