"""Labelled folders to judge on: the validation photos, rendered ones, stressed ones."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from tqdm import tqdm

from flukeseg.atomic_files import atomic_write
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.data.rendered import RenderedDataModule
from flukeseg.errors import InputError
from flukeseg.evaluation import stress
from flukeseg.evaluation.pairing import TrueMask, find_true_masks
from flukeseg.evaluation.run_data import validation_names
from flukeseg.evaluation.trained_photos import find_run_photos, name_some
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.prediction.inputs import stamp
from flukeseg.rendering import FRAMING, SPECIES, Rendering, render, render_not_fluke

log = logging.getLogger(__name__)


def labelled_photos(
    data: pl.LightningDataModule,
    runs: Sequence[Path],
    subset: str,
    photo_size: tuple[int, int],
    rendered: Path,
    seed: int,
) -> dict[str, TrueMask]:
    """Return the photos of a data module that are to be judged, with their true masks.

    Of a folder that holds photos a run validated on, these are they, since it may have learned
    from the others; of another one its own validation photos. With `all`, those that a run was
    trained on are judged too, which is logged.

    Args:
        data: of a folder of pairs, or of renderings.
        runs: the folders of the runs to be judged.
        subset: of a folder of pairs: `val` or `all`.
        photo_size: (height, width) of renderings.
        rendered: the folder to write renderings to.
        seed: of renderings.

    Raises:
        InputError: the data is of another kind or has a problem, the runs did not validate on
            the same photos, or one or what it started from was trained on a photo that is to
            validate.
    """
    if subset not in ("val", "all"):
        raise InputError(f"subset={subset} must be val or all")
    if isinstance(data, RenderedDataModule):  # written to files, so that they are read as photos
        folder = render_pairs(
            *(rendered, data.test_count, photo_size, seed, data.species, data.framing),
            data.not_flukes,
        )
        return find_true_masks(folder)
    if not isinstance(data, FolderDataModule):
        raise InputError(
            "a mixture of sources cannot be judged on; give data=folder data.root=DIR, or "
            "data=synthetic"
        )
    truths = find_true_masks(data.root, data.mask_threshold, "data.root", data.in_channels)
    known = [find_run_photos(run, data.root, truths) for run in runs]
    trained = frozenset[str]().union(*(photos.train | photos.before for photos in known))
    if subset == "all":
        if seen := sorted(trained):
            log.warning(
                "of the %d photos judged, %d were trained on, so that metrics will be too good: %s",
                *(len(truths), len(seen), name_some(seen)),
            )
        return truths
    validated = [photos.val for photos in known if photos.val]
    if not validated:
        try:
            validated = [frozenset(validation_names(data))]
        except InputError as error:  # such as fewer photos than are held out by default
            raise InputError(f"{error}; to judge all photos, add subset=all") from error
    first, *others = validated
    if any(names != first for names in others):
        raise InputError(
            "checkpoint= gives runs that did not validate on the same photos; judge "
            "cross-validation with runs=SWEEP"
        )
    if seen := sorted(trained & first):
        raise InputError(
            f"checkpoint= or what it started from was trained on {len(seen)} of the {len(first)} "
            f"validation photos of data.root={data.root} ({name_some(seen)}); give photos that "
            "neither was trained on, or subset=all to judge it on all the same"
        )
    if any(photos.val for photos in known):
        log.info("judging the %d photos that the run validated on", len(first))
    return {name: truths[name] for name in sorted(first)}


def render_pairs(
    folder: Path,
    count: int,
    size: tuple[int, int],
    seed: int,
    species: Mapping[str, float] = SPECIES,
    framing: Mapping[str, float] = FRAMING,
    not_flukes: float = 0.0,
) -> Path:
    """Write rendered photos of (height, width) pixels, with exact masks and trailing edges.

    Args:
        folder: to write to.
        count: of photos.
        size: of each.
        seed: of all.
        species: shares of the species of whales, of a sum of 1.
        framing: shares of the crops, of a sum of 1.
        not_flukes: share of fins, backs, breaches and boats, whose masks are empty.
    """
    shares = {"species": dict(species), "framing": dict(framing)}
    settings = {"count": count, "size": list(size), "seed": seed, **shares}
    if not_flukes:
        settings["not_flukes"] = not_flukes
    if _is_done(folder, settings):
        return folder
    for number in tqdm(range(count), unit="photo", desc="rendering", leave=False):
        key = (seed, 0xE7A1, number)  # far from the seeds of training
        if np.random.default_rng(key).uniform() < not_flukes:
            picture = render_not_fluke(key, size, framing)
        else:
            picture = render(key, size, **shares)
        write_rendering(folder, f"rendered_{number:04d}", picture)
    return _done(folder, settings)


def write_rendering(folder: Path, name: str, picture: Rendering) -> None:
    """Write a rendering as a labelled pair, with its trailing edge where one is visible."""
    _write(folder / "images" / f"{name}.png", picture.image)
    _write(folder / "masks" / f"{name}.png", picture.mask * 255)
    if len(picture.trailing_edge):
        lines = [",\n" if np.isnan(x) else f"{x:.3f},{y:.3f}\n" for x, y in picture.trailing_edge]
        edge = folder / "edges" / f"{name}.csv"
        edge.parent.mkdir(parents=True, exist_ok=True)
        edge.write_text("x,y\n" + "".join(lines), encoding="utf-8")


def stressed_pairs(
    folder: Path, condition: str, truths: Mapping[str, TrueMask], max_pixels: int
) -> Path:
    """Write photos and masks changed by a condition of the stress suite."""
    photos = {
        name: [str(truth.photo.absolute()), stamp(truth.photo), stamp(truth.mask), truth.threshold]
        for name, truth in truths.items()
    }
    settings = {"condition": condition, "version": stress.VERSION, "photos": photos}
    if _is_done(folder, settings):
        return folder
    for name, truth in truths.items():
        photo = read_photo(truth.photo, max_pixels)
        mask = read_mask(truth.mask, truth.threshold, max_pixels)
        photo, mask = stress.stress(condition, photo, mask, name)
        _write(folder / "images" / f"{name}.png", photo)
        _write(folder / "masks" / f"{name}.png", mask * 255)
    return _done(folder, settings)


def _write(path: Path, image: np.ndarray) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(encode_png(image))


def _is_done(folder: Path, settings: dict[str, object]) -> bool:
    """Return whether a folder holds what these settings make; if not, empty it."""
    path = folder / "made.json"
    if path.is_file() and path.read_text(encoding="utf-8") == json.dumps(settings):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _done(folder: Path, settings: dict[str, object]) -> Path:
    # written last, so that what a killed run left is made again
    with atomic_write(folder / "made.json") as partial:
        partial.write_text(json.dumps(settings), encoding="utf-8")
    return folder
