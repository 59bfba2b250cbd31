"""`index.html` of a prediction folder: thumbnails in the order of review, without a server."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.images.reading import MAX_PIXELS, read_mask
from flukeseg.masks.drawing import THUMBNAIL, draw_thumbnail
from flukeseg.masks.review_order import GROUPS, review_group
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.journal import read_row_photo
from flukeseg.prediction.kept_masks import mask_name

A_PAGE = 300
"""Photos of a page; their thumbnails are in it, about 3 MB."""

NEAR = 10
"""Pages before and after one that it has links to, besides the first and the last."""

LINKED = ("mask", "overlay", "cutout", "crop", "white")


def write_pages(folder: PredictionFolder, ranks: Sequence[int]) -> Path:
    """Write `index.html`, and `index-2.html`, … where there are more photos than a page holds.

    Args:
        folder: locked by this process.
        ranks: the order of review, of each line of the journal.

    Returns:
        The first page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    rows = folder.rows()
    count = max(1, -(-len(rows) // A_PAGE))
    names = ["index.html", *(f"index-{number}.html" for number in range(2, count + 1))]
    ordered = rows.in_order(ranks)
    for number, name in enumerate(names):
        photos = [
            _photo(folder, row, number * A_PAGE + i)
            for i, (_, row) in enumerate(zip(range(A_PAGE), ordered, strict=False), start=1)
        ]
        groups = [(GROUPS[key], list(own)) for key, own in groupby(photos, lambda p: p["group"])]
        # links to all pages would be most of what is written of a million photos
        near = {0, count - 1, *range(max(0, number - NEAR), min(count, number + NEAR + 1))}
        text = template.render(
            groups=groups,
            pages={index + 1: names[index] for index in sorted(near)},
            number=number + 1,
            total=len(rows),
        )
        folder.write(folder.folder / name, text.encode(errors="backslashreplace"))
    for path in folder.folder.glob("index-*.html"):
        is_page = re.fullmatch(r"index-\d+\.html", path.name)  # a person's own file is none
        if is_page and path.name not in names:  # of an earlier, longer run
            path.unlink()
    return folder.folder / names[0]


def _photo(folder: PredictionFolder, row: Mapping[str, Any], order: int) -> dict[str, Any]:
    status = row["status"]
    thumbnail = None
    if "width" in row:
        thumbnail = read_thumbnail(folder.folder, folder.state, row)
    return {
        "order": order,
        "name": row["name"],
        "group": review_group(row),
        "problem": status.partition(": ")[2],
        "confidence": row.get("confidence") if status in ("ok", "no_fluke") else None,
        "review": row.get("review", ""),
        "thumbnail": thumbnail and base64.b64encode(thumbnail).decode(),
        "photo": quote(os.fsencode(os.path.relpath(row["key"], folder.folder))),
        "files": [
            (file.partition("/")[0], quote(os.fsencode(file)))
            for file in row.get("files", ())
            if file.partition("/")[0] in LINKED and "width" in row
        ],
    }


def thumbnail_path(state: Path, name: str) -> Path:
    """Return where the thumbnail of a photo's name lies in the program's own folder."""
    return state / "thumbnails" / f"{name}.jpg"


def read_thumbnail(folder: Path, state: Path, row: Mapping[str, Any]) -> bytes | None:
    """Return a photo's thumbnail as a JPEG, made now where there is none that fits its mask.

    Args:
        folder: the prediction folder.
        state: the folder of the program's own files in it.
        row: a line of the journal.

    Returns:
        None where the photo or its mask cannot be read.
    """
    path, mask = thumbnail_path(state, row["name"]), folder / mask_name(row["name"])
    try:
        # a link may lead to any picture of this machine; it is replaced below
        if not path.is_symlink() and path.stat().st_mtime_ns >= mask.stat().st_mtime_ns:
            return path.read_bytes()
    except OSError:  # there is no such thumbnail, or no mask
        pass
    try:
        photo = read_row_photo(row, MAX_PIXELS, (2 * THUMBNAIL[1], 2 * THUMBNAIL[0]))
        content = draw_thumbnail(photo, read_mask(mask))
    except InputError:
        return None
    with atomic_write(path) as partial:
        partial.write_bytes(content)
    return content
