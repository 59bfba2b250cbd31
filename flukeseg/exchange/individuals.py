"""Who is on which photo, by a table that a person keeps."""

from __future__ import annotations

import csv
from pathlib import Path

from flukeseg.csv_cells import read_rows
from flukeseg.errors import InputError
from flukeseg.exchange.predicted_photos import PredictedPhoto


class Individuals:
    """Names of individuals by photo, from a CSV with the columns `photo` and `name`.

    A photo is named by its path, by its path inside the folder of photos, or by its file name.

    Args:
        path: of the CSV; None names nobody.

    Raises:
        InputError: it cannot be read, lacks a column, or gives one photo two names.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = path
        self._names: dict[str, str] = {}
        self._photos: dict[str, str] = {}
        if path is None:
            return
        try:
            # utf-8-sig: spreadsheets put a mark at the start; surrogateescape: names are only bytes
            with Path(path).open(
                newline="", encoding="utf-8-sig", errors="surrogateescape"
            ) as file:
                rows = read_rows(file)
                if not {"photo", "name"} <= set(rows.fieldnames or ()):
                    raise InputError(f"individuals={path} must have the columns photo and name")
                for row in rows:
                    photo, name = (row["photo"] or "").strip(), (row["name"] or "").strip()
                    if any("\udc80" <= letter <= "\udcff" for letter in name):
                        raise InputError(f"individuals={path} is not UTF-8; save it as CSV UTF-8")
                    if name and self._names.setdefault(photo, name) != name:
                        raise InputError(
                            f"individuals={path} names {photo} twice, {self._names[photo]} and "
                            f"{name}; keep one"
                        )
        except OSError as error:
            raise InputError(f"individuals={path} cannot be read ({error.strerror})") from error
        except csv.Error as error:
            raise InputError(f"individuals={path} is not a CSV file ({error})") from error

    def name(self, photo: PredictedPhoto) -> str | None:
        """Return who is on a photo; None where nobody is named.

        Raises:
            InputError: a file name in the CSV fits two photos.
        """
        for key in (str(photo.path), photo.given, photo.relative, photo.path.name):
            if key in self._names:
                first = self._photos.setdefault(key, str(photo.path))
                if first != str(photo.path):
                    raise InputError(
                        f"individuals={self.path} names {key}, which is {first} or {photo.path}; "
                        "give its path"
                    )
                return self._names[key]
        return None

    @property
    def unused(self) -> list[str]:
        """Photos of the CSV that `name` was not asked for."""
        return [photo for photo in self._names if photo not in self._photos]
