"""The flukes of one photo: masks at the photo's size, measurements, pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flukeseg.anatomy.alignment import SIZE, Alignment
from flukeseg.anatomy.anatomy import Anatomy, find_anatomy
from flukeseg.anatomy.anatomy_outputs import align_fluke, draw_anatomy
from flukeseg.errors import InputError
from flukeseg.images.resizing import resize_map
from flukeseg.masks import drawing
from flukeseg.masks.cleaning import clean
from flukeseg.masks.coco import coco_annotations
from flukeseg.masks.geometry import Box, RotatedBox, rotated_box, tight_box
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability, SecondLook
from flukeseg.masks.recognition import fluke_probabilities, keep_flukes
from flukeseg.masks.review import confidence
from flukeseg.masks.second_look import lay_over


@dataclass(frozen=True)
class Prediction:
    """The flukes of one photo, upright and at its own size.

    `coarse`: what the network saw. `labels`: H×W uint8, 0 where there is no fluke, 1 the largest,
    2 the next, …. `areas`: their pixels. `confidence`: the expected Dice, 0..1. `reasons`: why a
    person should look at it, if any. `photo`: H×W×3 uint8 RGB, for pictures; None where none are
    made. `drawn`: H×W uint8, 0 or 1, where a person drew the mask, which then has components too
    small for a fluke too. `threshold`: of the probabilities. `fluke_probabilities`: how likely each
    of them is a fluke, 0..1. `fluke_probability`: the highest of the photo's
    components, also of those that were removed; NaN where there was none or recognition is off.
    """

    coarse: PhotoProbability
    labels: np.ndarray
    areas: tuple[int, ...]
    confidence: float
    reasons: tuple[str, ...]
    photo: np.ndarray | None = None
    drawn: np.ndarray | None = None
    threshold: float = 0.5
    fluke_probabilities: tuple[float, ...] = ()
    fluke_probability: float = math.nan

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright photo."""
        return self.labels.shape

    @property
    def probability(self) -> np.ndarray:
        """H×W float32 in 0..1; enlarged anew each time, as of large photos it fills the memory."""
        return enlarge(_refined(self.coarse), self.size)

    @cached_property
    def mask(self) -> np.ndarray:
        """All flukes: H×W uint8, 0 or 255."""
        pixels = self.labels if self.drawn is None else self.drawn
        mask = (pixels > 0).view(np.uint8)
        mask *= 255  # in place, as copies of large photos fill the memory
        return mask

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation between views: H×W float32 in 0..0.5; NaN after a single view."""
        spread = resize_map(self.coarse.spread, self.size)
        for look in _believed(self.coarse):
            lay_over(spread, look.spread, look.box)
        return spread

    @cached_property
    def disagreement(self) -> float:
        """Of the views' masks, 0..1; NaN after a single view."""
        return _disagreement(self.coarse, self.labels, self.areas)

    @property
    def coverage(self) -> float:
        """Share of the photo that is fluke."""
        return np.count_nonzero(self.mask) / self.mask.size

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The tight box of each fluke, the largest fluke first."""
        return tuple(tight_box(self.fluke(i)) for i in range(len(self.areas)))

    @cached_property
    def rotated_boxes(self) -> tuple[RotatedBox, ...]:
        """The smallest rectangle, at any angle, around each fluke."""
        return tuple(rotated_box(self.fluke(i)) for i in range(len(self.areas)))

    def fluke(self, index: int) -> np.ndarray:
        """Mask of one fluke, from 0: H×W uint8, 0 or 1."""
        return (self.labels == index + 1).view(np.uint8)

    @cached_property
    def anatomies(self) -> tuple[Anatomy, ...]:
        """Tips, notch and trailing edge of each fluke, the largest fluke first."""
        probability = self.probability if self.areas else None
        return tuple(
            find_anatomy(self.fluke(i), probability, self.threshold) for i in range(len(self.areas))
        )

    def overlay(self, anatomy: bool = False) -> np.ndarray:
        """Contours and boxes drawn on the photo, H×W×3 uint8 RGB; trailing edges too if wanted."""
        drawn = drawing.overlay(self._photo, self.mask, self.boxes)
        for one in self.anatomies if anatomy else ():
            draw_anatomy(drawn, one, max(1, round(drawn.shape[1] / 500)))
        return drawn

    def alignment(self, index: int = 0, size: tuple[int, int] = SIZE) -> Alignment | None:
        """The transform that puts a fluke's tips on fixed points of (height, width), or None.

        There is none where a tip is not known; `anatomies` says why.
        """
        self._box(index)
        return align_fluke(self.anatomies[index], size)

    def aligned(self, index: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray | None:
        """One fluke set straight, photo and mask as four channels uint8; None as `alignment`."""
        alignment = self.alignment(index, size)
        return alignment and alignment.cut_rgbm(self._photo, self.fluke(index))

    def cutout(self, index: int = 0) -> np.ndarray:
        """One fluke, RGBA uint8 of its tight box, transparent around it."""
        return drawing.cutout(self._photo, self.fluke(index), self._box(index))

    def white(self, index: int = 0) -> np.ndarray:
        """One fluke on white, RGB uint8 of its tight box."""
        return drawing.white(self._photo, self.fluke(index), self._box(index))

    def crop(self, index: int = 0, margin: float = 0.05) -> np.ndarray:
        """The photo cropped to a fluke's box and a margin, a share of its sides; RGB uint8."""
        return self._box(index).grow(margin, self.size).cut(self._photo)

    def crop_rgbm(self, index: int = 0, margin: float = 0.05) -> np.ndarray:
        """As `crop`, with the fluke's mask as a fourth channel of 0 and 255."""
        fluke = self._box(index).grow(margin, self.size).cut(self.fluke(index))
        return np.dstack([self.crop(index, margin), fluke * np.uint8(255)])

    def rotated_rgbm(self, index: int = 0, margin: float = 0.05) -> np.ndarray:
        """A fluke's rotated box and a margin, set straight, with its mask as a fourth channel."""
        self._box(index)
        mask, box = self.fluke(index), self.rotated_boxes[index]
        return drawing.rotated_rgbm(self._photo, mask, box, margin)

    def rgbm(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Photo and mask as four channels uint8, at its own size or resized to (height, width)."""
        return drawing.rgbm(self._photo, self.mask, size)

    def coco(self) -> list[dict[str, Any]]:
        """One COCO annotation for each fluke, without ids."""
        return coco_annotations(self.labels, len(self.areas))

    @property
    def _photo(self) -> np.ndarray:
        if self.photo is None:
            raise InputError("this prediction has no photo to draw on; make it with one")
        return self.photo

    def _box(self, index: int) -> Box:
        if not 0 <= index < len(self.areas):
            raise InputError(f"there is no fluke {index}: the photo has {len(self.areas)}")
        return self.boxes[index]


def make_prediction(
    coarse: PhotoProbability,
    size: tuple[int, int],
    settings: MaskSettings,
    photo: np.ndarray | None = None,
) -> Prediction:
    """Resize probabilities to the photo's size, threshold them there, and clean the mask.

    An enlarged binary mask has steps as large as the network's pixels; probabilities say where
    between two pixels the edge is. Refined ones make the mask and the network's own judge it: they
    were fitted to what is fluke, the others to the photo's colours.

    Args:
        coarse: probabilities at the network's size.
        size: (height, width) of the upright photo.
        settings: threshold, cleaning, recognition and review.
        photo: H×W×3 uint8 RGB, for pictures.

    Raises:
        InputError: recognition is on, and `coarse` has no pixels.
    """
    # neither these probabilities nor their mask are kept: cleaning takes as much memory
    cleaned = clean(
        (enlarge(_refined(coarse), size) > settings.threshold).view(np.uint8), settings.cleaning
    )
    probability = enlarge(coarse, size)
    recognition, found, likely = settings.recognition, (), ()
    if recognition.is_on:
        found = fluke_probabilities(cleaned.labels, len(cleaned.areas), probability, coarse)
        cleaned, likely = keep_flukes(
            cleaned, found, recognition.remove or 0, recognition.doubt or 0
        )
    disagreement = _disagreement(coarse, cleaned.labels, cleaned.areas)
    # a mask that was emptied is right where what it showed is no fluke
    sure = 1 - max(found) if found and not likely else confidence(probability, cleaned.labels)
    is_doubtful = min(likely, default=1.0) < (recognition.doubt or 0)
    return Prediction(
        coarse=coarse,
        labels=cleaned.labels,
        areas=cleaned.areas,
        confidence=sure,
        reasons=settings.review.reasons(cleaned, disagreement, sure, is_doubtful),
        photo=photo,
        threshold=settings.threshold,
        fluke_probabilities=likely,
        fluke_probability=max(found, default=math.nan),
    )


def enlarge(coarse: PhotoProbability, size: tuple[int, int]) -> np.ndarray:
    """Return the network's own probabilities, which judge a mask, at a photo's (height, width)."""
    probability = resize_map(coarse.probability, size)
    for look in _believed(coarse):
        lay_over(probability, look.probability, look.box)
    return probability


def _refined(coarse: PhotoProbability) -> PhotoProbability:
    """Return the probabilities that make the mask."""
    second = tuple(
        look if look.refined is None else look._replace(probability=look.refined)
        for look in coarse.second
    )
    probability = coarse.probability if coarse.refined is None else coarse.refined
    return coarse._replace(probability=probability, second=second)


def _believed(coarse: PhotoProbability) -> list[SecondLook]:
    return [look for look in coarse.second if look.believed]


def _disagreement(coarse: PhotoProbability, labels: np.ndarray, areas: tuple[int, ...]) -> float:
    """Average over the pixels of fluke: in a second look that is believed, its own counts."""
    disagreement = coarse.disagreement
    for look in _believed(coarse) if areas else ():
        share = np.count_nonzero(look.box.cut(labels)) / sum(areas)
        disagreement += share * (look.disagreement - coarse.disagreement)
    return disagreement
