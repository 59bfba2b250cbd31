"""The order in which masks are worth looking at: one number, 1 first, wherever they are listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GROUPS = (
    "look at these first",
    "probably right",
    "no fluke found",
    "corrected by hand",
    "could not be read",
)
"""Every photo is in one of them; they follow each other in this order."""


def review_group(row: Mapping[str, Any]) -> int:
    """Return which of `GROUPS` a line of the journal belongs to."""
    kind = row["status"].split(":")[0]
    if kind == "ok":
        return 0 if row.get("review") else 1
    return {"no_fluke": 2, "corrected": 3}.get(kind, 4)


def review_ranks(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return each line's place in the order of review, from 1.

    First come masks with a reason to look, then the others, then photos without a fluke, masks
    that a person corrected, and photos that could not be read; in each group those with the lowest
    confidence first, as they are the most probably wrong, and of equal ones the first line.
    """
    keys = [(review_group(row), row.get("confidence", 0.0)) for row in rows]
    ranks = [0] * len(keys)
    for rank, number in enumerate(sorted(range(len(keys)), key=keys.__getitem__), start=1):
        ranks[number] = rank
    return ranks
