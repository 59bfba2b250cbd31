"""Rendered pictures by number and epoch: drawn on the fly, or kept on disk and read again."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from flukeseg import rendering
from flukeseg.atomic_files import atomic_write
from flukeseg.data.cache import CachedPhotos
from flukeseg.data.pseudo_labels import resize_labels
from flukeseg.data.splits import SplitPhoto
from flukeseg.file_cache import digest_file
from flukeseg.images.resizing import resize_photo
from flukeseg.rendering import FRAMING, SPECIES, render, render_not_fluke

IN_A_FOLDER = 1000
"""Pictures in one folder: file systems get slow with many more."""


class RenderedFlukes:
    """Flukes rendered on the fly, new ones in every epoch.

    Args:
        count: photos in an epoch.
        size: (height, width).
        seed: first part of each picture's seed; equal seeds give equal pictures.
        without: parts that are left out, see `render`.
        not_flukes: share of pictures by `render_not_fluke`, 0..1.
        species: shares of a sum of 1.
        framing: shares of a sum of 1.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        seed: int,
        without: Collection[str] = (),
        not_flukes: float = 0.0,
        species: Mapping[str, float] = SPECIES,
        framing: Mapping[str, float] = FRAMING,
    ) -> None:
        self.count, self.size, self.seed = count, size, seed
        self.without, self.not_flukes, self.species = without, not_flukes, species
        self.framing = framing

    def __len__(self) -> int:
        return self.count

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Render the picture of this number and epoch."""
        seed = (self.seed, epoch, index)
        if np.random.default_rng(seed).uniform() < self.not_flukes:
            picture = render_not_fluke(seed, size or self.size, self.framing)
        else:
            picture = render(seed, size or self.size, self.without, self.species, self.framing)
        return self.name(index, epoch), picture.image, picture.mask

    def name(self, index: int, epoch: int) -> str:
        """Return the name of the picture of this number and epoch."""
        return f"rendered_{self.seed}_{epoch}_{index}"

    def split(self, use: str, source: str = "") -> list[SplitPhoto]:
        """See `PhotoSet`: none comes from a file."""
        return []

    def cached(self) -> CachedPhotos:
        """Render the first epoch once and keep it, for validation."""
        return CachedPhotos.stacked([self.get(i, epoch=0) for i in range(self.count)])


class KeptPictures:
    """A number of rendered pictures, each drawn when it is first needed and read from then on.

    Epochs go through them one after the other and begin again at the end. A picture lies in
    `folder/KEY/HEIGHTxWIDTH/`, H×W×4 bytes each: RGB and mask. KEY stands for the renderer's code
    and all that is asked of it, so pictures of another kind or of another version are never taken
    for these. Of the source's size a picture is the same as without keeping; others are made from
    that one, which costs far less than to draw it again. Several processes may use a folder at
    once.

    Args:
        source: draws them.
        folder: where they are kept.
        count: how many there are.
    """

    def __init__(self, source: RenderedFlukes, folder: str | Path, count: int) -> None:
        self.source, self.count = source, count
        self.folder = Path(folder) / _key(source)

    def __len__(self) -> int:
        return len(self.source)

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Read the picture of this number and epoch, or draw it; see `PhotoSet`.

        Raises:
            InputError: it cannot be written, for example because the disk is full.
        """
        height, width = self.source.size
        number = (epoch * len(self) + index) % self.count
        epoch, index = divmod(number, len(self))
        part = f"{height}x{width}/{number // IN_A_FOLDER:04}"
        path = self.folder / part / f"{number}.npy"
        try:
            both = np.load(path, allow_pickle=False)
            if both.dtype == np.uint8 and both.shape == (height, width, 4):
                name = self.source.name(index, epoch)
                return self._resized(name, both[..., :3], both[..., 3], size)
        except (OSError, ValueError, EOFError):  # not there yet, or damaged
            pass
        name, photo, mask = self.source.get(index, epoch)
        # a name of its own: other processes may draw the same
        with (
            atomic_write(path, path.with_name(f"{secrets.token_hex(8)}.partial")) as partial,
            partial.open("xb") as file,
        ):
            np.save(file, np.dstack([photo, mask]), allow_pickle=False)
        return self._resized(name, photo, mask, size)

    def split(self, use: str, source: str = "") -> list[SplitPhoto]:
        """See `PhotoSet`: none comes from a file of the user's."""
        return []

    def _resized(
        self, name: str, photo: np.ndarray, mask: np.ndarray, size: tuple[int, int] | None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        if size is None or size == self.source.size:
            return name, photo, mask
        return name, resize_photo(photo, size), resize_labels(mask, size)


def _key(source: RenderedFlukes) -> str:
    """Return digits that stand for a source's pictures."""
    asked = {
        "code": _code(),
        "drawn by": [cv2.__version__, np.__version__],
        "seed": source.seed,
        "epoch": source.count,
        "without": sorted(source.without),
        "not_flukes": source.not_flukes,
        "species": dict(sorted(source.species.items())),
        "framing": dict(sorted(source.framing.items())),
    }
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


@cache
def _code() -> list[str]:
    """Return digests of the code that chooses and draws, as far as it is flukeseg's."""
    drawing = sorted(Path(rendering.__file__).parent.glob("*.py"))
    return [digest_file(path) for path in (Path(__file__), *drawing)]
