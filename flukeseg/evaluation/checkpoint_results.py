"""A checkpoint under several settings, and under the conditions of the stress suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flukeseg.evaluation import stress
from flukeseg.evaluation.labelled import stressed_pairs
from flukeseg.evaluation.pairing import Predict, TrueMask, find_true_masks, predict_and_pair
from flukeseg.evaluation.results import Result, Table, judge_pairs
from flukeseg.evaluation.statistics import compare


def judge_checkpoint(
    predict: Predict,
    truths: Mapping[str, TrueMask],
    output: Path,
    name: str,
    sizes: Sequence[tuple[int, int] | None],
    tta: Sequence[str],
    thresholds: Sequence[float],
    max_pixels: int,
) -> list[Result]:
    """Predict on labelled photos with every combination of settings, and judge.

    Args:
        predict: runs a prediction.
        truths: the photos with their true masks.
        output: the folder for predictions.
        name: of the result, where there is one setting only.
        sizes: (height, width) of the network's input; None is the size it was trained at.
        tta: names of settings of test-time augmentation.
        thresholds: of probability, between 0 and 1.
        max_pixels: photos with more are refused.
    """
    results = []
    for size, views, threshold in itertools.product(sizes, tta, thresholds):
        described = ", ".join(
            text
            for text, values in (
                (f"{size[1]} × {size[0]}" if size else "", sizes),
                (str(views), tta),
                (f"threshold {threshold}", thresholds),
            )
            if len(values) > 1
        )
        pairs = predict_and_pair(
            predict, truths, output / "predictions" / (_folder_name(described) or "plain"),
            size=size, tta=views, threshold=threshold,
        )  # fmt: skip
        results.append(judge_pairs(described or name, pairs, max_pixels))
    return results


def stress_table(
    predict: Predict,
    truths: Mapping[str, TrueMask],
    output: Path,
    plain: Result,
    max_pixels: int,
) -> Table:
    """Judge the same photos under each condition, and compare with the plain ones.

    Args:
        predict: runs a prediction.
        truths: the photos with their true masks.
        output: the folder for the changed photos and their predictions.
        plain: the result on the photos as they are.
        max_pixels: photos with more are refused.
    """
    header = ["condition", "Dice", "difference", "95 % interval", "Boundary IoU 2 %", "missed"]
    rows = [header, ["plain", *_loss(plain, plain)]]
    for condition in stress.CONDITIONS:
        folder = stressed_pairs(output / "stress" / condition, condition, truths, max_pixels)
        pairs = predict_and_pair(
            predict, find_true_masks(folder), output / "predictions" / condition
        )
        rows.append([condition, *_loss(judge_pairs(condition, pairs, max_pixels), plain)])
    meaning = f"The same photos under other conditions (stress suite, version {stress.VERSION})."
    return "Stress", meaning, rows


def _folder_name(name: str) -> str:
    return "_".join(name.replace("×", "x").replace(",", " ").split())


def _loss(one: Result, plain: Result) -> Iterable[str]:
    metrics, change = one.summary["figures"], compare(one.rows, plain.rows)["dice"]
    low, high = change["ci95"]
    return (
        f"{metrics['dice']['mean']:.3f}",
        f"{change['difference']:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        f"{metrics['boundary_iou_2']['mean']:.3f}",
        f"{metrics['missed']['mean']:.1%}",
    )
