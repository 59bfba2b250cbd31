"""A judged set of photos, and the files that hold its metrics."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flukeseg
from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import escape_row
from flukeseg.errors import InputError
from flukeseg.evaluation.judging import Row, judge
from flukeseg.evaluation.pairing import MatchedMasks, find_predicted, find_true_masks, pair
from flukeseg.evaluation.statistics import METRICS, calibrate, summarise
from flukeseg.masks.metrics import COUNTS
from flukeseg.training.provenance import git_revision

Table = tuple[str, str, list[list[str]]]
"""A table of a report: heading, a sentence on it, and rows of cells, the first its header."""

COLUMNS = (
    "result", "name", *METRICS,
    "coverage", "predicted_coverage", "confidence", "review", "seconds", "note",
    *COUNTS,
)  # fmt: skip
"""Of `per_photo.csv`."""


class Result(NamedTuple):
    """Photos judged together: `rows` of `judge`, their summary, and `calibration` or None."""

    name: str
    rows: list[Row]
    summary: dict[str, Any]
    calibration: dict[str, Any] | None
    pairs: MatchedMasks

    @property
    def headline(self) -> str:
        """The most important metrics, in a line."""
        metrics = self.summary["figures"]
        shown = ("dice", "boundary_iou_2", "boundary_iou_05", "assd", "trailing_mean")
        low, high = metrics["dice"]["ci95"]
        means = [f"{METRICS[key]} {metrics[key]['mean']:.3f}" for key in shown if key in metrics]
        means[0] += f" [{low:.3f}, {high:.3f}]"
        if self.summary["seconds"] is not None:
            means.append(f"{self.summary['seconds']:.3f} s per photo")
        return f"{self.name} ({self.summary['photos']} photos): {'; '.join(means)}"


def judge_pairs(name: str, pairs: MatchedMasks, max_pixels: int) -> Result:
    """Judge pairs and summarise them."""
    rows = judge(pairs, max_pixels)
    return Result(name, rows, summarise(rows), calibrate(rows), pairs)


def judge_folders(predictions: Sequence[str], truth: str, max_pixels: int) -> list[Result]:
    """Judge folders of masks, of any tool, against one folder of true masks.

    Raises:
        InputError: a folder or a mask cannot be used, or no mask has its counterpart.
    """
    truths = find_true_masks(truth)
    names = [Path(folder).name for folder in predictions]
    if len(set(names)) < len(names):
        names = list(predictions)
    if len(set(names)) < len(names):
        raise InputError(f"predictions={list(predictions)} names a folder twice; name it once")
    return [
        judge_pairs(name, pair(truths, find_predicted(folder)), max_pixels)
        for name, folder in zip(names, predictions, strict=True)
    ]


def write_metrics(
    folder: Path,
    results: Sequence[Result],
    comparisons: dict[str, Any],
    tables: Sequence[Table],
) -> dict[str, Any]:
    """Write `per_photo.csv` and `summary.json`; return the content of the latter."""
    with (
        atomic_write(folder / "per_photo.csv") as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for one in results:
            writer.writerows(escape_row({"result": one.name, **row}) for row in one.rows)
    summary = {
        "flukeseg": flukeseg.__version__,
        "git_revision": git_revision(),
        "results": {one.name: one.summary | {"calibration": one.calibration} for one in results},
        "comparisons": comparisons,
        "tables": {heading: rows for heading, _, rows in tables},
    }
    with atomic_write(folder / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=2, default=float) + "\n", encoding="utf-8")
    return summary
