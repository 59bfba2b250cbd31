"""The sources of a mixture: renderings, labelled, pseudo-labelled and fluke-less photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import ClassVar

import numpy as np

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.cache import CachedPhotos
from flukeseg.data.dataset import PhotoSet
from flukeseg.data.pair_folder import groups_of, held_out
from flukeseg.data.pairs import cached, load_pairs
from flukeseg.data.pseudo_labels import UNKNOWN, load_label, read_labels
from flukeseg.data.rendered_pictures import RenderedFlukes
from flukeseg.data.sampling import seed_of
from flukeseg.data.splits import read_stems
from flukeseg.data.workers import available_processors
from flukeseg.errors import InputError, require_bool, require_int, require_number
from flukeseg.images.reading import MASK_THRESHOLD, MAX_PIXELS, find_photos, read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.rendering import FRAMING, SPECIES, check_parts, check_shares

VAL_COUNT = "data.sources.NAME.val_count"
"""The option of a source, for errors."""

Split = tuple[PhotoSet, CachedPhotos | None]
"""Photos to train on, and photos to validate on or None."""


@dataclass(frozen=True)
class MixtureSource:
    """One source of a mixture.

    Args:
        share: of the training photos, relative to the other sources'.
        augmentation: of its photos, or None.

    Raises:
        InputError: the share is not above 0.
    """

    drawn_by_hand: ClassVar[bool] = False
    """Whether its masks are good enough to prefer for validation."""

    share: float
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < inf:
            raise InputError(f"share={share} of a source must be above 0; or leave the source out")

    def load(self, size: tuple[int, int], seed: int, count: int, number: int = 0) -> Split:
        """Read the photos at a size.

        Args:
            size: (height, width).
            seed: of the run; a folder is split alike, whatever the number of its source.
            count: photos of it that are drawn in an epoch.
            number: of the source among all.
        """
        raise NotImplementedError

    def measured_on(self, size: tuple[int, int]) -> list[np.ndarray]:
        """Return photos H×W×3 uint8 RGB that no source of the mixture may train on."""
        return []


@dataclass(frozen=True)
class RenderedSource(MixtureSource):
    """Rendered flukes, new ones in every epoch; never for validation.

    Args:
        without: parts of the renderer left out, see `render`.
        not_flukes: share of pictures of fins, backs, breaches and boats, with empty masks.
        species: shares of the species of whales; none are those of `flukeseg.rendering.SPECIES`.
        framing: shares of the crops; none are those of `flukeseg.rendering.FRAMING`.
    """

    without: Sequence[str] = ()
    not_flukes: float = 0.0
    species: Mapping[str, float] | None = None
    framing: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts("without", self.without)
        require_number("not_flukes", self.not_flukes)
        check_shares("species", self.species, SPECIES)
        check_shares("framing", self.framing, FRAMING)

    def load(self, size: tuple[int, int], seed: int, count: int, number: int = 0) -> Split:
        """See `MixtureSource`."""
        seed = seed_of(seed, number)
        species = check_shares("species", self.species, SPECIES)
        framing = check_shares("framing", self.framing, FRAMING)
        shares = (self.not_flukes, species, framing)
        return RenderedFlukes(count, size, seed, self.without, *shares), None


@dataclass(frozen=True)
class LabelledSource(MixtureSource):
    """Pairs from `root/images` and `root/masks`; those of `root/val.txt` are for validation.

    Args:
        root: the folder.
        val_count: how many to validate on where there is no val.txt.
        validates: whether to validate on them; if not, those of val.txt are still not trained on.
        leave_out: stems to measure on later: neither they nor the rest of their clusters, see
            `groups_of`, are trained or validated on, and by other sources not trained on.
        entire_animals: masks show entire animals, so that what is outside them is no fluke, and
            inside them it is unknown which part is; never for validation.
        mask_threshold: grey above it is fluke.
    """

    drawn_by_hand: ClassVar[bool] = True

    root: str | Path = ""
    val_count: int = 50
    validates: bool = True
    leave_out: Sequence[str] = ()
    entire_animals: bool = False
    mask_threshold: int = MASK_THRESHOLD

    def __post_init__(self) -> None:
        super().__post_init__()
        require_int("mask_threshold", self.mask_threshold, least=0, most=254)
        left = self.leave_out or ()
        left = (left,) if isinstance(left, str | int) else left  # Hydra reads 1001 as a number
        object.__setattr__(self, "leave_out", tuple(map(str, left)))

    def measured_on(self, size: tuple[int, int]) -> list[np.ndarray]:
        """See `MixtureSource`: those of `leave_out`, and of val.txt where it validates nothing."""
        root, stems = Path(self.root), {*self.leave_out}
        found = find_photos(root / "images")
        if not self.validates and (root / "val.txt").exists():
            stems |= {*read_stems(root / "val.txt", [path.stem for path in found])}
        return [resize_photo(read_photo(path), size) for path in found if path.stem in stems]

    def load(self, size: tuple[int, int], seed: int, count: int, number: int = 0) -> Split:
        """See `MixtureSource`.

        Raises:
            InputError: the folder, a pair or the split has a problem.
        """
        if require_bool("entire_animals", self.entire_animals) and self.validates:
            raise InputError(
                "entire_animals=true needs validates=false: such masks do not tell what is fluke"
            )
        pairs = load_pairs(self.root, size, self.mask_threshold)
        if self.entire_animals:
            pairs = replace(pairs, masks=pairs.masks * np.uint8(UNKNOWN))
        if unknown := {*self.leave_out} - {*pairs.stems}:
            raise InputError(f"leave_out={min(unknown)} is not in {self.root}")
        root = Path(self.root)
        every = groups_of(root, pairs)
        groups = [group for group in every if not {*group} & {*self.leave_out}]
        chosen: Sequence[str] = ()
        listed = (root / "val.txt").exists()
        if require_bool("validates", self.validates):
            count = require_int("val_count", self.val_count)
            chosen = held_out(root, every if listed else groups, count, seed, VAL_COUNT)
            if not listed and {*chosen} <= {*pairs.empty}:  # which would validate nothing
                filled = [group for group in groups if not {*group} <= {*pairs.empty}]
                if sum(map(len, filled)) > count:
                    chosen = held_out(root, filled, count, seed, VAL_COUNT)
        elif listed:
            chosen = read_stems(root / "val.txt", pairs.stems)
        used = {stem for group in groups for stem in group}
        own = [i for i, stem in enumerate(pairs.stems) if stem in used]
        train = [i for i in own if pairs.stems[i] not in chosen]
        val = [i for i in own if pairs.stems[i] in chosen]
        if not train:
            raise InputError(f"{self.root}: no pair is left to train on")
        return cached(pairs, train), cached(pairs, val) if val and self.validates else None


@dataclass(frozen=True)
class NoFlukeSource(MixtureSource):
    """Photos that show no fluke: their masks are empty. Never for validation.

    Args:
        folders: the photos.
        max_pixels: of a photo, at most.
    """

    folders: Sequence[str | Path] = ()
    max_pixels: int = MAX_PIXELS

    def load(self, size: tuple[int, int], seed: int, count: int, number: int = 0) -> Split:
        """See `MixtureSource`.

        Raises:
            InputError: a folder is missing or empty, or a photo cannot be read.
        """
        paths: list[Path] = []
        folders = self.folders or ()
        for folder in [folders] if isinstance(folders, str | Path) else folders:
            found = find_photos(folder) if Path(folder).is_dir() else []
            if not found:
                raise InputError(f"folders={folder} must be a folder of photos without flukes")
            paths += found
        if not paths:
            raise InputError("folders=[] must name folders of photos without flukes")

        def load(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
            photo = resize_photo(read_photo(path, self.max_pixels), size)
            return str(path), photo, np.zeros(size, np.uint8)

        with ThreadPoolExecutor(available_processors()) as pool:
            return CachedPhotos.stacked(list(pool.map(load, paths))), None


@dataclass(frozen=True)
class PseudoLabelledSource(MixtureSource):
    """Photos with the pseudo-labels that `flukeseg.selftrain` made.

    Args:
        labels: its `labels.csv`.
        max_pixels: of a photo, at most.
    """

    labels: str | Path = ""
    max_pixels: int = MAX_PIXELS

    def load(self, size: tuple[int, int], seed: int, count: int, number: int = 0) -> Split:
        """See `MixtureSource`.

        Raises:
            InputError: the list or what it names cannot be read, or nothing in it is to train on.
        """
        labels = read_labels(self.labels)
        # Pillow and OpenCV release the GIL while they decode
        load = partial(load_label, size=size, max_pixels=self.max_pixels)
        with ThreadPoolExecutor(available_processors()) as pool:
            loaded = list(pool.map(load, labels))
        train, val = (
            [item for item, label in zip(loaded, labels, strict=True) if label.validates == wanted]
            for wanted in (False, True)
        )
        if not train:
            raise InputError(f"{self.labels} has no row to train on")
        return CachedPhotos.stacked(train), CachedPhotos.stacked(val) if val else None
