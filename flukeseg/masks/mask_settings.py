"""What decides how probabilities become masks."""

from __future__ import annotations

from dataclasses import dataclass, field

from flukeseg.errors import InputError
from flukeseg.masks.cleaning import Cleaning
from flukeseg.masks.recognition import Recognition
from flukeseg.masks.review import Review


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is made of probabilities.

    Args:
        threshold: a pixel is fluke where its probability is above it; between 0 and 1.
        cleaning: what is kept of the thresholded mask.
        recognition: what is done with components that are probably no flukes.
        review: when a person should look at a mask.

    Raises:
        InputError: the threshold is out of range.
    """

    threshold: float = 0.5
    cleaning: Cleaning = field(default_factory=Cleaning)
    recognition: Recognition = field(default_factory=Recognition)
    review: Review = field(default_factory=Review)

    def __post_init__(self) -> None:
        value = self.threshold
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InputError(f"threshold={value} must be between 0 and 1")
