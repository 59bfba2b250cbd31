"""COCO: instances out with exact masks, and back from any tool that writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.exchange.outside_files import (
    PhotoFinder,
    check_labels,
    check_size,
    explained,
    read_json,
)
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.shapes import Outline, expand_runs, mask_of_runs, paint_edges
from flukeseg.masks.coco import coco_annotations, coco_file


def write_instances(path: Path, photos: Iterable[PredictedPhoto], label: str) -> None:
    """Write a COCO file of everything in the masks, a component an annotation.

    Its file names are paths inside the folder of photos.

    Args:
        path: of the JSON.
        photos: of the prediction; gone through twice.
        label: name of the category.
    """
    with atomic_write(path) as partial, coco_file(partial, _images(photos), label) as add:
        for annotation in _annotations(photos):
            add(annotation)


def read_instances(
    path: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Read the masks of a COCO file, as `masks_of_instances`."""
    return masks_of_instances(read_json(path), path, finder, label)


def masks_of_instances(
    content: Any, path: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Return the masks H×W uint8, 0 or 1, of a COCO file: of each photo, its annotations together.

    Segmentations are run lengths, compressed or not, or polygons along the pixels' edges.

    Args:
        content: of the JSON.
        path: of the file, for messages.
        finder: of the prediction's photos.
        label: name of the category that counts.

    Raises:
        InputError: something in it is wrong; the photo is named.
    """
    with explained(str(path)):
        wanted = {one["id"] for one in content["categories"] if one["name"] == label}
        if not wanted:
            names = ", ".join(str(one["name"]) for one in content["categories"])[:200]
            raise ValueError(f"it has no category {label}, only {names or 'none'}; give label=")
        known = {one["id"]: str(one["name"]) for one in content["categories"]}
        found: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
        labels: dict[Any, set[str]] = {number: set() for number in found}
        for one in content["annotations"]:
            if one["category_id"] not in known:
                raise ValueError(f"an annotation is of category {one['category_id']}, not listed")
            labels[one["image_id"]].add(known[one["category_id"]])
            if one["category_id"] in wanted:
                found[one["image_id"]].append(one.get("segmentation"))
        for image in content["images"]:
            photo = finder.find(path, image["file_name"])
            with explained(f"{path}: {photo.relative}"):
                check_size(image["width"], image["height"], photo)
                check_labels(labels[image["id"]], label)
                mask = np.zeros(photo.size, np.uint8)
                for segmentation in found[image["id"]]:
                    mask |= _mask(segmentation, photo.size)
            yield photo, mask


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    if not segmentation:
        raise ValueError("it has a box without an outline; draw masks or polygons there")
    if isinstance(segmentation, list):
        outlines = [Outline(np.reshape(line, (-1, 2)), False) for line in segmentation]
        return paint_edges(outlines, size)
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"a mask in it is of size {segmentation['size']}, not {[*size]}")
    counts = segmentation["counts"]
    return mask_of_runs(expand_runs(counts) if isinstance(counts, str) else counts, size)


def _images(photos: Iterable[PredictedPhoto]) -> Iterator[dict[str, Any]]:
    for number, photo in enumerate(photos, start=1):
        height, width = photo.size
        yield {"id": number, "file_name": photo.relative, "width": width, "height": height}


def _annotations(photos: Iterable[PredictedPhoto]) -> Iterator[dict[str, Any]]:
    for number, photo in enumerate(photos, start=1):
        for mask in photo.components():
            yield {"image_id": number, **coco_annotations(mask, 1)[0]}
