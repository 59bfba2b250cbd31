"""Photos of a prediction folder whose masks a person corrected or approved."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from flukeseg.exchange.predicted_photos import PredictedPhoto, Predictions
from flukeseg.prediction.folder import PredictionFolder

SIZE = (96, 192)  # at which photos are compared


def read_looked_at(
    folder: str | Path, photos: str | Path | None = None
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Yield photos with the masks that a person corrected or approved, H×W uint8, 0 or 1.

    Those are what `review.csv` has a verdict on, and masks that any program changed. A photo that
    was judged to show no fluke has an empty mask. Photos that were replaced since are left out.

    Args:
        folder: the output of the prediction.
        photos: where the photos lie now, see `Predictions`.

    Raises:
        InputError: it is no such folder, or a mask cannot be read.
    """
    predictions = Predictions(folder, photos)
    kept = PredictionFolder(folder).kept
    verdicts = kept.verdicts.latest()
    for photo, row in zip(predictions, predictions.rows(), strict=True):
        if kept.is_kept(row) and not kept.is_outdated(row):
            said = verdicts.get(photo.name)
            mask = photo.read_mask()
            is_empty = said is not None and said.verdict == "no_fluke"
            yield photo, np.zeros_like(mask) if is_empty else mask


def leave_out_copies(pairs: Path, held: Collection[str]) -> None:
    """Delete pairs that show what held-out ones show, as shots of a burst do.

    Args:
        pairs: folder of pairs, written for this training.
        held: stems of those held out.
    """
    # they import torch, which takes seconds that who only collects pairs need not wait
    from flukeseg.data.pair_folder import groups_of
    from flukeseg.data.pairs import load_pairs

    groups = groups_of(pairs, load_pairs(pairs, SIZE))
    near = {stem for group in groups if {*group} & {*held} for stem in group} - {*held}
    for stem in near:
        for kind in ("images", "masks"):
            for path in (pairs / kind).glob(f"{glob.escape(stem)}.*"):
                path.unlink()
