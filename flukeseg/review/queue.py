"""The photos of a prediction folder in the order of review, as far as they are predicted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flukeseg.images.photo_search import STATE
from flukeseg.masks.review_order import review_group, review_ranks
from flukeseg.prediction.inputs import stamp
from flukeseg.prediction.journal import JournalRows
from flukeseg.prediction.kept_masks import Verdict, Verdicts, hash_file, mask_name

Row = Mapping[str, Any]

POINTS = ("left_tip", "notch", "right_tip")
"""Of the largest fluke, where the prediction looked for them."""


def photo_id(name: str) -> str:
    """Return what stands for a photo in addresses: of letters and digits, whatever its name."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:20]


class ReviewQueue:
    """What there is to look at; read again where a run or a person has added something.

    Args:
        folder: the prediction folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / STATE
        self.verdicts = Verdicts(folder)
        self._lock = threading.Lock()
        self._stamps: list[tuple[str, int, int]] = []
        self._rows: dict[str, Row] = {}

    def rows(self) -> dict[str, Row]:
        """Return the lines of the journal by the photo's id, in the order of review."""
        with self._lock:  # several requests of a page would all read thousands of lines
            journals = sorted(self.state.glob("journal-*.jsonl"))
            stats = [(path, path.stat()) for path in journals]
            stamps = [(path.name, found.st_size, found.st_mtime_ns) for path, found in stats]
            if stamps != self._stamps:
                lines = list(JournalRows(journals))
                ranked = zip(review_ranks(lines), lines, strict=True)
                ordered = [row for _, row in sorted(ranked, key=lambda pair: pair[0])]
                self._rows, self._stamps = {photo_id(row["name"]): row for row in ordered}, stamps
            return self._rows

    @property
    def version(self) -> str:
        """What changes when there are other photos or verdicts."""
        self.rows()
        said = self.verdicts.latest()
        text = f"{self._stamps} {len(said)} {hash(tuple(said.values()))}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def progress(self) -> dict[str, int]:
        """Return how many photos there are that can be looked at, and how many were."""
        said = self.verdicts.latest()
        rows = [row for row in self.rows().values() if "width" in row]
        return {"total": len(rows), "looked_at": sum(row["name"] in said for row in rows)}

    def photo(self, row: Row) -> dict[str, Any]:
        """Describe a photo for the page."""
        return self._describe(row, self.verdicts.latest().get(row["name"]))

    def photos(self) -> list[dict[str, Any]]:
        """Describe every photo, the one to look at first being the first."""
        said = self.verdicts.latest()
        return [self._describe(row, said.get(row["name"])) for row in self.rows().values()]

    def _describe(self, row: Row, verdict: Verdict | None) -> dict[str, Any]:
        mask = stamp(self.folder / mask_name(row["name"]))
        box = [row.get(f"box_{side}") for side in ("x", "y", "width", "height")]
        is_as_predicted = not verdict or verdict.verdict == "right"
        return {
            "id": photo_id(row["name"]),
            "name": row["name"].encode(errors="replace").decode(),
            "status": row["status"].encode(errors="replace").decode(),
            "group": review_group(row),
            "reasons": row["review"].split("; ") if row.get("review") else [],
            "confidence": row.get("confidence"),
            "verdict": verdict.verdict if verdict else None,
            "version": mask[1] if mask else 0,
            "box": dict(zip(("x", "y", "width", "height"), box, strict=True))
            if is_as_predicted and None not in box
            else None,
            "points": [
                {"x": row[f"{point}_x"], "y": row[f"{point}_y"]}
                for point in POINTS
                if is_as_predicted and isinstance(row.get(f"{point}_x"), int | float)
            ],
        }

    def etag(self, row: Row) -> str | None:
        """Return what tells a mask's file from what it was, as HTTP writes it."""
        digest = hash_file(self.folder / mask_name(row["name"]))
        return None if digest is None else f'"{digest}"'
