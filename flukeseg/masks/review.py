"""Which masks a person should check: a confidence to sort by, and reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flukeseg.errors import require_number
from flukeseg.masks.cleaning import Cleaned, row_strips
from flukeseg.masks.geometry import touches_frame


@dataclass(frozen=True)
class Review:
    """When a mask should be reviewed; every value is from 0 to 1.

    Args:
        islands: removed islands above this share of the flukes' area.
        disagreement: 1 minus the mean Dice of the views with their mean, above this value.
        unsure: confidence below this value.
        frame: pixels along one side of the photo, over the square root of the flukes' area, above
            this value.
        tiny: coverage below this value.
        large: coverage above this value.

    Raises:
        InputError: a value is out of range.
    """

    islands: float = 0.02
    disagreement: float = 0.1
    unsure: float = 0.94
    frame: float = 0.02
    tiny: float = 0.005
    large: float = 0.6

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require_number(f"review.{name}", value)

    def reasons(
        self,
        cleaned: Cleaned,
        disagreement: float,
        confidence: float,
        is_doubtful: bool = False,
    ) -> tuple[str, ...]:
        """Return the reasons to review a mask, if any.

        Args:
            cleaned: the flukes.
            disagreement: see `flukeseg.model.tta.BatchProbability`; NaN for a single view.
            confidence: of the mask, see the function of this name.
            is_doubtful: whether one of them may be no fluke, see `flukeseg.masks.recognition`.
        """
        area = sum(cleaned.areas)
        coverage = area / cleaned.labels.size
        found = {
            "empty": area == 0,
            "perhaps no fluke": is_doubtful,
            "cut by the frame": touches_frame(cleaned.labels) > self.frame * np.sqrt(area),
            "several flukes": len(cleaned.areas) > 1,
            "splash islands": area > 0 and cleaned.removed > self.islands * area,
            "views disagree": disagreement > self.disagreement,
            "unsure": area > 0 and confidence < self.unsure,
            "covers the frame": coverage > self.large,
            "tiny": 0 < coverage < self.tiny,
        }
        return tuple(reason for reason, applies in found.items() if applies)


def confidence(probability: np.ndarray, mask: np.ndarray) -> float:
    """Return the expected Dice of a mask, in 0..1, if the probabilities are right.

    If each pixel is fluke with its probability, that is about 2 Σ p over the mask / (pixels of the
    mask + Σ p): the soft Dice confidence of Borges et al. 2024. An empty mask is right where the
    photo has no fluke, so its confidence is 1 minus the highest probability.

    Args:
        probability: H×W float32 in 0..1.
        mask: H×W, 0 or 1.
    """
    area = np.count_nonzero(mask)
    if area == 0:
        return 1.0 - float(probability.max())
    inside = total = 0.0
    for rows in row_strips(len(probability)):
        inside += float(probability[rows][mask[rows] > 0].sum(dtype=np.float64))
        total += float(probability[rows].sum(dtype=np.float64))
    return 2 * inside / (area + total)
