"""Which of a teacher's masks become pseudo-labels, and which of their pixels are unknown."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.csv_cells import escape_row
from flukeseg.data.pseudo_labels import COLUMNS, levels_of
from flukeseg.errors import InputError, require_int, require_number
from flukeseg.images.encoding import encode_jpeg, encode_png
from flukeseg.images.reading import read_mask
from flukeseg.masks.sheets import Cell, draw_contours, draw_galleries
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.journal import read_row_photo

LEAST_MASKS = 5
"""That must be good together, as one at the top may be good by chance."""


@dataclass(frozen=True)
class Gate:
    """The conditions on which a mask is accepted.

    Args:
        good: Dice of a mask that is good enough to train on; 0 to 1.
        precision: share of the accepted masks that should be good, by calibration; 0 to 1.
        disagreement: of views and networks, above which a mask is refused whatever its confidence.
        sure: probability from which a pixel is fluke; below 1 - sure it is not; 0.5 to 1.
        spread: standard deviation between views above which a pixel is unknown.
        val_count: masks kept to validate on, at most a fifth; 0 where some are drawn by hand.

    Raises:
        InputError: a value is out of range.
    """

    good: float = 0.9
    precision: float = 0.95
    disagreement: float = 0.08
    sure: float = 0.9
    spread: float = 0.2
    val_count: int = 20

    def __post_init__(self) -> None:
        for name in ("good", "precision", "disagreement", "sure", "spread"):
            require_number(f"gate.{name}", getattr(self, name), least=0.5 if name == "sure" else 0)
        require_int("gate.val_count", self.val_count, least=0)


def least_confidence(gate: Gate, confidence: Sequence[float], dice: Sequence[float]) -> float:
    """Return the confidence from which enough of the masks are good.

    Args:
        gate: what is good, and what share should be.
        confidence: of masks whose true mask is known, 0..1.
        dice: of the same masks.

    Raises:
        InputError: there is no such confidence.
    """
    if len(confidence) < LEAST_MASKS:
        raise InputError(
            f"only {len(confidence)} of the photos with true masks were given a mask, and "
            f"{LEAST_MASKS} are needed to tell which confidence is enough; give a better "
            "checkpoint, or more photos as calibrate_on= or calibrate_count="
        )
    order = np.argsort(confidence)[::-1]
    ordered = np.asarray(confidence)[order]
    good = np.asarray(dice)[order] >= gate.good
    part = np.cumsum(good) / np.arange(1, len(good) + 1)
    # as many masks as possible; of equal confidences all are accepted or none
    last_of_equals = np.append(np.diff(ordered) != 0, True)
    enough = np.flatnonzero((part >= gate.precision) & last_of_equals)
    if not len(enough) or enough[-1] < LEAST_MASKS - 1:
        raise InputError(
            f"gate.precision={gate.precision}: of the most confident masks with a known truth "
            f"fewer have a Dice of {gate.good}; give a better checkpoint, or lower gate.good"
        )
    return float(ordered[enough[-1]])


def select_labels(
    predictions: PredictionFolder,
    output: Path,
    gate: Gate,
    confidence: float,
    max_pixels: int,
    keys: Container[str] | None = None,
    must_validate: bool = False,
) -> Counter[str]:
    """Accept or refuse the masks of a prediction run with `probability` and `uncertainty`.

    Writes `masks/` of those accepted, contact sheets of all masks in `taken/` and `refused/`, and
    `labels.csv` last.

    Args:
        predictions: the run.
        output: folder to write to.
        gate: the conditions.
        confidence: least, see `least_confidence`.
        max_pixels: of a photo, at most.
        keys: of the photos to use, where the run holds others too.
        must_validate: whether no other photos are there to validate on.

    Returns:
        The number of masks by use: train, val, or the reason why they are refused.

    Raises:
        InputError: none is good enough, or too few to validate on some.
    """
    for earlier in ("masks", "taken", "refused"):
        shutil.rmtree(output / earlier, ignore_errors=True)
    rows = [row for row in predictions.rows() if keys is None or row["key"] in keys]
    uses = {row["key"]: _use(row, gate, confidence) for row in rows}
    taken = [row for row in rows if uses[row["key"]] == "train"]
    if not taken:
        raise InputError(
            f"of {len(rows)} photos no mask is good enough to train on; look at "
            f"{predictions.folder}, give a better checkpoint, or lower gate.precision"
        )
    # spread over all that is accepted, as neighbouring photos of a folder are often alike
    number = min(gate.val_count, len(taken) // 5)
    if must_validate and not number:
        raise InputError(
            f"{len(taken)} of {len(rows)} masks are good enough, too few to validate on one in "
            f"five, gate.val_count={gate.val_count} at most: give more photos, or masks drawn by "
            "hand as data.sources.labelled"
        )
    for i in np.linspace(0, len(taken) - 1, number).round().astype(int):
        uses[taken[i]["key"]] = "val"
    for row in taken:
        levels = _levels(predictions.folder, row, gate)
        with atomic_write(output / _mask_of(row)) as partial:
            partial.write_bytes(encode_png(levels))

    def cell(row: Mapping[str, Any]) -> Cell:
        return _cell(predictions.folder, row, uses[row["key"]], max_pixels)

    for kind, wanted in (("taken", True), ("refused", False)):
        own = (
            row
            for row in rows
            if "width" in row and (uses[row["key"]] in ("train", "val")) == wanted
        )
        for name, sheet in draw_galleries(own, cell):
            with atomic_write(output / kind / name) as partial:
                partial.write_bytes(encode_jpeg(sheet))
    with (
        atomic_write(output / "labels.csv") as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        table = csv.DictWriter(
            file, [*COLUMNS, "confidence", "disagreement"], extrasaction="ignore"
        )
        table.writeheader()
        for row in rows:
            own = {"photo": str(Path(row["key"]).resolve()), "mask": _mask_of(row)}
            table.writerow(escape_row({**row, **own, "use": uses[row["key"]]}))
    return Counter(uses.values())


def _use(row: Mapping[str, Any], gate: Gate, confidence: float) -> str:
    if row["status"] != "ok":
        return row["status"].split(":")[0]
    if row["confidence"] < confidence:
        return "not confident"
    if row.get("disagreement", 0) > gate.disagreement:
        return "views disagree"
    return "train"


def _mask_of(row: Mapping[str, Any]) -> str:
    return f"masks/{row['name']}.png"


def _levels(folder: Path, row: Mapping[str, Any], gate: Gate) -> np.ndarray:
    """Return the greys of a mask file: known where all views agree and cleaning changed nothing."""
    mask, probability, spread = (
        _read(folder, row, product) for product in ("mask", "probability", "uncertainty")
    )
    unknown = (np.abs(probability - 0.5) < gate.sure - 0.5) | (spread > gate.spread)
    unknown |= (probability > 0.5) != (mask > 0.5)
    return levels_of(mask, unknown)


def _read(folder: Path, row: Mapping[str, Any], product: str) -> np.ndarray:
    path = next(folder / name for name in row["files"] if name.startswith(f"{product}/"))
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    white = np.iinfo(values.dtype).max  # of 8 or 16 bits
    # the uncertainty's white is a standard deviation of one half
    return values.astype(np.float32) / (2 * white if product == "uncertainty" else white)


def _cell(folder: Path, row: Mapping[str, Any], use: str, max_pixels: int) -> Cell:
    photo = read_row_photo(row, max_pixels)
    mask = read_mask(folder / row["mask"], max_pixels=max_pixels)
    name = f"{row['confidence']:.2f} {use} {row['name']}"
    return Cell(name, draw_contours(photo, None, mask))
