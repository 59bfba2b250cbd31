"""Whatever bytes a file has, reading it gives a result or an `InputError`, and ends.

The short run is the same every time; `pytest tests/test_fuzz.py --hypothesis-profile=long` tries
250 times as many files, other ones each time.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from exchange_data import random_masks, write_predictions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeseg.data.pseudo_labels import read_labels
from flukeseg.data.splits import read_individuals, read_stems
from flukeseg.errors import InputError
from flukeseg.evaluation.judging import read_edge
from flukeseg.evaluation.pairing import find_predicted
from flukeseg.exchange import coco_files, cvat, label_studio, labelme, via
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.outside_files import Archive, PhotoFinder
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.images.reading import photo_size, read_for_network, read_mask_levels, read_photo
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import find_inputs, name_inputs
from flukeseg.prediction.kept_masks import Verdicts
from flukeseg.prediction.table import gather
from flukeseg.training.split_record import refuse_changed_photos

MAX_PIXELS = 10**6
LONGEST = 20  # seconds

SHORT = settings(
    max_examples=40, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
fuzzed = settings() if settings.default.max_examples > 1000 else SHORT


class HangsError(BaseException):
    """A file takes too long; no `except Exception` catches this."""


def _hangs(*_) -> None:
    raise HangsError


@contextmanager
def only_input_errors() -> Iterator[None]:
    """Accept a result and an `InputError`, nothing else, in time."""
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(LONGEST)
    try:
        with suppress(InputError):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


TOKENS = (
    b"", b"\0", b"\n", b"\r\n", b",", b'"', b"'", b"{", b"}", b"[", b"]", b"null", b"true", b"-1",
    b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b"../../x", b"/etc/passwd", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\\ud800", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"[" * 3000,
    b"=1+1", b"~",
)  # fmt: skip
CHANGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "replace", "remove", "repeat"]),
    st.integers(0, 2**20),
    st.integers(1, 64),
    st.sampled_from(TOKENS),
    st.integers(1, 255),
)


def mutate(content: bytes, changes: list[tuple]) -> bytes:
    """Change bytes at places given modulo the length."""
    for kind, place, length, token, flips in changes:
        i = place % (len(content) + 1)
        before, after = content[:i], content[i:]
        if kind == "flip" and after:
            content = before + bytes([after[0] ^ flips]) + after[1:]
        elif kind == "cut":
            content = before
        elif kind == "insert":
            content = before + token + after
        elif kind == "replace":
            content = before + token + after[len(token) :]
        elif kind == "remove":
            content = before + after[length:]
        elif kind == "repeat":
            content = before + after[:length] * 2 + after[length:]
    return content


CHANGES = st.lists(CHANGE, min_size=1, max_size=6)


def photos() -> dict[str, bytes]:
    """A small photo in each format and mode that is read."""
    rng = np.random.default_rng(3)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 17, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (24, 17), np.uint16))
    exif = Image.Exif()
    exif[274] = 6
    made = {
        "jpeg": (rgb, "JPEG", {"exif": exif}),
        "progressive": (rgb, "JPEG", {"progressive": True}),
        "cmyk": (rgb.convert("CMYK"), "JPEG", {}),
        "png": (rgb, "PNG", {"exif": exif}),
        "palette": (rgb.quantize(16), "PNG", {"transparency": 0}),
        "deep png": (deep, "PNG", {}),
        "tiff": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "deep tiff": (deep, "TIFF", {}),
        "webp": (rgb, "WEBP", {}),
        "gif": (rgb.quantize(16), "GIF", {}),
        "bmp": (rgb, "BMP", {}),
    }
    contents = {}
    for name, (image, kind, options) in made.items():
        file = io.BytesIO()
        image.save(file, kind, **options)
        contents[name] = file.getvalue()
    return contents


PHOTOS = photos()


@pytest.mark.parametrize("kind", PHOTOS)
@fuzzed
@given(changes=CHANGES)
def test_photos(tmp_path, kind, changes):
    path = tmp_path / "photo"
    path.write_bytes(mutate(PHOTOS[kind], changes))
    for read in (
        photo_size,
        partial(read_photo, max_pixels=MAX_PIXELS),
        partial(read_mask_levels, max_pixels=MAX_PIXELS),
        partial(read_for_network, size=(4, 4), max_pixels=MAX_PIXELS),
    ):
        with only_input_errors():
            read(path)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory) -> Path:
    """A prediction folder of five photos with masks, to be copied."""
    root = tmp_path_factory.mktemp("predicted")
    folder = write_predictions(root, random_masks(5))
    with (predictions := PredictionFolder(folder)).locked():
        predictions.settle({"size": [32, 64], "tta": "flip", "threshold": 0.5})
        for row in list(predictions.rows()):  # as a run writes them
            predictions.add_row(row | {"review": "", "coverage": 0.1, "seconds": 0.1})
        gather(predictions, (), MAX_PIXELS)
    return folder


@pytest.fixture(scope="module")
def copied(predicted, tmp_path_factory) -> Path:
    """A copy of it, whose files are damaged one after the other."""
    return shutil.copytree(predicted, tmp_path_factory.mktemp("copied") / "out")


def use_journal(folder: Path) -> None:
    predictions = PredictionFolder(folder)
    with predictions.locked():
        paths = [row["path"] for row in predictions.rows()]
        assert {*predictions.find_missing(paths, ("mask",))} <= {*paths}
        gather(predictions, ("coco",), MAX_PIXELS)
    list(Predictions(folder))


def use_settings(folder: Path) -> None:
    predictions = PredictionFolder(folder)
    with predictions.locked():
        predictions.settle({"size": [32, 64], "tta": "flip", "threshold": 0.5})


FOLDER_FILES = {
    ".flukeseg/journal-all.jsonl": use_journal,
    ".flukeseg/settings.json": use_settings,
    "predictions.csv": find_predicted,
}


@pytest.mark.parametrize("name", FOLDER_FILES)
@fuzzed
@given(changes=CHANGES)
def test_prediction_folders(predicted, copied, name, changes):
    (copied / name).write_bytes(mutate((predicted / name).read_bytes(), changes))
    try:
        with only_input_errors():
            FOLDER_FILES[name](copied)
    finally:
        shutil.copy(predicted / name, copied / name)


def use_list(path: Path) -> None:
    name_inputs(find_inputs(path))


LISTS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "list.txt": (b"a.jpg\ndeep/b.png\n../c.tif\n", use_list),
    "list.csv": (b"number,path\n1,a.jpg\n2,'=b.png\n3,\"c,d.tif\"\n", use_list),
    "labels.csv": (b"photo,mask,use\n/p/a.jpg,masks/a.png,train\n/p/b.jpg,masks/b.png,val\n",
                   read_labels),
    "groups.csv": (b"stem,individual\na,Hope\nb,\nc,Hope\n",
                   partial(read_individuals, known=["a", "b", "c"])),
    "val.txt": (b"a\nb\n", partial(read_stems, known=["a", "b", "c"])),
    "individuals.csv": (b"photo,name\na.jpg,Hope\nb.jpg,Faith\n", Individuals),
    "edge.csv": (b"x,y\n1.5,2\n,\n3,-4\n", read_edge),
    "review.csv": (b"name,verdict,who,when,mask_sha256,path\na,right,me,2026,ab,/p/a.jpg\n",
                   lambda path: Verdicts(path.parent).latest()),
    "split.csv": (b"source,use,name,hash\n,train,a,00\n,val,b,01\n",
                  lambda path: refuse_changed_photos([], path.parent)),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
@fuzzed
@given(changes=CHANGES)
def test_lists(tmp_path, name, changes):
    content, read = LISTS[name]
    (tmp_path / name).write_bytes(mutate(content, changes))
    with only_input_errors():
        read(tmp_path / name)


def archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def read_members(path: Path) -> None:
    found = Archive(path)
    for name in found.sizes:
        with suppress(InputError):
            found.read(name)


@fuzzed
@given(changes=CHANGES)
def test_archives(tmp_path, changes):
    path = tmp_path / "archive.zip"
    path.write_bytes(mutate(archive({"a/b.txt": b"text" * 50, "c.png": bytes(90)}), changes))
    with only_input_errors():
        read_members(path)


@pytest.fixture(scope="module")
def exported(predicted, tmp_path_factory) -> dict[str, tuple[Path, bytes, Callable]]:
    """A valid file of each annotation tool, and what reads it back."""
    root = tmp_path_factory.mktemp("exported")
    own = list(Predictions(predicted))
    finder = PhotoFinder(own)
    paths = {kind: root / f"{kind}.json" for kind in ("coco", "via", "brush", "polygons")}
    coco_files.write_instances(paths["coco"], own, "fluke")
    via.write_project(paths["via"], own, "fluke")
    label_studio.write_tasks(paths["brush"], own, "fluke", "/data/", polygons=False)
    label_studio.write_tasks(paths["polygons"], own, "fluke", "/data/", polygons=True)
    for kind in ("brush", "polygons"):  # as a person's, which are read
        tasks = json.loads(paths[kind].read_text())
        for task in tasks:
            task["annotations"] = task.pop("predictions")
        paths[kind].write_text(json.dumps(tasks))
    labelme.write_files(root / "labelme", own, "fluke")
    first = min((root / "labelme").rglob("*.json"))
    paths["cvat"] = root / "cvat.zip"
    instances = {"annotations/instances_default.json": paths["coco"].read_bytes()}
    paths["cvat"].write_bytes(archive(instances))
    readers = {
        "coco": coco_files.read_instances,
        "via": via.read_project,
        "brush": label_studio.read_tasks,
        "polygons": label_studio.read_tasks,
        "cvat": cvat.read_archive,
    }
    found = {
        kind: (path, path.read_bytes(), partial(readers[kind], path, finder, "fluke"))
        for kind, path in paths.items()
    }
    read = partial(labelme.read_files, root / "labelme", finder, "fluke")
    return found | {"labelme": (first, first.read_bytes(), read)}


@pytest.mark.parametrize("kind", ["coco", "via", "brush", "polygons", "cvat", "labelme"])
@fuzzed
@given(changes=CHANGES)
def test_annotations(exported, kind, changes):
    path, content, read = exported[kind]
    path.write_bytes(mutate(content, changes))
    with only_input_errors():
        for _ in read():
            pass
