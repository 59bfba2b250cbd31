"""The metrics of every photo, in one process per core."""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flukeseg.data.workers import available_processors, one_thread
from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import PredictedMask, TrueMask
from flukeseg.images.reading import MASK_THRESHOLD, MAX_PIXELS, read_mask_levels
from flukeseg.masks.metrics import photo_metrics, pixel_counts

SOFT = 0.02
"""A mask with more than this share of its pixels between dark and light grey is not binary."""

Row = dict[str, Any]


def judge(
    pairs: Mapping[str, tuple[TrueMask, PredictedMask]], max_pixels: int = MAX_PIXELS
) -> list[Row]:
    """Judge every pair, in order.

    Returns:
        A row for each: `name`, a `note` on anything unusual, the metrics of `photo_metrics`,
        `coverage` of the true mask and `predicted_coverage`, `confidence`, `review` and `seconds`
        of the prediction, and the pixels of `pixel_counts`.

    Raises:
        InputError: masks cannot be read or differ in size; up to ten are named.
    """
    tasks = [(name, truth, guess, max_pixels) for name, (truth, guess) in pairs.items()]
    # a process takes seconds to start
    workers = min(available_processors(), 1 + len(tasks) // 300)
    if workers == 1:
        rows = [_judge_or_report(task) for task in tasks]
    else:
        # spawned: a process that has computed with torch cannot be forked safely
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=one_thread) as pool:
            found = pool.map(_judge_or_report, tasks, chunksize=16)
            rows = list(tqdm(found, total=len(tasks), unit="mask", desc="judging", leave=False))
    if problems := [row for row in rows if isinstance(row, str)]:
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise InputError("\n".join(problems[:10]) + more)
    return rows


def read_edge(path: Path) -> np.ndarray:
    """Read a trailing edge, a CSV with columns x and y in pixels, as K×2 float64.

    Empty cells become NaN.

    Raises:
        InputError: the file is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if table.fieldnames is None:  # an edge that is not seen has its header
                raise ValueError("it is empty")
            rows = [(float(row["x"] or "nan"), float(row["y"] or "nan")) for row in table]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of pixels with columns x and y ({error}); write it again"
        ) from error
    return np.array(rows, np.float64).reshape(-1, 2)


def _judge_or_report(task: tuple[str, TrueMask, PredictedMask, int]) -> Row | str:
    try:
        return _judge_one(*task)
    except InputError as error:
        return str(error)


def _judge_one(name: str, truth: TrueMask, guess: PredictedMask, max_pixels: int) -> Row:
    true, true_is_soft = _read(truth.mask, truth.threshold, max_pixels)
    if guess.mask is None:
        predicted, soft, note = np.zeros_like(true), False, "no prediction: judged as empty"
    else:
        predicted, soft = _read(guess.mask, MASK_THRESHOLD, max_pixels)
        note = ""
        if predicted.shape != true.shape:
            sizes = [f"{mask.shape[1]} × {mask.shape[0]}" for mask in (predicted, true)]
            raise InputError(
                f"{guess.mask} is {sizes[0]} and {truth.mask} {sizes[1]} pixels: bring the "
                "prediction to the photo's size, best its probabilities before they are thresholded"
            )
    greys = (("prediction", soft, MASK_THRESHOLD), ("truth", true_is_soft, truth.threshold))
    found = [f"{kind} not binary: grey above {least}" for kind, is_so, least in greys if is_so]
    if found:
        note = f"{', '.join(found)} is taken as fluke"
    edge = None if truth.edge is None else read_edge(truth.edge)
    return {
        "name": name,
        "note": note,
        **photo_metrics(predicted, true, edge if edge is not None and len(edge) else None),
        "coverage": float(true.mean()),
        "predicted_coverage": float(predicted.mean()),
        "confidence": guess.confidence,
        "review": guess.review,
        "seconds": guess.seconds,
        **pixel_counts(predicted, true),
    }


def _read(path: Path, threshold: int, max_pixels: int) -> tuple[np.ndarray, bool]:
    levels = read_mask_levels(path, threshold, max_pixels)
    between = np.count_nonzero((levels > 32) & (levels < 224))
    return (levels > threshold).astype(np.uint8), between > SOFT * levels.size
