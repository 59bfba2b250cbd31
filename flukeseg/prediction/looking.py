"""Looks at photos: once to find flukes, and again at those that are small in the frame."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.masks import second_look
from flukeseg.masks.cleaning import clean
from flukeseg.masks.geometry import Box
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability, SecondLook
from flukeseg.masks.refinement import refined
from flukeseg.model.checkpoints import AnyPredictor
from flukeseg.model.runtimes import RuntimePredictor
from flukeseg.model.tta import Images, average_looks
from flukeseg.prediction.loader import Cut, PhotoFile, cut_file

log = logging.getLogger(__name__)

THREADS = 2
"""Photos of a batch that are decoded again, or refined, at the same time."""

_Look = TypeVar("_Look", PhotoProbability, SecondLook)


class _Part(NamedTuple):
    """A box of the photo of a number, and its pixels H×W×3 uint8 RGB."""

    photo: int
    box: Box
    pixels: np.ndarray


class Looker:
    """Predicts photos in one look or two, each at the size that the photo's pixels deserve.

    Args:
        predictor: computes the networks.
        masks: what is fluke in a look.
        second_size: (height, width) of the network's input in a second look; an overview is half.
        twice: whether there are second looks, and, unless those are of the predictor's size too,
            small photos are also seen as small as an overview.
        refine: whether edges follow the photo's colours, see `flukeseg.masks.refinement`.
        max_pixels: photos with more are not decoded.
        together: parts of photos that a second look computes in one batch. Fewer are filled up, as
            how a library adds up depends on a batch's size.
    """

    def __init__(
        self,
        predictor: AnyPredictor,
        masks: MaskSettings,
        second_size: tuple[int, int],
        twice: bool = True,
        refine: bool = True,
        max_pixels: int = MAX_PIXELS,
        together: int = 1,
    ) -> None:
        self.predictor, self.masks = predictor, masks
        self.second_size, self.twice, self.refine = second_size, twice, refine
        self.overview_size = second_look.overview_size(second_size)
        self.max_pixels, self.together = max_pixels, together

    def look(self, images: Images, files: Sequence[PhotoFile]) -> list[PhotoProbability]:
        """Return what is seen of each readable photo, in order.

        Args:
            images: N×C×H×W uint8 RGB, of the readable photos in order; more are left out.
            files: of all photos.
        """
        readable = [file for file in files if not file.problem]
        first = self.look_once(images, [file.size for file in readable])
        return self.look_at_files(first, readable)

    def look_once(self, images: Images, sizes: Sequence[tuple[int, int]]) -> list[PhotoProbability]:
        """Return what a first look sees of each photo: of a small one, the mean at two sizes.

        Args:
            images: N×C×H×W uint8 RGB of the predictor's size; those beyond `sizes` are left out.
            sizes: (height, width) of each upright photo.
        """
        if not sizes:  # no photo of the batch is readable
            return []
        pixels = np.moveaxis(_to_array(images[: len(sizes)]), 1, -1)
        # how torch adds up depends on a batch's size: it is left as it is
        is_alone = isinstance(self.predictor, RuntimePredictor)
        seen = self.predictor.see(images[: len(sizes)] if is_alone else images)
        small = [number for number, size in enumerate(sizes) if self._is_small(size)]
        smaller = self._compute([pixels[number] for number in small], self.overview_size)
        for number, other in zip(small, smaller, strict=True):
            seen[number] = average_looks(seen[number], other)
        return [
            seen[number]._replace(image=np.ascontiguousarray(pixels[number][..., :3]))
            for number in range(len(sizes))
        ]

    def _is_small(self, size: tuple[int, int]) -> bool:
        """Tell whether an overview sees all pixels of a photo: larger, it is a blur."""
        is_fixed = not self.twice or self.second_size == self.predictor.size
        return not is_fixed and size[0] * size[1] <= self.overview_size[0] * self.overview_size[1]

    def look_at_files(
        self, first: Sequence[PhotoProbability], files: Sequence[PhotoFile]
    ) -> list[PhotoProbability]:
        """Add second looks at parts of photos, which are read again where there is one.

        Photos that were kept until the network is done with the first look would fill the memory.
        """
        cuts = [
            partial(cut_file, file.photo.path, file.size, self.second_size, self.max_pixels)
            for file in files
        ]
        return self.look_again(first, [file.size for file in files], cuts)

    def look_again(
        self,
        first: Sequence[PhotoProbability],
        sizes: Sequence[tuple[int, int]],
        cuts: Sequence[Cut],
    ) -> list[PhotoProbability]:
        """Add second looks where a fluke is small in the frame and the photo has the pixels.

        Args:
            first: what the first look saw of each photo.
            sizes: (height, width) of each upright photo.
            cuts: what gives the pixels of its parts.
        """
        if self.twice:
            second = self._second_looks(first, sizes, cuts)
            first = [one._replace(second=own) for one, own in zip(first, second, strict=True)]
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self._with_edge, first, [one.image for one in first]))

    def _second_looks(
        self,
        first: Sequence[PhotoProbability],
        sizes: Sequence[tuple[int, int]],
        cuts: Sequence[Cut],
    ) -> list[tuple[SecondLook, ...]]:
        """Return the second looks at each photo; arguments as in `look_again`."""
        boxes = [self._boxes(one, size) for one, size in zip(first, sizes, strict=True)]
        with ThreadPoolExecutor(THREADS) as threads:
            pixels = list(threads.map(_cut, cuts, boxes))
        parts = [
            _Part(number, box, part)
            for number, (own, cut) in enumerate(zip(boxes, pixels, strict=True))
            for box, part in zip(own, cut, strict=False)
        ]
        looks: list[list[SecondLook]] = [[] for _ in first]
        for part, look in zip(parts, self._look_at_parts(first, sizes, parts), strict=True):
            image = resize_photo(part.pixels, self.overview_size)
            looks[part.photo].append(look._replace(image=image))
        return [tuple(own) for own in looks]

    def _look_at_parts(
        self,
        first: Sequence[PhotoProbability],
        sizes: Sequence[tuple[int, int]],
        parts: Sequence[_Part],
    ) -> list[SecondLook]:
        """See each part small, and those that are confirmed so close, of which the mean counts.

        Where the first look was as close as an overview, it stands for one.
        """
        threshold, overview = self.masks.threshold, self.overview_size
        looks = [
            _cut_look(first[part.photo], sizes[part.photo], part.box, overview) for part in parts
        ]
        closer = [
            number
            for number, (photo, box, _) in enumerate(parts)
            if second_look.gain(box, sizes[photo], first[photo].probability.shape, overview) > 1
        ]
        pixels = [parts[number].pixels for number in closer]
        for number, seen in zip(closer, self._compute(pixels, overview), strict=True):
            before = looks[number].probability
            confirmed = second_look.is_confirmed(before, seen.probability, threshold)
            looks[number] = _second_look(parts[number].box, seen, confirmed)
        numbers = [number for number, look in enumerate(looks) if look.believed]
        closest = self._compute([parts[number].pixels for number in numbers], self.second_size)
        for number, seen in zip(numbers, closest, strict=True):
            small = looks[number]
            enlarged = resize_map(small.probability, self.second_size)
            kept = second_look.is_kept(enlarged, seen.probability, threshold)
            sharp = second_look.with_edge(small.probability, seen.probability)
            both = average_looks(seen, PhotoProbability(sharp, small.spread, small.disagreement))
            looks[number] = _second_look(small.box, both, kept)
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self._with_edge, looks, [part.pixels for part in parts]))

    def _with_edge(self, look: _Look, pixels: np.ndarray | None) -> _Look:
        if not self.refine or pixels is None:
            return look
        return look._replace(refined=refined(look.probability, pixels))

    def _boxes(self, first: PhotoProbability, size: tuple[int, int]) -> list[Box]:
        mask = (first.probability > self.masks.threshold).view(np.uint8)
        flukes = clean(mask, self.masks.cleaning)
        return second_look.boxes_to_look_at(flukes, size, mask.shape, self.second_size)

    def _compute(
        self, pixels: Sequence[np.ndarray], size: tuple[int, int]
    ) -> list[PhotoProbability]:
        """Compute photos, or parts of them, H×W×C uint8 RGB at (height, width)."""
        found: list[PhotoProbability] = []
        for start in range(0, len(pixels), self.together):
            some = pixels[start : start + self.together]
            images = np.zeros((self.together, self.predictor.in_channels, *size), np.uint8)
            for image, part in zip(images, some, strict=False):
                image[:] = np.moveaxis(resize_photo(part, size), -1, 0)
            found += self.predictor.see(images)[: len(some)]
        return found


def _to_array(image: Images) -> np.ndarray:
    return image if isinstance(image, np.ndarray) else image.cpu().numpy()


def _cut_look(
    first: PhotoProbability, photo: tuple[int, int], box: Box, size: tuple[int, int]
) -> SecondLook:
    """Return what the first look saw of a box of a photo (height, width), at another size."""
    values, spread = (
        second_look.cut_map(one, photo, box, size) for one in (first.probability, first.spread)
    )
    return SecondLook(box, values, spread, first.disagreement, True)


def _second_look(box: Box, seen: PhotoProbability, believed: bool) -> SecondLook:
    return SecondLook(box, seen.probability, seen.spread, seen.disagreement, believed)


def _cut(cut: Cut, boxes: Sequence[Box]) -> list[np.ndarray]:
    """Return the pixels of boxes; of a photo that cannot be read any more, none."""
    try:
        return cut(boxes) if boxes else []
    except InputError as error:  # it was there a moment ago: what the first look saw stands
        log.warning("no second look: %s", error)
        return []
