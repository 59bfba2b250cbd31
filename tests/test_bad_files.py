"""Files that are damaged, of another kind, or empty: each ends in one sentence that names it."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from exchange_data import random_masks, write_predictions
from PIL import Image

from flukeseg import read_rgbm
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.data.pseudo_labels import read_labels
from flukeseg.data.splits import SplitPhoto, read_individuals, read_stems
from flukeseg.errors import InputError
from flukeseg.evaluation.judging import read_edge
from flukeseg.evaluation.pairing import find_predicted
from flukeseg.evaluation.run_data import read_run_data
from flukeseg.exchange import coco_files, cvat, label_studio, labelme, via
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.outside_files import PhotoFinder
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.images.reading import read_for_network, read_mask
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_predictor
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import find_inputs
from flukeseg.prediction.kept_masks import Verdicts
from flukeseg.sweeps.runs import read_runs
from flukeseg.training.archives import unpack
from flukeseg.training.checkpoint_io import AtomicCheckpointIO
from flukeseg.training.run_folder import read_result
from flukeseg.training.split_record import refuse_changed_photos

RGB = np.random.default_rng(3).integers(0, 256, (24, 17, 3), np.uint8)
GREY = RGB[..., 0]

Content = bytes | Callable[[Path], object]
"""A file's bytes, or what makes it."""


def encoded(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    found = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    found.save(file, kind, **options)
    return file.getvalue()


PNG, JPEG = encoded(RGB, "PNG"), encoded(RGB, "JPEG", quality=95)
TIFF, WEBP = encoded(RGB, "TIFF"), encoded(RGB, "WEBP", lossless=True)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(90)))
    return PNG[:8] + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


NO_PICTURE: dict[str, Content] = {
    "nothing": b"",
    "one byte": b"\xff",
    "zeros": bytes(4096),
    "text": b"a photo of a fluke\n",
    "HTML of a failed download": b"<!DOCTYPE html><title>404</title>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "zip": b"PK\x03\x04" + bytes(60),
    "video": b"\0\0\0\x18ftypmp42" + bytes(99),
    "camera raw": b"II*\0\x10\0\0\0CR\x02\0" + bytes(200),
    "Photoshop": b"8BPS\0\x01" + bytes(40),
    "a folder": lambda path: path.mkdir(),
    "not there": lambda path: None,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "only a signature of PNG": PNG[:8],
    "PNG cut in its header": PNG[:20],
    "PNG cut in its pixels": PNG[: len(PNG) // 2],
    "PNG without its end and last row": PNG[:-60],
    "PNG with a changed byte": PNG[:100] + bytes([PNG[100] ^ 255]) + PNG[101:],
    "PNG without pixels": PNG[:33] + PNG[-12:],
    "PNG of no width": png_of_size(0, 9),
    "PNG that states a larger size": png_of_size(900, 900),
    "PNG of a thousand megapixels": png_of_size(40_000, 25_000),
    "PNG of 2**31 pixels a side": png_of_size(2**31 - 1, 2**31 - 1),
    "only a signature of JPEG": JPEG[:3],
    "JPEG cut in its header": JPEG[:150],
    "JPEG cut in its pixels": JPEG[: len(JPEG) // 2],
    "JPEG of zeros after its header": JPEG[:200] + bytes(len(JPEG) - 200),
    "TIFF cut in its header": TIFF[:10],
    "TIFF cut in its pixels": TIFF[: len(TIFF) // 2],
    "TIFF of 32 bits": encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
    "TIFF of large floats": encoded(Image.fromarray(GREY * np.float32(99)), "TIFF"),
    "WebP cut in its pixels": WEBP[: len(WEBP) // 2],
    "GIF cut in its header": encoded(Image.fromarray(GREY), "GIF")[:9],
    "BMP cut in its pixels": encoded(RGB, "BMP")[:300],
}  # fmt: skip
"""What neither a photo nor a mask can be."""


NO_MASK: dict[str, Content] = {
    "values 0 and 1": encoded(GREY % 2, "PNG"),
    "values 0 and 1 of 16 bits": encoded(Image.fromarray((GREY % 2).astype(np.uint16)), "PNG"),
    "dark red for fluke": encoded(np.stack([GREY, 0 * GREY, 0 * GREY], -1), "PNG"),
    "in the alpha channel alone": encoded(np.stack([0 * GREY] * 3 + [GREY], -1), "PNG"),
}


@pytest.fixture(scope="module")
def predicted(tmp_path_factory) -> Path:
    return write_predictions(tmp_path_factory.mktemp("predicted"), random_masks(3))


def write(path: Path, content: Content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path


def sentence(read: Callable[[], object], name: str) -> str:
    """Return the one sentence that reading ends in; it names the file."""
    with pytest.raises(InputError) as error:
        read()
    said = str(error.value)
    assert name in said
    assert len(said.splitlines()) == 1
    assert len(said) < 600
    return said


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", NO_PICTURE)
def test_no_photo(tmp_path, kind):
    path = write(tmp_path / "photo.jpg", NO_PICTURE[kind])
    sentence(partial(read_for_network, path, (4, 4), 10**6), "photo.jpg")


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", [*NO_PICTURE, *NO_MASK])
def test_no_mask(tmp_path, kind):
    path = write(tmp_path / "mask.png", (NO_PICTURE | NO_MASK)[kind])
    sentence(partial(read_mask, path, max_pixels=10**6), "mask.png")


KNOWN = ["a", "b", "c"]
PHOTO = SplitPhoto("", "train", "a", "00")
NOT_TEXT = b"\xff\xfe\0\x81"

READERS: dict[str, Callable[[Path], object]] = {
    "list.txt": find_inputs,
    "list.csv": find_inputs,
    "labels.csv": read_labels,
    "groups.csv": partial(read_individuals, known=KNOWN),
    "val.txt": partial(read_stems, known=KNOWN),
    "individuals.csv": lambda path: Individuals(path).name,
    "edge.csv": read_edge,
    "review.csv": lambda path: Verdicts(path.parent).latest(),
    "split.csv": lambda path: refuse_changed_photos([PHOTO], path.parent),
    "predictions.csv": lambda path: find_predicted(path.parent),
    "result.json": lambda path: read_result(path.parent),
    "config.yaml": lambda path: read_run_data(path.parent),
    "checkpoints/last.ckpt": lambda path: AtomicCheckpointIO().load_checkpoint(path),
    "run.ckpt": lambda path: load_predictor([path]),
    "run.pt": lambda path: load_predictor([path]),
    "run.onnx": lambda path: load_predictor([path], runtime="onnx"),
    "run.xml": lambda path: load_predictor([path], runtime="openvino"),
    "rgbm.png": read_rgbm,
    "photos.tar": lambda path: unpack(path, path.with_name("unpacked")),
    "photos.tar.gz": lambda path: unpack(path, path.with_name("unpacked")),
}

NAMED_BY_FOLDER = ("split.csv", "predictions.csv")

TABLES: dict[tuple[str, str], Content] = {
    ("list.txt", "empty"): b"",
    ("list.txt", "blank lines"): b"\n \n\n",
    ("list.txt", "only a mark of UTF-8"): b"\xef\xbb\xbf",
    ("list.csv", "empty"): b"",
    ("list.csv", "no column path"): b"photo,size\na.jpg,3\n",
    ("list.csv", "header alone"): b"path\n",
    ("list.csv", "unclosed quote"): b'path\n"a.jpg\n',
    ("labels.csv", "empty"): b"a,b\n1,2\n",
    ("labels.csv", "no mask"): b"photo,use\na.jpg,train\n",
    ("labels.csv", "mask outside"): b"photo,mask,use\na.jpg,../a.png,train\n",
    ("labels.csv", "mask with a NUL"): b"photo,mask,use\na.jpg,a\0.png,train\n",
    ("labels.csv", "a folder"): lambda path: path.mkdir(),
    ("labels.csv", "not there"): lambda path: None,
    ("groups.csv", "empty"): b"",
    ("groups.csv", "other columns"): b"photo,name\na,Hope\n",
    ("groups.csv", "two individuals"): b"stem,individual\na,Hope\na,Faith\n",
    ("groups.csv", "unclosed quote"): b'stem,individual\na,"Hope\n',
    ("groups.csv", "no photo of these"): b"stem,individual\nz,Hope\n",
    ("groups.csv", "no text"): NOT_TEXT,
    ("groups.csv", "a long cell"): b"stem,individual\na," + b"x" * 200_000 + b"\n",
    ("val.txt", "empty"): b"",
    ("val.txt", "strangers"): b"a\nz\n",
    ("val.txt", "suffixes"): b"a.jpg\n",
    ("val.txt", "no text"): NOT_TEXT,
    ("individuals.csv", "empty"): b"",
    ("individuals.csv", "other columns"): b"file,who\na.jpg,Hope\n",
    ("individuals.csv", "two names"): b"photo,name\na.jpg,Hope\na.jpg,Faith\n",
    ("individuals.csv", "not there"): lambda path: None,
    ("individuals.csv", "a folder"): lambda path: path.mkdir(),
    ("individuals.csv", "unclosed quote"): b'photo,name\na.jpg,"Hope\n',
    ("edge.csv", "other columns"): b"a,b\n1,2\n",
    ("edge.csv", "words"): b"x,y\none,two\n",
    ("edge.csv", "empty"): b"",
    ("edge.csv", "no text"): NOT_TEXT,
    ("review.csv", "other columns"): b"a,b\n1,2\n",
    ("split.csv", "fewer columns"): b"source,use\n,train\n",
    ("split.csv", "unclosed quote"): b'source,use,name,hash\n,train,"a,00\n',
    ("split.csv", "other photos"): b"source,use,name,hash\n,val,a,00\n",
    ("split.csv", "no text"): NOT_TEXT,
    ("predictions.csv", "other columns"): b"a,b\n1,2\n",
    ("predictions.csv", "empty"): b"",
    ("predictions.csv", "words"): b"path,mask,confidence,review,seconds\na,mask/a.png,sure,,1\n",
    ("predictions.csv", "no text"): NOT_TEXT,
    ("result.json", "empty"): b"",
    ("result.json", "cut"): b'{"figures": {"val/d',
    ("result.json", "a list"): b"[1]",
    ("result.json", "no text"): NOT_TEXT,
    ("config.yaml", "no YAML"): b"{[",
    ("config.yaml", "a list"): b"- a\n",
    ("config.yaml", "no text"): NOT_TEXT,
    ("config.yaml", "root is a list"): b"data: {root: [a]}\n",
    ("config.yaml", "size of one side"): b"data: {root: a, size: [3]}\n",
    ("config.yaml", "fold is text"): b"data: {root: a, folds: 2, fold: a}\n",
    ("config.yaml", "seed is a map"): b"data: {root: a, seed: {a: 1}}\n",
    ("checkpoints/last.ckpt", "empty"): b"",
    ("checkpoints/last.ckpt", "text"): b"no checkpoint",
    ("checkpoints/last.ckpt", "zip of nothing"): b"PK\x05\x06" + bytes(18),
    ("checkpoints/last.ckpt", "not there"): lambda path: None,
    ("run.ckpt", "empty"): b"",
    ("run.ckpt", "text"): b"no checkpoint",
    ("run.ckpt", "a list"): lambda path: torch.save([1], path),
    ("run.ckpt", "no weights"): lambda path: torch.save({"hyper_parameters": {}}, path),
    ("run.ckpt", "weights alone"): lambda path: torch.save({"w": torch.zeros(1)}, path),
    ("run.pt", "empty"): b"",
    ("run.pt", "text"): b"no network",
    ("run.pt", "zip of nothing"): b"PK\x05\x06" + bytes(18),
    ("run.onnx", "empty"): b"",
    ("run.onnx", "text"): b"no network",
    ("run.xml", "empty"): b"",
    ("run.xml", "text"): b"no network",
    ("run.xml", "no weights beside it"): b"<?xml version='1.0'?><net name='a' version='11'/>",
    ("rgbm.png", "empty"): b"",
    ("rgbm.png", "three channels"): PNG,
    ("rgbm.png", "cut"): encoded(np.dstack([RGB, GREY]), "PNG")[:300],
    ("photos.tar", "empty"): b"",
    ("photos.tar", "text"): b"no archive",
    ("photos.tar", "no member"): lambda path: tarfile.open(path, "w").close(),
    ("photos.tar", "a device"): lambda path: write_tar(path, "device"),
    ("photos.tar", "a link outside"): lambda path: write_tar(path, "link"),
    ("photos.tar", "a member outside"): lambda path: write_tar(path, "outside"),
    ("photos.tar", "cut"): lambda path: write_tar(path, "cut"),
    ("photos.tar.gz", "no gzip"): b"\x1f\x8b" + bytes(30),
    ("photos.tar.gz", "cut"): lambda path: write_tar(path, "cut gzip"),
}  # fmt: skip
"""By file and what is wrong with it."""


def write_tar(path: Path, kind: str) -> None:
    with tarfile.open(path, "w:gz" if kind == "cut gzip" else "w") as tar:
        entry = tarfile.TarInfo("../../a.png" if kind == "outside" else "a.png")
        if kind == "device":
            entry.type = tarfile.CHRTYPE
        elif kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        else:
            entry.size = len(PNG)
        tar.addfile(entry, io.BytesIO(PNG) if entry.size else None)
    if kind.startswith("cut"):
        path.write_bytes(path.read_bytes()[: 700 if kind == "cut" else 400])


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "kind"), TABLES)
def test_a_file_of_ours_that_is_none(tmp_path, name, kind):
    write(tmp_path / "folder" / name, TABLES[name, kind])
    said = "folder" if name in NAMED_BY_FOLDER else name
    sentence(partial(READERS[name], tmp_path / "folder" / name), said)


FOLDERS: dict[str, Callable[[Path], object]] = {
    "no images": lambda root: shutil.rmtree(root / "images"),
    "no masks": lambda root: shutil.rmtree(root / "masks"),
    "images is a file": lambda root: (shutil.rmtree(root / "images"),
                                      (root / "images").write_text("")),
    "empty images": lambda root: [path.unlink() for path in (root / "images").iterdir()],
    "empty masks": lambda root: [path.unlink() for path in (root / "masks").iterdir()],
    "other stems": lambda root: [path.rename(path.with_name(f"x{path.name}"))
                                 for path in (root / "masks").iterdir()],
    "a mask without a photo": lambda root: (root / "images/fluke_03.jpg").unlink(),
    "two photos of a stem": lambda root: shutil.copy(root / "images/fluke_03.jpg",
                                                     root / "images/fluke_03.png"),
    "a damaged photo": lambda root: (root / "images/fluke_03.jpg").write_bytes(JPEG[:90]),
    "a damaged mask": lambda root: (root / "masks/fluke_03.png").write_bytes(PNG[:90]),
    "a mask of another size": lambda root: (root / "masks/fluke_03.png").write_bytes(
        encoded(255 * (GREY > 99).astype(np.uint8), "PNG")),
    "masks without fluke": lambda root: [
        path.write_bytes(encoded(np.zeros((64, 128), np.uint8), "PNG"))
        for path in (root / "masks").iterdir()],
    "masks of 0 and 1": lambda root: [
        path.write_bytes(encoded(np.ones((64, 128), np.uint8), "PNG"))
        for path in (root / "masks").iterdir()],
    "everything for validation": lambda root: (root / "val.txt").write_text(
        "".join(f"fluke_{i:02d}\n" for i in range(12))),
    "val.txt is a folder": lambda root: (root / "val.txt").mkdir(),
    "groups.csv is a folder": lambda root: (root / "groups.csv").mkdir(),
    "one individual": lambda root: (root / "groups.csv").write_text(
        "stem,individual\n" + "".join(f"fluke_{i:02d},Hope\n" for i in range(12))),
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_pairs_that_is_none(tmp_path, shared_pairs, kind):
    root = shutil.copytree(shared_pairs, tmp_path / "pairs")
    FOLDERS[kind](root)
    data = FolderDataModule(root, val_count=4, size=(32, 64), batch_size=2, num_workers=0)
    with pytest.raises(InputError, match=r"pairs|val_count|validation photo"):
        data.setup()


SETTINGS = {
    "empty": b"", "cut": b'{"size": [3', "a list": b"[]", "no text": NOT_TEXT, "number": b"7",
    "generation is text": b'{"generation": "a"}', "nested": b"[" * 100_000,
    "other settings": b'{"size": [1, 2]}',
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_of_a_prediction(tmp_path, kind):
    write(tmp_path / "out/.flukeseg/settings.json", SETTINGS[kind])
    name = "out" if kind == "other settings" else "settings.json"
    sentence(lambda: PredictionFolder(tmp_path / "out").settle({"size": [32, 64]}), name)


RUNS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda run: None,
    "no checkpoint": lambda run: (run / "checkpoints").mkdir(parents=True),
    "two checkpoints": lambda run: [write(run / f"checkpoints/{n}.ckpt", b"x") for n in "ab"],
    "result.json is cut": lambda run: write(run / "result.json", b"{"),
    "result.json is a list": lambda run: write(run / "result.json", b"[]"),
    "the best is not there": lambda run: write(run / "result.json", b'{"checkpoint": "a.ckpt"}'),
    "the best is outside": lambda run: (
        write(run / "result.json", b'{"checkpoint": "../a.ckpt"}'), write(run / "../a.ckpt", b"")),
    "the best is a number": lambda run: write(run / "result.json", b'{"checkpoint": 7}'),
    "a name that is too long": lambda run: write(
        run / "result.json", json.dumps({"checkpoint": "a" * 5000}).encode()),
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_without_a_checkpoint(tmp_path, kind):
    RUNS[kind](tmp_path / "run")
    with pytest.raises(InputError) as error:
        find_checkpoint(tmp_path / "run")
    assert "run" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


SWEEPS: dict[str, Callable[[Path], object]] = {
    "not there": lambda sweep: None,
    "empty": lambda sweep: sweep.mkdir(),
    "a file": lambda sweep: write(sweep, b""),
    "overrides are no YAML": lambda sweep: a_run(sweep, "{["),
    "overrides are a map": lambda sweep: a_run(sweep, "a: 1"),
    "a tag of Python": lambda sweep: a_run(sweep, "- !!python/object/apply:os.getcwd []"),
}


def a_run(sweep: Path, overrides: str) -> None:
    write(sweep / "0/.hydra/overrides.yaml", overrides.encode())
    write(sweep / "0/result.json", b'{"figures": {"val/dice": 0.5}}')


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", SWEEPS)
def test_a_sweep_that_is_none(tmp_path, kind):
    SWEEPS[kind](tmp_path / "sweep")
    sentence(lambda: read_runs(tmp_path / "sweep"), "sweep")


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


IMAGE = {"id": 1, "file_name": "m000.png", "width": 9, "height": 9}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 9}


def coco(image: object = IMAGE, **annotation: object) -> bytes:
    categories = [{"id": 1, "name": "fluke"}]
    content = {"images": [image], "annotations": [BOX | annotation], "categories": categories}
    return json.dumps(content).encode()


def task(**result: object) -> bytes:
    annotation = {"result": [{"type": "polygonlabels", "value": {}} | result]}
    return json.dumps([{"data": {"image": "m000.png"}, "annotations": [annotation]}]).encode()


def shape(**changes: object) -> bytes:
    one = {"label": "fluke", "points": [[0, 0], [5, 0], [5, 5]], "shape_type": "polygon"} | changes
    content = {"imagePath": "m000.png", "shapes": [one], "imageHeight": 9, "imageWidth": 9}
    return json.dumps(content).encode()


def region(**attributes: object) -> bytes:
    regions = [{"shape_attributes": attributes, "region_attributes": {}}]
    image = {"filename": "m000.png", "size": 9, "regions": regions, "file_attributes": {}}
    return json.dumps({"_via_img_metadata": {"a": image}}).encode()


NO_JSON: dict[str, bytes] = {
    "empty": b"", "text": b"masks", "cut": b'{"images": [{"id"', "no text": NOT_TEXT,
    "a number": b"7", "null": b"null", "a list of numbers": b"[1, 2]", "nested": b"[" * 100_000,
    "a long number": b"1" * 5000,
}  # fmt: skip

ANNOTATIONS: dict[str, dict[str, bytes]] = {
    "coco": NO_JSON | {
        "no images": b'{"annotations": []}',
        "images of another type": b'{"images": 7, "annotations": []}',
        "a stranger's photo": coco(IMAGE | {"file_name": "z.png"}),
        "a photo outside": coco(IMAGE | {"file_name": "../../etc/passwd"}),
        "a photo's name is a number": coco(IMAGE | {"file_name": 7}),
        "a polygon of words": coco(segmentation=[["a", "b", "c", "d", "e", "f"]]),
        "a polygon of one point": coco(segmentation=[[1, 2]]),
        "a polygon of NaN": coco(segmentation=[[float("nan")] * 6]),
        "a segmentation of text": coco(segmentation="fluke"),
        "counts of another size": coco(segmentation={"size": [9, 9], "counts": [5]}),
        "negative counts": coco(segmentation={"size": [9, 9], "counts": [-1, 82]}),
        "a size of a thousand megapixels": coco(
            segmentation={"size": [40_000, 25_000], "counts": [10**9]}),
    },
    "via": NO_JSON | {
        "no regions": b'{"a": {"filename": "m000.png"}}',
        "points of words": region(name="polygon", all_points_x=["a"] * 3, all_points_y=[1] * 3),
        "points of two lengths": region(name="polygon", all_points_x=[1] * 3, all_points_y=[1] * 4),
        "an unknown shape": region(name="cloud"),
    },
    "label_studio": NO_JSON | {
        "no image": b'[{"data": {}, "annotations": [{"result": []}]}]',
        "points of words": task(value={"points": [["a", "b"]] * 3, "polygonlabels": ["fluke"]}),
        "a brush of words": task(type="brushlabels", original_width=9, original_height=9,
                                 value={"format": "rle", "rle": "a", "brushlabels": ["fluke"]}),
        "a brush that is cut": task(type="brushlabels", original_width=9, original_height=9,
                                    value={"format": "rle", "rle": [1], "brushlabels": ["fluke"]}),
    },
    "labelme": NO_JSON | {
        "no shapes": b'{"imagePath": "m000.png"}',
        "points of words": shape(points=[["a", "b"]] * 3),
        "an unknown shape": shape(shape_type="cloud"),
        "a mask that is no PNG": shape(shape_type="mask", mask="AAAA", points=[[0, 0], [5, 5]]),
    },
    "cvat": {
        "empty": b"", "text": b"masks", "cut": zipped({"a.txt": b"a" * 99})[:60],
        "no member": zipped({}), "other members": zipped({"a.txt": b"a"}),
        "a member outside": zipped({"../a.txt": b"a"}),
        "an absolute member": zipped({"/etc/a": b"a"}),
        "COCO that is cut": zipped({"annotations/instances_default.json": b'{"images": ['}),
        "a mask that is no PNG": zipped({"labelmap.txt": b"fluke:255,0,0::\n",
                                         "SegmentationClass/m000.png": b"no PNG"}),
        "no label map": zipped({"SegmentationClass/m000.png": PNG}),
    },
}  # fmt: skip

IMPORTERS = {
    "coco": coco_files.read_instances, "via": via.read_project,
    "label_studio": label_studio.read_tasks, "labelme": labelme.read_files,
    "cvat": cvat.read_archive,
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("tool", "kind"), [(tool, kind) for tool, kinds in ANNOTATIONS.items() for kind in kinds]
)
def test_annotations_that_are_none(tmp_path, predicted, tool, kind):
    name = "masks.zip" if tool == "cvat" else "m000.json"
    path = write(tmp_path / "saved" / name, ANNOTATIONS[tool][kind])
    source = path.parent if tool == "labelme" else path
    finder = PhotoFinder(Predictions(predicted))
    sentence(lambda: list(IMPORTERS[tool](source, finder, "fluke")), "saved")
