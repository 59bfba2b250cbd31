"""Masks as COCO annotations: run lengths, polygons, boxes, areas."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from contourpy import FillType, contour_generator

from flukeseg.masks.geometry import outlines, tight_box

CATEGORY = {"id": 1, "name": "fluke", "supercategory": "whale"}


def coco_annotations(
    labels: np.ndarray, count: int, polygons: bool = False
) -> list[dict[str, Any]]:
    """Describe each fluke of a photo as a COCO annotation, without ids.

    `segmentation` is exact: COCO's uncompressed run lengths. `polygons` is for tools that need
    them: through the centres of the outermost pixels, so half a pixel inside the mask's outline.

    Args:
        labels: H×W uint8, 1 to `count`; 0 where there is no fluke.
        count: number of flukes.
        polygons: in place of both, standard polygons as `segmentation`, see `edge_polygons`.
    """
    masks = ((labels == label).astype(np.uint8) for label in range(1, count + 1))
    return [_annotation(mask, polygons) for mask in masks]


def edge_polygons(mask: np.ndarray, tolerance: float = 0.5) -> list[list[float]]:
    """Return the outlines of a mask H×W uint8, 0 or 1, as COCO reads polygons: along pixels' edges.

    Each is x, y, x, y, … from 0 to width and height, simplified to lie within `tolerance` pixels of
    the line through the middles of the edges. Holes are filled: COCO's polygons have none.
    """
    box = tight_box(mask)
    if box is None:
        return []
    part = np.pad(box.cut(mask), 1).astype(np.float32)
    filled = contour_generator(z=part, fill_type=FillType.OuterOffset).filled(0.5, 2)
    found = []
    for points, offsets in zip(*filled, strict=True):
        ring = points[: offsets[1] - 1].astype(np.float32)  # the last point is the first again
        kept = cv2.approxPolyDP(ring, tolerance, True)[:, 0]
        if len(kept) < 3:  # of a single pixel
            kept = ring
        # the padding adds a pixel, and a pixel's centre lies half a pixel from its edge
        found.append((kept + np.array([box.x - 0.5, box.y - 0.5])).round(2).ravel().tolist())
    return found


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return the run lengths of a mask 0 or 1, column by column, the first of zeros."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(changes, prepend=0, append=flat.size).tolist()
    return [0, *lengths] if flat[0] else lengths


@contextmanager
def coco_file(
    path: Path, images: Iterable[dict[str, Any]], category: str = CATEGORY["name"]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Write a COCO file entry by entry, so that memory does not grow with their number.

    Args:
        path: of the JSON file.
        images: entries with `id`, `file_name`, `width`, `height`.
        category: name of what the annotations are.

    Yields:
        What adds an annotation with `image_id`, as `coco_annotations` gives them.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info":{"description":"whale flukes"},"licenses":[],')
        file.write(f'"categories":[{_compact(CATEGORY | {"name": category})}],"images":[')
        for number, image in enumerate(images):
            file.write(("," if number else "") + "\n" + _compact(image))
        file.write('],"annotations":[')
        ids = itertools.count(1)

        def add(found: dict[str, Any]) -> None:
            number = next(ids)
            file.write(("," if number > 1 else "") + "\n" + _compact({"id": number, **found}))

        yield add
        file.write("]}\n")


def _annotation(mask: np.ndarray, polygons: bool) -> dict[str, Any]:
    described = {
        "category_id": CATEGORY["id"],
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": list(tight_box(mask)),
    }
    if polygons:
        return {**described, "segmentation": edge_polygons(mask)}
    lines = [
        (line + 0.5).ravel().tolist()
        for line in (cv2.approxPolyDP(line, 0, True)[:, 0] for line in outlines(mask, holes=False))
        if len(line) >= 3
    ]
    runs = {"size": list(mask.shape), "counts": run_lengths(mask)}
    return {**described, "segmentation": runs, "polygons": lines}


def _compact(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"))
