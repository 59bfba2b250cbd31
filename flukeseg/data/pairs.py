"""Photo-mask pairs on disk: found, checked together, decoded once and kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from flukeseg.data.cache import CachedPhotos
from flukeseg.data.splits import near_identical
from flukeseg.data.workers import available_processors
from flukeseg.errors import InputError
from flukeseg.images.reading import MASK_THRESHOLD, find_photos, read_mask, read_photo
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.images.rgbm import read_rgbm

log = logging.getLogger(__name__)

HASH_SIDE = 16
"""Side of the perceptual hash; 16 × 16 bits distinguish flukes of one pose, 8 × 8 do not."""


@dataclass(frozen=True)
class Pairs:
    """Photos and masks at network size, in the order of their stems.

    Attributes:
        stems: N names, sorted.
        photos: N×H×W×3 uint8 RGB, or N×H×W×4 with a mask of 0 and 255.
        masks: N×H×W uint8, 0 or 1; of entire animals, `LabelledSource` replaces 1 by `UNKNOWN`.
        hashes: N×256 bool, perceptual hash of each photo at its own size.
        unpaired: stems of photos without a mask, which are ignored.
    """

    stems: tuple[str, ...]
    photos: np.ndarray
    masks: np.ndarray
    hashes: np.ndarray
    unpaired: tuple[str, ...] = ()

    @property
    def empty(self) -> list[str]:
        """Stems whose mask has no fluke at network size."""
        filled = self.masks.any(axis=(1, 2))
        return [stem for stem, has in zip(self.stems, filled, strict=True) if not has]


def load_pairs(
    root: str | Path,
    size: tuple[int, int],
    mask_threshold: int = MASK_THRESHOLD,
    in_channels: int = 3,
) -> Pairs:
    """Read `root/images` and `root/masks`, matched by stem, whatever the suffix.

    Everything is read before an error is raised, so that it lists all problems.

    Args:
        root: folder with `images/` and `masks/`.
        size: (height, width) at which the pairs are kept.
        mask_threshold: grey above it is fluke (0-254).
        in_channels: 4 reads `root/rgbm`, photos with a mask as a fourth channel, in place of
            `root/images`.

    Raises:
        InputError: a folder is missing or empty, or any pair has a problem; names every one.
    """
    root = Path(root)
    images = root / photo_folder(in_channels)
    for folder in (root, images, root / "masks"):
        if not folder.is_dir() and folder.name == "rgbm":
            raise InputError(
                f"{folder} is not a folder; make it: python -m flukeseg.predict "
                f"source={root / 'images'} output={root} 'products=[rgbm]'"
            )
        if not folder.is_dir():
            raise InputError(
                f"{folder} is not a folder; name one that holds images/ and masks/, "
                "or fetch the 450 humpback flukes with `python -m flukeseg.data.humpback450`, "
                "or train on rendered flukes with data=synthetic"
            )
    photos, problems = _by_stem(images)
    masks, mask_problems = _by_stem(root / "masks")
    problems += mask_problems
    problems += [
        f"{masks[s]}: no photo with this stem in {images.name}/" for s in masks.keys() - photos
    ]
    stems = sorted(photos.keys() & masks.keys())
    if not stems and not problems:
        raise InputError(
            f"{root} has no photo in {images.name}/ with a mask of the same stem in masks/"
        )

    def load(stem: str) -> _Pair | list[str]:
        return _load_pair(photos[stem], masks[stem], size, mask_threshold, in_channels)

    # Pillow and OpenCV release the GIL while they decode
    with ThreadPoolExecutor(available_processors()) as pool:
        loaded = list(pool.map(load, stems))
    problems += [problem for item in loaded if isinstance(item, list) for problem in item]
    if problems:
        lines = "".join(f"\n  {problem}" for problem in sorted(problems))
        raise InputError(f"{root} has {len(problems)} problem(s) to fix before training:{lines}")
    pairs = Pairs(
        stems=tuple(stems),
        photos=np.stack([item.photo for item in loaded]),
        masks=np.stack([item.mask for item in loaded]),
        hashes=np.stack([item.hash for item in loaded]),
        unpaired=tuple(sorted(photos.keys() - masks.keys())),
    )
    log.info(
        "%s: %d pairs, %d of them without fluke; %d photos without a mask ignored",
        root,
        len(stems),
        len(pairs.empty),
        len(pairs.unpaired),
    )
    return pairs


def photo_folder(in_channels: int) -> str:
    """Return the folder of pairs' photos: `rgbm` where a mask is their fourth channel."""
    return "rgbm" if in_channels == 4 else "images"


def photo_hash(photo: np.ndarray) -> np.ndarray:
    """Return the perceptual hash (pHash) of H×W×3 uint8, 256 bool: signs of the lowest frequencies.

    It survives resizing, recompression and a change of exposure.
    """
    # the hash reduces to 64 × 64; OpenCV brings a large photo near that faster
    side = 8 * HASH_SIDE
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return imagehash.phash(Image.fromarray(small), hash_size=HASH_SIDE).hash.ravel()


def find_copies(photos: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> list[int]:
    """Return the numbers of the photos that are near-identical to one of the others.

    Args:
        photos: H×W×3 uint8 each, or H×W×4, of which the fourth channel does not count.
        others: as `photos`, of any size.
    """
    if not len(others):
        return []
    hashes = np.stack([photo_hash(photo[..., :3]) for photo in (*others, *photos)])
    pairs = near_identical(hashes, first=len(others))
    return sorted({j - len(others) for _, j in pairs if j >= len(others)})


@dataclass(frozen=True)
class _Pair:
    photo: np.ndarray
    mask: np.ndarray
    hash: np.ndarray


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[str]]:
    paths: dict[str, Path] = {}
    problems = []
    for path in find_photos(folder):
        if path.stem in paths:
            problems.append(f"{path}: same stem as {paths[path.stem].name}; keep one of the two")
        else:
            paths[path.stem] = path
    return paths, problems


def _load_pair(
    photo_path: Path, mask_path: Path, size: tuple[int, int], mask_threshold: int, in_channels: int
) -> _Pair | list[str]:
    problems = []
    try:
        photo = read_rgbm(photo_path) if in_channels == 4 else read_photo(photo_path)
    except InputError as error:
        problems.append(str(error))
    try:
        mask = read_mask(mask_path, mask_threshold)
    except InputError as error:
        problems.append(str(error))
    if problems:
        return problems
    if photo.shape[:2] != mask.shape:
        (photo_height, photo_width), (height, width) = photo.shape[:2], mask.shape
        return [
            f"{mask_path}: mask is {width} × {height}, its photo {photo_width} × {photo_height}; "
            "draw it again on the photo at full size"
        ]
    return _Pair(resize_photo(photo, size), resize_mask(mask, size), photo_hash(photo[..., :3]))


def cached(pairs: Pairs, indices: Sequence[int]) -> CachedPhotos:
    """Return some of the pairs, by index."""
    return CachedPhotos(
        [pairs.stems[i] for i in indices], pairs.photos[list(indices)], pairs.masks[list(indices)]
    )
