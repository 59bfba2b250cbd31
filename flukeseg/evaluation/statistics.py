"""Statistics over photos: means with their intervals, paired differences, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import bootstrap, mannwhitneyu

METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "boundary_iou_2": "Boundary IoU, 2 % of the diagonal",
    "boundary_iou_05": "Boundary IoU, 0.5 % of the diagonal",
    "surface_dice_1": "Surface Dice, 1 px of 1152",
    "surface_dice_3": "Surface Dice, 3 px of 1152",
    "hd95": "HD95, % of the fluke's width",
    "assd": "Mean surface distance, % of the fluke's width",
    "trailing_mean": "Trailing edge, mean, % of the fluke's width",
    "trailing_p95": "Trailing edge, 95th percentile, % of the fluke's width",
    "trailing_within_05": "Trailing edge within 0.5 % of the fluke's width",
    "missed": "Missed flukes",
    "false": "False flukes",
}
"""Metrics and their names, in the order they are shown."""

LOWER_IS_BETTER = frozenset({"hd95", "assd", "trailing_mean", "trailing_p95", "missed", "false"})

BAD = 0.9
"""A reviewer should find every mask with a Dice below it."""

RESAMPLES = 2000  # of the bootstrap: ends are then known to about a tenth of the interval

Rows = Sequence[Mapping[str, Any]]


def summarise(rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Summarise the metrics of photos.

    Returns:
        `photos`: their number; `figures`: for each metric, `mean` with its bootstrap 95 % interval
        `ci95` (percentile method, photos drawn with replacement), `median`, `worst_5_percent` (the
        5th percentile, or the 95th where lower is better), and `n`, the photos it is defined for;
        `worst`: the ten of lowest Dice; `notes`: how many photos have each note;
        `seconds`: the median per photo, or None.
    """
    metrics = {}
    for name in METRICS:
        values = _column(rows, name)
        values = values[~np.isnan(values)]
        if len(values):
            metrics[name] = {
                "mean": float(values.mean()),
                "ci95": interval(values, seed),
                "median": float(np.median(values)),
                "worst_5_percent": float(
                    np.percentile(values, 95 if name in LOWER_IS_BETTER else 5)
                ),
                "n": len(values),
            }
    worst = sorted(rows, key=lambda row: row["dice"])[:10]
    notes: dict[str, int] = {}
    for row in rows:
        if row["note"]:
            notes[row["note"]] = notes.get(row["note"], 0) + 1
    seconds = _column(rows, "seconds")
    return {
        "photos": len(rows),
        "figures": metrics,
        "worst": [{"name": row["name"], "dice": row["dice"]} for row in worst],
        "notes": notes,
        "seconds": None if np.isnan(seconds).all() else float(np.nanmedian(seconds)),
    }


def interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """95 % interval of a mean by the bootstrap (Efron 1979), percentile method.

    A single value has no spread to draw from: both ends are the value.
    """
    if len(values) < 2:
        return [float(values[0])] * 2
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=seed,
        batch=100,  # resamples at a time, to keep memory flat
    )  # fmt: skip
    return [float(end) for end in found.confidence_interval]


def compare(rows: Rows, others: Rows, seed: int = 0) -> dict[str, Any]:
    """Paired differences of two results on the same photos, first less second.

    Returns:
        For each metric `difference`, `ci95`, and `n`, the photos it is defined for in both.
    """
    second = {row["name"]: row for row in others}
    both = [row for row in rows if row["name"] in second]
    compared = {}
    for name in METRICS:
        change = _column(both, name) - _column([second[row["name"]] for row in both], name)
        change = change[~np.isnan(change)]
        if len(change):
            compared[name] = {
                "difference": float(change.mean()),
                "ci95": interval(change, seed),
                "n": len(change),
            }
    return compared


def calibrate(rows: Rows) -> dict[str, Any] | None:
    """Fit the expected Dice to confidence, and measure how well confidence finds bad masks.

    Returns:
        None without confidences. `error`: mean |confidence − Dice|; `fitted_error`: the same after
        the fit, each tenth of the photos by a fit to the others; `fit`: confidence and expected
        Dice of an isotonic regression over all photos; `bad`: number of photos with a Dice below
        0.9; `auroc`: probability that a bad photo has a lower confidence than a good one;
        `to_look_at`: number of photos, least confident first, to look at until 95 % of the bad ones
        are found; `flagged`, `flagged_bad`: photos with a review reason, and the bad ones among
        them. Values that need good and bad photos are None where all are of one kind.
    """
    confidence, dice = _column(rows, "confidence"), _column(rows, "dice")
    known = ~np.isnan(confidence)
    if not known.any():
        return None
    flagged = np.array([bool(row["review"]) for row in rows])[known]
    confidence, dice = confidence[known], dice[known]
    bad = dice < BAD
    fold = np.random.default_rng(0).permutation(len(dice)) % 10
    errors = [
        np.abs(
            expected_dice(
                fit_confidence(confidence[fold != k], dice[fold != k]), confidence[fold == k]
            )
            - dice[fold == k]
        )
        for k in range(10)
        if (fold != k).any() and (fold == k).any()
    ]
    queue = bad[np.argsort(confidence, kind="stable")]
    wanted = math.ceil(0.95 * bad.sum())
    both_kinds = bad.any() and not bad.all()
    return {
        "photos": len(dice),
        "error": float(np.abs(confidence - dice).mean()),
        "fitted_error": float(np.concatenate(errors).mean()) if errors else None,
        "fit": [list(point) for point in fit_confidence(confidence, dice)],
        "bad": int(bad.sum()),
        "auroc": float(_auroc(-confidence, bad)) if both_kinds else None,
        "to_look_at": int(np.searchsorted(np.cumsum(queue), wanted) + 1) if bad.any() else None,
        "flagged": int(flagged.sum()),
        "flagged_bad": int((flagged & bad).sum()),
    }


def fit_confidence(confidence: np.ndarray, dice: np.ndarray) -> list[tuple[float, float]]:
    """Fit Dice as a non-decreasing function of confidence; return both ends of each step."""
    # photos of equal confidence are one point, whatever their order
    confidence, group, count = np.unique(confidence, return_inverse=True, return_counts=True)
    fit = isotonic_regression(np.bincount(group, dice) / count, weights=count)
    points = []
    for start, end in zip(fit.blocks[:-1], fit.blocks[1:], strict=True):
        value = float(fit.x[start])
        ends = {float(confidence[start]), float(confidence[end - 1])}
        points += [(at, value) for at in sorted(ends)]
    return points


def expected_dice(fit: Sequence[tuple[float, float]], confidence: np.ndarray) -> np.ndarray:
    """Expected Dice at confidences, linear between the points of a fit."""
    at, value = zip(*fit, strict=True)
    return np.interp(confidence, at, value)


def choose_threshold(dice: np.ndarray, thresholds: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    """Choose a threshold by mean Dice, and measure what the choice is worth on held-out folds.

    Args:
        dice: photos × thresholds.
        thresholds: the candidates; 0.5 is one.
        folds: of each photo.

    Returns:
        `threshold`, its mean `dice` and the mean `at_half`, all over all photos, so that `dice` is
        optimistic; `worth`: mean difference to 0.5 where each fold takes the threshold that is best
        on the others, with `ci95`; `curve`: mean Dice by threshold.
    """
    half = int(np.argmin(np.abs(thresholds - 0.5)))
    best = int(dice.mean(0).argmax())
    worth = np.concatenate(
        [
            dice[folds == fold, dice[folds != fold].mean(0).argmax()] - dice[folds == fold, half]
            for fold in np.unique(folds)
        ]
    )
    return {
        "threshold": float(thresholds[best]),
        "dice": float(dice[:, best].mean()),
        "at_half": float(dice[:, half].mean()),
        "worth": float(worth.mean()),
        "ci95": interval(worth),
        "curve": {f"{t:.2f}": float(d) for t, d in zip(thresholds, dice.mean(0), strict=True)},
    }


def _auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties half: Mann and Whitney's U."""
    above = mannwhitneyu(score[positive], score[~positive]).statistic
    return above / (positive.sum() * (~positive).sum())


def _column(rows: Rows, name: str) -> np.ndarray:
    return np.array([row.get(name, math.nan) for row in rows], np.float64)
