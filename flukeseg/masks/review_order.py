"""The order in which masks are worth looking at: one number, 1 first, wherever they are listed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

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
    if kind in ("ok", "corrected") and row.get("review"):
        return 0
    return {"ok": 1, "no_fluke": 2, "corrected": 3}.get(kind, 4)


def review_ranks(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return each line's place in the order of review, from 1.

    First come masks with a reason to look, then the others, then photos without a fluke, masks
    that a person corrected, and photos that could not be read; in each group those with the lowest
    confidence first, as they are the most probably wrong, and of equal ones the first line.
    """
    groups, confidences = array("b"), array("d")
    for row in rows:
        groups.append(review_group(row))
        confidences.append(row.get("confidence", 0.0))
    ranks = np.empty(len(groups), int)
    ranks[np.lexsort((confidences, groups))] = np.arange(1, len(groups) + 1)
    return ranks.tolist()
