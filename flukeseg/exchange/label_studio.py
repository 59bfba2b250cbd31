"""Label Studio: predictions out as pre-annotations, annotations back as masks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

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
from flukeseg.exchange.shapes import Outline, edge_outlines, paint_edges

RUN_BITS = (3, 4, 8, 16)
"""Of the lengths that a run may be written with, one less than it is."""

HOLE = "hole"
"""Label of polygons that are cut out."""


def write_tasks(
    path: Path, photos: Iterable[PredictedPhoto], label: str, prefix: str, polygons: bool
) -> None:
    """Write a JSON of tasks, one a photo, each with its mask as a prediction.

    Args:
        path: of the JSON.
        photos: of the prediction.
        label: of the regions; polygons of holes are labelled `hole`.
        prefix: of the photo's URL, before its path inside the folder of photos.
        polygons: outlines instead of brush strokes.
    """
    regions = _polygon_regions if polygons else _brush_regions
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, photo in enumerate(photos):
            height, width = photo.size
            common = {
                "from_name": "fluke",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
            }
            result = [
                {"id": f"fluke{i}", **common, **region}
                for i, region in enumerate(regions(photo, label), start=1)
            ]
            url = prefix + quote(photo.relative, errors="surrogateescape")
            task = {
                "data": {"image": url, "photo": photo.relative},
                "predictions": [
                    {"model_version": "flukeseg", "score": photo.confidence, "result": result}
                ],
            }
            file.write((",\n" if number else "\n") + json.dumps(task, separators=(",", ":")))
        file.write("\n]\n")


def read_tasks(
    path: Path, finder: PhotoFinder, label: str
) -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
    """Read the masks H×W uint8, 0 or 1, of a JSON export of annotated tasks.

    Tasks that nobody annotated, or that were skipped, are left out. A photo's mask is all strokes
    with the label together, above half their opacity, and polygons, less those labelled `hole`.

    Args:
        path: of the JSON.
        finder: of the prediction's photos.
        label: of the regions that count.

    Raises:
        InputError: something in it is wrong; the photo is named.
    """
    tasks = read_json(path)
    with explained(str(path)):
        if not isinstance(tasks, list):
            raise ValueError("it is no list of tasks; choose JSON as export format")
        for task in tasks:
            data, annotations = task["data"], task["annotations"]
            done = [one for one in annotations if not one.get("was_cancelled")]
            if not done:
                continue
            photo = _find(path, data, finder)
            with explained(f"{path}: {photo.relative}"):
                if len(done) > 1:
                    raise ValueError(f"it has {len(done)} annotations, keep one")
                mask = _mask(done[0]["result"], photo, label)
            yield photo, mask


def _brush_regions(photo: PredictedPhoto, label: str) -> Iterator[dict[str, Any]]:
    for mask in photo.components():
        value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
        yield {"type": "brushlabels", "value": value}


def _polygon_regions(photo: PredictedPhoto, label: str) -> Iterator[dict[str, Any]]:
    height, width = photo.size
    for points, is_hole in edge_outlines(photo.read_mask()):
        percent = 100 * points / (width, height)  # exactly 100 at the frame
        labels = [HOLE if is_hole else label]
        value = {"points": percent.tolist(), "closed": True, "polygonlabels": labels}
        yield {"type": "polygonlabels", "value": value}


def _find(path: Path, data: dict[str, Any], finder: PhotoFinder) -> PredictedPhoto:
    """Return the photo of a task's data, by its name there, ours, or by the end of its URL."""
    if "photo" in data:
        return finder.find(path, data["photo"])
    last = unquote(re.split(r"[/=\\]", data["image"])[-1], errors="surrogateescape")
    if not finder.knows(last):  # a date looks the same
        last = re.sub(r"^[0-9a-f]{8}-", "", last)  # which an upload puts before it
    return finder.find_by_any_name(path, last)


def _mask(result: Sequence[Any], photo: PredictedPhoto, label: str) -> np.ndarray:
    mask = np.zeros(photo.size, np.uint8)
    outlines: list[Outline] = []
    found: list[str] = []
    for region in result:
        kind, value = region["type"], region.get("value", {})
        labels = value.get(kind, ())
        if not isinstance(labels, list):
            continue
        if kind.endswith("labels"):
            found += map(str, labels)
        if not {label, HOLE} & {*map(str, labels)}:
            continue
        check_size(region["original_width"], region["original_height"], photo)
        if region.get("image_rotation", 0) != 0:
            raise ValueError("it was turned there, turn it back")
        if kind == "brushlabels" and label in labels:
            mask |= decode_brush(value["rle"], photo.size)
        elif kind == "polygonlabels":
            points = np.array(value["points"], np.float64) * photo.size[::-1] / 100
            outlines.append(Outline(points, label not in labels))
        else:
            hint = "draw with brush or polygon, holes with polygons"
            raise ValueError(f"it has a region of the kind {kind} labelled {labels[0]}; {hint}")
    check_labels(found, label)
    return mask | paint_edges(outlines, photo.size)


def encode_brush(mask: np.ndarray) -> list[int]:
    """Encode a mask H×W uint8, 0 or 1, as a brush stroke: run lengths of RGBA, 0 or 255, in bits.

    32 bits of how many values, 5 of a value's bits less 1, 4 each of the four `RUN_BITS` less 1;
    then for each run a 1, 2 bits of which length, the length less 1, and the value. As thi.ng's
    `rle-pack`, which Label Studio has.
    """
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    lengths = 4 * np.diff(starts, append=flat.size)
    bits = [f"{4 * flat.size:032b}{7:05b}", *(f"{size - 1:04b}" for size in RUN_BITS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = f"{255 * int(flat[start]):08b}"
        while length:
            run = min(length, 2 ** RUN_BITS[-1])
            which = next(i for i, size in enumerate(RUN_BITS) if run <= 2**size)
            bits.append(f"1{which:02b}{run - 1:0{RUN_BITS[which]}b}{value}")
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(rle: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Return the mask H×W uint8, 0 or 1, of a stroke that is opaque by more than half.

    Args:
        rle: bytes as numbers.
        size: (height, width).

    Raises:
        ValueError: it is damaged, or of another size.
    """
    if not isinstance(rle, list):  # of a number `bytes` would make as many
        raise ValueError("a brush stroke is no list of numbers")
    bits = np.unpackbits(np.frombuffer(bytes(rle), np.uint8))
    text = (bits + ord("0")).tobytes().decode()
    count = 4 * size[0] * size[1]
    if int(text[:32], 2) != count or text[32:37] != "00111":
        raise ValueError(f"a brush stroke is not of {size[1]} × {size[0]} pixels")
    sizes = [int(text[i : i + 4], 2) + 1 for i in (37, 41, 45, 49)]
    values = np.zeros(count, np.uint8)
    place, done = 53, 0
    while done < count:
        is_run, width = text[place] == "1", sizes[int(text[place + 1 : place + 3], 2)]
        end = done + 1 + int(text[place + 3 : place + 3 + width], 2)
        place += 3 + width
        length = 8 if is_run else 8 * (end - done)
        if end > count or place + length > len(text):
            raise ValueError("a brush stroke is damaged")
        if is_run:
            values[done:end] = int(text[place : place + 8], 2)
        else:
            single = int(text[place : place + length], 2).to_bytes(end - done, "big")
            values[done:end] = np.frombuffer(single, np.uint8)
        place, done = place + length, end
    return (values[3::4] > 127).astype(np.uint8).reshape(size)
