"""Cross-validation: each photo judged by the network that never saw it, and a threshold chosen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import (
    MatchedMasks,
    Predict,
    TrueMask,
    find_true_masks,
    predict_and_pair,
)
from flukeseg.evaluation.results import Result, Table, judge_pairs
from flukeseg.evaluation.run_data import is_finished, read_run_data
from flukeseg.evaluation.statistics import choose_threshold
from flukeseg.evaluation.trained_photos import find_run_photos, name_some
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.masks.cleaning import Cleaning, clean
from flukeseg.masks.metrics import dice
from flukeseg.prediction.settings import PredictionSettings

log = logging.getLogger(__name__)

THRESHOLDS = np.linspace(0.1, 0.9, 17)


def judge_folds(
    predict: Predict, settings: PredictionSettings, runs: Path, output: Path
) -> tuple[Result, Table]:
    """Judge each photo by the run whose validation fold it was in.

    Photos that lay in no fold, since they came later, are left out, which is logged.

    Args:
        predict: runs a prediction.
        settings: of the predictions; the checkpoint is replaced by each run.
        runs: a folder with a run for each fold.
        output: the folder for predictions.

    Returns:
        The result over all folds, and a table of thresholds.

    Raises:
        InputError: a fold is missing, unfinished or there twice, or started from a network that
            was trained on its photos.
    """
    folders = sorted(path.parent for path in runs.glob("*/config.yaml"))
    if not folders:
        raise InputError(f"runs={runs} holds no runs; name the folder of a sweep over data.fold")
    products = replace(settings.products, products=("mask", "probability"))
    truths: dict[str, TrueMask] = {}
    pairs: MatchedMasks = {}
    trained: set[str] = set()
    fold_of: dict[str, int] = {}
    for folder in folders:
        data = read_run_data(folder)
        if data is None or data.root is None or data.fold is None:
            raise InputError(f"{folder} is not a run of one fold; train it with data.fold=")
        if not is_finished(folder):
            raise InputError(f"{folder} is not finished; resume the sweep with ckpt_path=last")
        own = find_true_masks(data.root, data.mask_threshold, "data.root", data.in_channels)
        photos = find_run_photos(folder, Path(data.root), own)
        truths |= own
        trained |= photos.train
        names = sorted(photos.val)
        if not names:
            raise InputError(f"{data.root} holds no photo that {folder} validated on; restore them")
        if twice := sorted(photos.val & pairs.keys()):
            raise InputError(
                f"{twice[0]} is in two folds; {runs} must hold each fold once, of one seed"
            )
        if seen := sorted(photos.val & photos.before):
            raise InputError(
                f"{folder} started from a network that was trained on {len(seen)} of the photos it "
                f"validated on ({name_some(seen)}); start folds from one that was not"
            )
        pairs |= predict_and_pair(
            predict,
            replace(settings, checkpoints=(str(folder),), products=products),
            {name: truths[name] for name in names},
            output / "predictions" / f"fold_{data.fold}",
        )
        fold_of |= dict.fromkeys(names, data.fold)
    if new := sorted(truths.keys() - pairs.keys() - trained):
        log.warning("%d photos came after the folds, left out: %s", len(new), name_some(new))
    if missing := sorted(trained - pairs.keys()):
        raise InputError(
            f"{len(missing)} photos are in no fold of {runs} (for example {missing[0]}); train "
            "the missing folds"
        )
    judged = judge_pairs("out of fold", dict(sorted(pairs.items())), settings.max_pixels)
    table = threshold_table(judged.pairs, fold_of, settings.masks.cleaning, settings.max_pixels)
    return judged, table


def threshold_table(
    pairs: MatchedMasks, fold_of: Mapping[str, int], cleaning: Cleaning, max_pixels: int
) -> Table:
    """Judge every threshold on every photo, with masks cleaned as in prediction.

    Args:
        pairs: matched masks, with their out-of-fold probabilities.
        fold_of: the fold of each photo.
        cleaning: of masks.
        max_pixels: photos with more are refused.
    """
    known = {name: both for name, both in pairs.items() if both[1].probability is not None}
    scores = np.zeros((len(known), len(THRESHOLDS)))
    bar = tqdm(known.values(), unit="photo", desc="thresholds", leave=False)
    for row, (truth, guess) in zip(scores, bar, strict=True):
        true = read_mask(truth.mask, truth.threshold, max_pixels)
        # 8 bits: a probability is known to within 1/510
        probability = read_photo(guess.probability, max_pixels)[..., 0]
        for column, threshold in enumerate(THRESHOLDS):
            labels = clean((probability > 255 * threshold).astype(np.uint8), cleaning).labels
            row[column] = dice(labels, true)
    chosen = choose_threshold(scores, THRESHOLDS, np.array([fold_of[name] for name in known]))
    low, high = chosen["ci95"]
    meaning = (
        f"Best on all photos: {chosen['threshold']:.2f}, with a mean Dice of {chosen['dice']:.4f} "
        f"against {chosen['at_half']:.4f} at 0.50. When it is chosen on the other folds and judged "
        f"on the fold left out, the choice changes Dice by {chosen['worth']:+.4f} "
        f"[{low:+.4f}, {high:+.4f}]."
    )
    rows = [["threshold", "mean Dice"], *([t, f"{d:.4f}"] for t, d in chosen["curve"].items())]
    return "Threshold", meaning, rows
