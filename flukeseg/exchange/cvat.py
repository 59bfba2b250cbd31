"""CVAT: what it exports, read back; predictions reach it through `cvat_function` or a COCO file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from flukeseg.errors import InputError
from flukeseg.exchange.coco_files import masks_of_instances
from flukeseg.exchange.outside_files import Archive, PhotoFinder, explained, read_png
from flukeseg.exchange.predicted_photos import PredictedPhoto

LIST = "ImageSets/Segmentation/default.txt"
"""Names of all frames of a mask archive, without suffix, in the archives of `Segmentation mask`."""


def read_archive(
    path: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Read the masks H×W uint8, 0 or 1, of a zip.

    Its format is `COCO 1.0` or `Segmentation mask 1.1`, with or without the photos.

    Args:
        path: of the zip.
        finder: of the prediction's photos.
        label: of the shapes that count.

    Raises:
        InputError: something in it is wrong; the photo is named.
    """
    archive = Archive(path)
    instances = [name for name in archive.sizes if name.startswith("annotations/instances")]
    if LIST in archive.sizes:
        yield from _read_masks(archive, finder, label)
    elif instances:
        for name in instances:
            with explained(f"{path}: {name}"):
                content = json.loads(archive.read(name))
            yield from masks_of_instances(content, path, finder, label)
    else:
        raise InputError(
            f"{path} is neither COCO 1.0 nor Segmentation mask 1.1; export one of these from CVAT"
        )


def _read_masks(
    archive: Archive, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    with explained(f"{archive.path}: labelmap.txt"):
        colour = _colour(archive.read("labelmap.txt").decode(), label)
    with explained(f"{archive.path}: {LIST}"):
        names = archive.read(LIST).decode().split("\n")
    for name in filter(None, (name.strip() for name in names)):
        photo = finder.find(archive.path, name)
        member = str(PurePosixPath("SegmentationClass") / f"{name}.png")
        mask = np.zeros(photo.size, np.uint8)
        if member in archive.sizes:  # of a frame without shapes there is none
            with explained(f"{archive.path}: {name}"):
                image = read_png(archive.read(member), photo.size)
                mask = (image == colour).all(axis=2).astype(np.uint8)
        yield photo, mask


def _colour(labelmap: str, label: str) -> np.ndarray:
    """Return R, G, B of a label in lines of `label:r,g,b:parts:actions`."""
    lines = [line.split(":") for line in labelmap.splitlines() if line and line[0] != "#"]
    colours = {line[0]: line[1] for line in lines}
    if label not in colours:
        raise ValueError(f"it has no label {label}, only {', '.join(colours)[:200]}; give label=")
    return np.array([int(value) for value in colours[label].split(",")], np.uint8)
