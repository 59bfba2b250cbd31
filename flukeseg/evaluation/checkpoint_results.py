"""A checkpoint under several settings, and under the conditions of the stress suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flukeseg.evaluation import stress
from flukeseg.evaluation.labelled import stressed_pairs
from flukeseg.evaluation.pairing import Predict, TrueMask, find_true_masks, predict_and_pair
from flukeseg.evaluation.results import Result, Table, judge_pairs
from flukeseg.evaluation.statistics import compare
from flukeseg.prediction.settings import PredictionSettings


def judge_checkpoint(
    predict: Predict,
    settings: PredictionSettings,
    variants: Mapping[str, Mapping[str, Any]],
    truths: Mapping[str, TrueMask],
    output: Path,
    name: str,
) -> list[Result]:
    """Predict on labelled photos with every combination of variants, and judge.

    Args:
        predict: runs a prediction.
        settings: of the predictions.
        variants: by field of the settings, its values by their descriptions.
        truths: the photos with their true masks.
        output: the folder for predictions.
        name: of the result, where there is one combination only.
    """
    several = [field for field, values in variants.items() if len(values) > 1]
    results = []
    for chosen in itertools.product(*(values.items() for values in variants.values())):
        described = dict(zip(variants, chosen, strict=True))
        title = ", ".join(described[field][0] for field in several)
        pairs = predict_and_pair(
            predict,
            replace(settings, **{field: value for field, (_, value) in described.items()}),
            truths,
            output / "predictions" / (_folder_name(title) or "plain"),
        )
        results.append(judge_pairs(title or name, pairs, settings.max_pixels))
    return results


def stress_table(
    predict: Predict,
    settings: PredictionSettings,
    truths: Mapping[str, TrueMask],
    output: Path,
    plain: Result,
) -> Table:
    """Judge the same photos under each condition, and compare with the plain ones.

    Args:
        predict: runs a prediction.
        settings: of the predictions.
        truths: the photos with their true masks.
        output: the folder for the changed photos and their predictions.
        plain: the result on the unchanged photos.
    """
    max_pixels = settings.max_pixels
    header = ["condition", "Dice", "difference", "95 % interval", "Boundary IoU 2 %", "missed"]
    rows = [header, ["plain", *_loss(plain, plain)]]
    for condition in stress.CONDITIONS:
        folder = stressed_pairs(output / "stress" / condition, condition, truths, max_pixels)
        changed = find_true_masks(folder)
        pairs = predict_and_pair(predict, settings, changed, output / "predictions" / condition)
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
