"""VIA (VGG Image Annotator 2): outlines as polygons in a project file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.exchange.outside_files import PhotoFinder, check_labels, explained, read_json
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.exchange.shapes import Outline, centre_outlines, paint_centres

HOLE = "hole"
"""Kind of regions that are cut out; VIA has no polygons with holes."""


def write_project(path: Path, photos: Iterable[PredictedPhoto], label: str) -> None:
    """Write a project that VIA 2 opens; its default path is the folder of the photos.

    Args:
        path: of the JSON.
        photos: of the prediction.
        label: value of the regions' attribute `kind`; holes have `hole`.
    """
    kinds = {label: "", HOLE: ""}
    kind = {"type": "dropdown", "description": "", "options": kinds, "default_options": {}}
    settings = {
        "ui": {}, "project": {"name": "flukeseg"},
        "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
    }  # fmt: skip
    names = []
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(f'{{"_via_settings":{json.dumps(settings)},')
        attributes = {"region": {"kind": kind}, "file": {}}
        file.write(f'"_via_attributes":{json.dumps(attributes)},')
        file.write('"_via_data_format_version":"2.0.10","_via_img_metadata":{')
        for photo in photos:
            size = photo.require_photo().stat().st_size
            regions = [_region(outline, label) for outline in centre_outlines(photo.read_mask())]
            entry = {
                "filename": photo.relative,
                "size": size,
                "regions": regions,
                "file_attributes": {},
            }
            name = f"{photo.relative}{size}"
            text = json.dumps(entry, separators=(",", ":"))
            file.write((",\n" if names else "\n") + f"{json.dumps(name)}:{text}")
            names.append(name)
        file.write(f'\n}},"_via_image_id_list":{json.dumps(names)}}}\n')


def read_project(
    path: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Read the masks H×W uint8, 0 or 1, of a project or of its annotations as JSON.

    Regions whose kind is `hole` are cut out. Regions with no kind, as VIA draws them, are flukes.

    Args:
        path: of the JSON.
        finder: of the prediction's photos.
        label: kind of the regions that count.

    Raises:
        InputError: something in it is wrong; the photo is named.
    """
    content = read_json(path)
    with explained(str(path)):
        for entry in content.get("_via_img_metadata", content).values():
            photo = finder.find(path, entry["filename"])
            with explained(f"{path}: {photo.relative}"):
                regions = entry["regions"]
                if isinstance(regions, dict):  # VIA 1
                    regions = list(regions.values())
                check_labels((_kind(one, label) for one in regions), label)
                wanted = [one for one in regions if _kind(one, label) in (label, HOLE)]
                mask = paint_centres([_outline(one, label) for one in wanted], photo.size)
            yield photo, mask


def _region(outline: Outline, label: str) -> dict[str, Any]:
    # VIA has no polygon of fewer than three points: specks and lines repeat theirs
    points = np.resize(outline.points, (max(3, len(outline.points)), 2))
    return {
        "shape_attributes": {
            "name": "polygon",
            "all_points_x": points[:, 0].tolist(),
            "all_points_y": points[:, 1].tolist(),
        },
        "region_attributes": {"kind": HOLE if outline.is_hole else label},
    }


def _kind(region: dict[str, Any], label: str) -> str:
    kind = region["region_attributes"].get("kind")
    if isinstance(kind, dict):  # of an attribute of checkboxes
        kind = next((name for name, is_checked in kind.items() if is_checked), None)
    return str(kind or label)


def _outline(region: dict[str, Any], label: str) -> Outline:
    shape = region["shape_attributes"]
    if shape["name"] != "polygon":
        raise ValueError(f"it has a {shape['name']}; draw polygons")
    points = np.array([shape["all_points_x"], shape["all_points_y"]], np.float64).T
    return Outline(points, _kind(region, label) == HOLE)
