"""Training transforms of one strength. The only file that imports albumentations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np

from flukeseg.data.pseudo_labels import UNKNOWN
from flukeseg.errors import InputError, require_bool

MAX_STRENGTH = 4.0
"""Above it flukes are hardly recognisable, and some ranges would fold the photo."""


class Augmentation:
    """Augments a photo and its mask alike, determined by a seed.

    Args:
        strength: see `training_transform`.
        extra: further transforms of albumentations, which move the mask with linear interpolation
            if they are given `mask_interpolation=1`.
        extra_first: whether they come before the others.

    Raises:
        InputError: the strength is out of range, or a transform does not take its arguments.
    """

    def __init__(
        self,
        strength: float = 1.0,
        extra: Sequence[A.BasicTransform] = (),
        extra_first: bool = False,
    ) -> None:
        own = training_transform(strength)
        both = [[*extra], [own] if own else []]
        is_first = require_bool("augmentation.extra_first", extra_first)
        transforms = [*both[0], *both[1]] if is_first else [*both[1], *both[0]]
        self.transform = own if not extra else _compose(transforms)

    def __call__(
        self, photo: np.ndarray, mask: np.ndarray, seed: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return new versions of a photo H×W×3 uint8 RGB and its mask H×W uint8.

        The mask is 0, 1 or `UNKNOWN`. A fourth channel of the photo, a mask of 0 and 255, is moved
        as the mask is.

        Raises:
            InputError: a further transform changed the size.
        """
        if self.transform is None:
            return photo, mask
        # one generator for all: with a seed, each transform would get the same random numbers
        numbers, choices = np.random.SeedSequence(seed).generate_state(2)
        self.transform.set_random_state(np.random.default_rng(numbers), random.Random(int(choices)))
        unknown = mask == UNKNOWN
        planes = [(mask == 1).astype(np.uint8) * 255]
        if unknown.any():
            planes.append(unknown.astype(np.uint8) * 255)
        if has_mask := photo.shape[2] == 4:
            planes.append(photo[..., 3])
        augmented = self.transform(
            image=np.ascontiguousarray(photo[..., :3]),
            mask=planes[0] if len(planes) == 1 else np.dstack(planes),
        )
        (height, width), given = augmented["image"].shape[:2], photo.shape[:2]
        if (height, width) != given:
            raise InputError(
                f"augmentation.extra returns photos of {width} × {height} pixels where it is given "
                f"{given[1]} × {given[0]}; leave out what crops or turns them, or end with "
                "albumentations.Resize"
            )
        photo, levels = augmented["image"], np.atleast_3d(augmented["mask"])
        # the mask was warped as grey levels; half covered is fluke, as in resizing
        half = levels > 127
        warped = half[..., 0].astype(np.uint8)
        if unknown.any():
            fluke, hidden = levels[..., 0].astype(np.int16), levels[..., 1]
            # between fluke and unknown, both may be below half
            doubtful = half[..., 1] | ((fluke <= 127) & (fluke + hidden > 127))
            warped = np.where(doubtful, np.uint8(UNKNOWN), warped)
        if has_mask:
            photo = np.dstack([photo, half[..., -1] * np.uint8(255)])
        return photo, warped


def _compose(transforms: Sequence[A.BasicTransform | A.Compose]) -> A.Compose:
    for transform in transforms:
        # albumentations only warns of these, outside a strict pipeline
        if wrong := getattr(transform, "invalid_args", None):
            raise InputError(
                f"augmentation.extra: {type(transform).__name__} has no {', '.join(wrong)}"
            )
    try:
        return A.Compose([*transforms], strict=True)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"augmentation.extra={[type(t).__name__ for t in transforms]} must be a list of "
            f"transforms of albumentations ({error})"
        ) from error


def training_transform(strength: float = 1.0) -> A.Compose | None:
    """Build the pipeline that augments photo and mask alike while training.

    0 is None. 1 is the reference recipe: blur of 3 px (p .5), shear ±5° (.5),
    horizontal flip (.5), rotation ±5° (.3), contrast ±.1 (.2), brightness ±.1 (.2). Other
    strengths change probabilities to 1 - (1 - p)^strength and ranges in proportion; that of the
    flip is one half at most. Above 1 there are further transforms that suit flukes, with
    probability 1 - (1 - p)^(strength - 1): scale, perspective, grid distortion, grey, glare,
    motion blur, JPEG.

    Masks are given as 0 or 255 and returned as grey levels.

    Args:
        strength: 0 to 4.

    Raises:
        InputError: the strength is outside that range.
    """
    s = float(strength)
    if not 0 <= s <= MAX_STRENGTH:
        raise InputError(f"augmentation.strength={strength} must be between 0 and {MAX_STRENGTH:g}")
    if s == 0:
        return None

    def recipe(p: float) -> float:
        return 1 - (1 - p) ** s

    def beyond(p: float) -> float:
        return 1 - (1 - p) ** max(s - 1, 0)

    # a mirrored border keeps sea next to sea, and the mask is mirrored with it
    mirror: dict[str, Any] = {
        "border_mode": cv2.BORDER_REFLECT_101,
        "interpolation": cv2.INTER_LINEAR,
        "mask_interpolation": cv2.INTER_LINEAR,
    }
    excess = max(s - 1, 0)
    angle = 5 * s
    blur = 2 * round(s) + 1 if s > 1 else 3
    transforms: list[tuple[float, A.BasicTransform]] = [
        (min(recipe(0.5), 0.5), A.HorizontalFlip()),
        (recipe(0.5), A.Affine(shear={"x": (-angle, angle), "y": (-angle, angle)}, **mirror)),
        (recipe(0.3), A.Affine(rotate=(-angle, angle), **mirror)),
        (beyond(0.3), A.Affine(scale=(1 / (1 + 0.15 * excess), 1 + 0.15 * excess), **mirror)),
        (beyond(0.2), A.Perspective(scale=(0.0, 0.05 * excess), **mirror)),
        (beyond(0.2), A.GridDistortion(distort_limit=0.1 * excess, **mirror)),
        (recipe(0.2), A.RandomBrightnessContrast((-0.1 * s, 0.1 * s), (0.0, 0.0))),
        (recipe(0.2), A.RandomBrightnessContrast((0.0, 0.0), (-0.1 * s, 0.1 * s))),
        (beyond(0.2), A.ToGray()),
        (beyond(0.1), Glare(min(0.3 + 0.1 * excess, 0.6))),
        (recipe(0.5), A.Blur(blur_limit=(3, blur))),
        (beyond(0.1), A.MotionBlur(blur_limit=(3, 3 + 2 * round(excess)))),
        (beyond(0.2), A.ImageCompression(quality_range=(max(20, round(80 - 20 * excess)), 95))),
    ]
    chosen = []
    for p, transform in transforms:
        if p > 0:
            transform.p = p
            chosen.append(transform)
    return A.Compose(chosen, strict=True)


class Glare(A.ImageOnlyTransform):
    """Light from the water: a bright band at any angle, with soft edges, added to the photo.

    Args:
        peak: greatest share of full white at the middle of the band, 0 to 1.
    """

    def __init__(self, peak: float = 0.3, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.peak = peak

    def apply(self, img: np.ndarray, light: np.ndarray, **params: Any) -> np.ndarray:
        """Add the light to H×W×3 uint8."""
        return cv2.add(img, cv2.merge([light] * 3))

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the band: where, at what angle, how wide and how bright."""
        height, width = params["shape"][:2]
        draw = self.random_generator.uniform
        angle = draw(0, np.pi)
        y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        across = (x - draw(0, 1)) * np.cos(angle) + (y - draw(0, 1)) * np.sin(angle)
        band = np.exp(-0.5 * (across / draw(0.05, 0.3)) ** 2)
        return {"light": (255 * draw(0.3, 1) * self.peak * band).astype(np.uint8)}
