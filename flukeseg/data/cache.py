"""Photos and masks in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np
import torch

from flukeseg.data.pseudo_labels import resize_labels
from flukeseg.data.splits import SplitPhoto
from flukeseg.images.resizing import resize_photo


def digests(photo: np.ndarray, mask: np.ndarray) -> tuple[str, str]:
    """Return hashes of photo and mask, and of the photo alone, as `SplitPhoto` has them.

    Args:
        photo: H×W×3 uint8 at the network's size, or H×W×4, of which the second hash leaves out the
            fourth channel.
        mask: H×W uint8.
    """
    alone = hashlib.blake2b(np.ascontiguousarray(photo[..., :3]), digest_size=8)
    both = hashlib.blake2b(photo, digest_size=8)
    both.update(mask)
    return both.hexdigest(), alone.hexdigest()


class CachedPhotos:
    """Photos and masks as tensors, which loading processes share rather than copy.

    Args:
        names: N names.
        photos: N×H×W×3 uint8 RGB.
        masks: N×H×W uint8, 0, 1 or `UNKNOWN`.
    """

    def __init__(self, names: list[str], photos: np.ndarray, masks: np.ndarray) -> None:
        self.names = names
        self.photos = torch.from_numpy(np.ascontiguousarray(photos))
        self.masks = torch.from_numpy(np.ascontiguousarray(masks))

    @classmethod
    def stacked(cls, items: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> CachedPhotos:
        """Return a cache of (name, photo, mask) items, all of one size."""
        names, photos, masks = zip(*items, strict=True)
        return cls(list(names), np.stack(photos), np.stack(masks))

    @classmethod
    def joined(cls, several: Sequence[CachedPhotos]) -> CachedPhotos:
        """Return one cache of all photos of several, in order."""
        return cls(
            [name for one in several for name in one.names],
            np.concatenate([one.photos.numpy() for one in several]),
            np.concatenate([one.masks.numpy() for one in several]),
        )

    def without(self, places: Collection[int]) -> CachedPhotos:
        """Return a cache of the other photos."""
        kept = [i for i in range(len(self)) if i not in places]
        return CachedPhotos(
            [self.names[i] for i in kept], self.photos.numpy()[kept], self.masks.numpy()[kept]
        )

    def split(self, use: str, source: str = "") -> list[SplitPhoto]:
        """See `PhotoSet`."""
        return [
            SplitPhoto(source, use, name, *digests(photo.numpy(), mask.numpy()))
            for name, photo, mask in zip(self.names, self.photos, self.masks, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.names)

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """See `PhotoSet`; a photo is the same in every epoch."""
        photo, mask = self.photos[index].numpy(), self.masks[index].numpy()
        if size is not None:
            photo, mask = resize_photo(photo, size), resize_labels(mask, size)
        return self.names[index], photo, mask
