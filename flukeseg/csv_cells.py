"""CSV files of spreadsheets: what separates their cells, and cells that are shown instead of run.

Where a comma is in numbers, as in German and French, a spreadsheet saves semicolons between cells.

A spreadsheet takes text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a
formula, and a photo can be called so. Such text is written behind an apostrophe, as OWASP's page on
CSV injection advises, and read back without it.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_rows(lines: Iterable[str]) -> csv.DictReader[str]:
    """Read a CSV by the names in its first line, which commas separate, else semicolons or tabs.

    Reading raises `csv.Error` where a quote is never closed, which swallowed the rest otherwise.
    """
    lines = iter(lines)
    header = next(lines, "")
    separator = next((sign for sign in ",;\t" if sign in header), ",")
    return csv.DictReader(itertools.chain([header], lines), strict=True, delimiter=separator)


def escape_cell(value: Any) -> Any:
    """Return a cell's value as it is written; numbers, as text too, stay as they are."""
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def unescape_cell(value: str) -> str:
    """Return the text that `escape_cell` was given."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def restore_bytes(value: str) -> str:
    """Return a name whose bytes that are no UTF-8 were written as `\\udc..`, as it is on disk."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda code: chr(0xDC00 + int(code[1], 16)), value)


def escape_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as it is written."""
    return {column: escape_cell(value) for column, value in row.items()}


def unescape_rows(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Return the rows that a `csv.DictReader` reads as they were before `escape_row`.

    What is no text, such as the cells beyond the last column, stays as it is.
    """
    for row in rows:
        yield {k: unescape_cell(v) if isinstance(v, str) else v for k, v in row.items()}
