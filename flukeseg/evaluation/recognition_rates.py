"""How many photos of flukes lose their mask to recognition, and how many others keep one.

`python -m flukeseg.evaluation.recognition_rates --flukes DIR DIR --others DIR` predicts the photos
of folders that show flukes and of folders that show none, and prints how many have a mask without
and with recognition, and each photo that it gets wrong. `--renderings 600` does it with pictures
that nothing was fitted to, and prints how often components are flukes by their probability.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from flukeseg.errors import InputError
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.recognition import DOUBT, REMOVE, Recognition, recognise
from flukeseg.prediction.inputs import find_inputs
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.training.small_networks.recognition_fit import print_reliability
from flukeseg.training.small_networks.recognition_samples import collect_samples, cut_views

SEED = 0xF1A7
"""First part of the seeds of renderings; fitting has others."""


class Photo(NamedTuple):
    """A photo's name, and its `fluke_probability`: NaN without a mask."""

    name: str
    probability: float


def predict_folder(folder: Path, segmenter: Segmenter) -> list[Photo]:
    """Predict the photos of a folder; those that cannot be read are reported and left out."""
    found = []
    for path in tqdm(find_inputs(folder), unit="photo", desc=folder.name, leave=False):
        try:
            found.append(Photo(Path(path).name, segmenter(path).fluke_probability))
        except InputError as error:
            print(error)
    return found


def print_rates(name: str, photos: Sequence[Photo], is_fluke: bool) -> None:
    """Print a folder's line, and below it the photos that recognition gets wrong."""
    masked = [one for one in photos if not math.isnan(one.probability)]
    kept = [one for one in masked if one.probability >= REMOVE]
    flagged = [one for one in kept if one.probability < DOUBT]
    shares = "".join(
        f"{len(some):6} {len(some) / max(len(photos), 1):6.1%}" for some in (masked, kept, flagged)
    )
    print(f"{name:16} {len(photos):6} {shares}")
    wrong = set(masked) - set(kept) if is_fluke else set(kept)
    for one in sorted(wrong, key=lambda one: one.probability):
        print(f"    {'removed' if is_fluke else 'kept'} {one.name}: {one.probability:.3f}")


def judge_renderings(count: int, segmenter: Segmenter) -> None:
    """Print how often components of renderings are flukes, by their probability."""
    samples = collect_samples(segmenter, SEED, count)
    features = samples.features[:, 0].astype(np.float32)
    print_reliability(recognise(cut_views(samples.views), features), samples.flukes)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flukes", type=Path, nargs="*", default=[], help="folders of photos")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="without flukes")
    parser.add_argument("--renderings", type=int, default=0)
    parser.add_argument("--checkpoint", default="rendered")
    parser.add_argument("--tta", default="flip")
    asked = parser.parse_args()
    masks = MaskSettings(recognition=Recognition(remove=0, doubt=DOUBT))
    segmenter = Segmenter.from_checkpoint(asked.checkpoint, tta=asked.tta, masks=masks)
    folders: Iterable[tuple[Path, bool]] = (
        *((folder, True) for folder in asked.flukes),
        *((folder, False) for folder in asked.others),
    )
    print(f"{'folder':16} photos  with a mask         kept      flagged")
    for folder, is_fluke in folders:
        print_rates(folder.name, predict_folder(folder, segmenter), is_fluke)
    if asked.renderings:
        judge_renderings(asked.renderings, segmenter)


if __name__ == "__main__":
    main()
