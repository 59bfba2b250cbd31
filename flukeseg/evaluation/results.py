"""A judged set of photos, and the files that hold its figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flukeseg
from flukeseg.evaluation.judging import Row, judge
from flukeseg.evaluation.pairing import PredictedMask, TrueMask
from flukeseg.evaluation.statistics import METRICS, calibrate, summarise
from flukeseg.training.provenance import git_revision

MatchedMasks = dict[str, tuple[TrueMask, PredictedMask]]
"""True and predicted mask of each photo, by name."""

Table = tuple[str, str, list[list[str]]]
"""A table of a report: heading, a sentence on it, and rows of cells, the first its header."""

COLUMNS = (
    "result", "name", *METRICS,
    "coverage", "predicted_coverage", "confidence", "review", "seconds", "note",
)  # fmt: skip
"""Of `per_photo.csv`."""


class Result(NamedTuple):
    """Photos judged alike: their `rows` by `judge`, summed up; `calibration` may be None."""

    name: str
    rows: list[Row]
    summary: dict[str, Any]
    calibration: dict[str, Any] | None
    pairs: MatchedMasks

    @property
    def headline(self) -> str:
        """What it comes to, in a line."""
        figures = self.summary["figures"]
        shown = ("dice", "boundary_iou_2", "boundary_iou_05", "assd", "trailing_mean")
        low, high = figures["dice"]["ci95"]
        means = [f"{METRICS[key]} {figures[key]['mean']:.3f}" for key in shown if key in figures]
        means[0] += f" [{low:.3f}, {high:.3f}]"
        if self.summary["seconds"] is not None:
            means.append(f"{self.summary['seconds']:.3f} s a photo")
        return f"{self.name} ({self.summary['photos']} photos): {'; '.join(means)}"


def judge_pairs(name: str, pairs: MatchedMasks, max_pixels: int) -> Result:
    """Judge pairs and sum up."""
    rows = judge(pairs, max_pixels)
    return Result(name, rows, summarise(rows), calibrate(rows), pairs)


def write_metrics(
    folder: Path,
    results: Sequence[Result],
    comparisons: dict[str, Any],
    tables: Sequence[Table],
) -> dict[str, Any]:
    """Write `per_photo.csv` and `summary.json`; return what is in the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "per_photo.csv").open(
        "w", newline="", encoding="utf-8", errors="backslashreplace"
    ) as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for one in results:
            writer.writerows({"result": one.name, **row} for row in one.rows)
    summary = {
        "flukeseg": flukeseg.__version__,
        "git_revision": git_revision(),
        "results": {one.name: one.summary | {"calibration": one.calibration} for one in results},
        "comparisons": comparisons,
        "tables": {heading: rows for heading, _, rows in tables},
    }
    text = json.dumps(summary, indent=2, default=float)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary
