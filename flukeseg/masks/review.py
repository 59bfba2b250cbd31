"""Which masks to distrust: a confidence for sorting, and reasons to look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flukeseg.errors import require_number
from flukeseg.masks.cleaning import Cleaned
from flukeseg.masks.geometry import touches_frame


@dataclass(frozen=True)
class Review:
    """When a mask needs a person's eye; every value is a share of 0 to 1.

    Args:
        islands: of the flukes' area, in islands that cleaning removed.
        disagreement: of views, one less their mean Dice with the mean.
        frame: pixels along one side of the photo, by the square root of the fluke's area.
        tiny: coverage below it.
        large: coverage above it.
    """

    islands: float = 0.02
    disagreement: float = 0.1
    frame: float = 0.02
    tiny: float = 0.005
    large: float = 0.6

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require_number(f"review.{name}", value)

    def reasons(self, cleaned: Cleaned, disagreement: float) -> tuple[str, ...]:
        """Say why to look at a mask; nothing where there is no reason.

        Args:
            cleaned: the flukes.
            disagreement: see `flukeseg.model.tta.BatchProbability`; NaN after a single look.
        """
        area = sum(cleaned.areas)
        coverage = area / cleaned.labels.size
        found = {
            "empty": area == 0,
            "cut by the frame": touches_frame(cleaned.labels) > self.frame * np.sqrt(area),
            "several flukes": len(cleaned.areas) > 1,
            "splash islands": area > 0 and cleaned.removed > self.islands * area,
            "views disagree": disagreement > self.disagreement,
            "covers the frame": coverage > self.large,
            "tiny": 0 < coverage < self.tiny,
        }
        return tuple(reason for reason, is_so in found.items() if is_so)


def confidence(probability: np.ndarray, mask: np.ndarray) -> float:
    """Return the Dice to be expected of a mask if the probabilities are right, in 0..1.

    For each pixel being fluke with its probability, that is nearly 2 Σ p over the mask / (pixels of
    the mask + Σ p): the soft Dice confidence of Borges et al. 2024. An empty mask is right where
    the photo has no fluke, so its confidence is 1 less the highest probability.

    Args:
        probability: H×W float32 in 0..1.
        mask: H×W, 0 or 1.
    """
    area = np.count_nonzero(mask)
    if area == 0:
        return 1.0 - float(probability.max())
    inside = float(probability[mask > 0].sum(dtype=np.float64))
    return 2 * inside / (area + float(probability.sum(dtype=np.float64)))
