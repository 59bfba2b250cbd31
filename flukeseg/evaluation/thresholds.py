"""Which threshold to take, from out-of-fold probabilities, and what the choice is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from flukeseg.evaluation.results import MatchedMasks, Table
from flukeseg.evaluation.statistics import choose_threshold
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.masks.cleaning import Cleaning, clean
from flukeseg.masks.metrics import dice

THRESHOLDS = np.linspace(0.1, 0.9, 17)


def threshold_table(
    pairs: MatchedMasks,
    fold_of: Mapping[str, int],
    cleaning: Cleaning,
    max_pixels: int,
) -> Table:
    """Judge every threshold on every photo, masks cleaned as they are in prediction."""
    known = {name: both for name, both in pairs.items() if both[1].probability is not None}
    figures = np.zeros((len(known), len(THRESHOLDS)))
    bar = tqdm(known.values(), unit="photo", desc="thresholds", leave=False)
    for row, (truth, guess) in zip(figures, bar, strict=True):
        true = read_mask(truth.mask, truth.threshold, max_pixels)
        # 8 bits: a probability to a five-hundredth
        probability = read_photo(guess.probability, max_pixels)[..., 0]
        for column, threshold in enumerate(THRESHOLDS):
            labels = clean((probability > 255 * threshold).astype(np.uint8), cleaning).labels
            row[column] = dice(labels, true)
    chosen = choose_threshold(figures, THRESHOLDS, np.array([fold_of[name] for name in known]))
    low, high = chosen["ci95"]
    meaning = (
        f"Best on all photos: {chosen['threshold']:.2f}, with a mean Dice of {chosen['dice']:.4f} "
        f"against {chosen['at_half']:.4f} at 0.50. Chosen on the other folds and judged on one's "
        f"own, the choice is worth {chosen['worth']:+.4f} [{low:+.4f}, {high:+.4f}] of Dice."
    )
    rows = [["threshold", "mean Dice"], *([t, f"{d:.4f}"] for t, d in chosen["curve"].items())]
    return "Threshold", meaning, rows
