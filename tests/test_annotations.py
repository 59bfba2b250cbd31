"""Predictions to annotation tools and back, and files that mean harm."""

from __future__ import annotations

import base64
import json
import struct
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_job
from exchange_data import photos_of, random_masks, write_predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import flukeseg.annotations as annotations_job
from flukeseg.data.pairs import load_pairs
from flukeseg.errors import InputError
from flukeseg.exchange import coco_files, cvat, label_studio, labelme, outside_files, via
from flukeseg.exchange.corrections import write_corrections
from flukeseg.exchange.outside_files import PhotoFinder
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.exchange.shapes import (
    Outline,
    centre_outlines,
    compress_runs,
    edge_outlines,
    expand_runs,
    mask_of_runs,
    paint_centres,
    paint_edges,
)
from flukeseg.images.encoding import encode_png
from flukeseg.masks.coco import run_lengths

MASKS = random_masks(100)
SMALL = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory) -> Path:
    """A prediction of the random masks, some in a folder of their own; to be read only."""
    root = tmp_path_factory.mktemp("exchange")
    named = {
        f"sub/{name}" if i % 3 == 0 else name: mask for i, (name, mask) in enumerate(MASKS.items())
    }
    return write_predictions(root, named)


def archive_of(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def mask_archive(path: Path, photos) -> Path:
    """Write what CVAT exports as `Segmentation mask 1.1`: coloured PNGs, none for empty frames."""
    files = {
        "labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nfluke:61,61,245::\n"
    }
    names = []
    for photo in photos:
        name = photo.relative.rpartition(".")[0]
        names.append(name)
        if (mask := photo.read_mask()).any():
            files[f"SegmentationClass/{name}.png"] = encode_png(
                mask[..., None] * np.array([61, 61, 245], np.uint8)
            )
    files[cvat.LIST] = "\n".join(names).encode() + b"\n"
    return archive_of(files, path)


def label_studio_export(path: Path) -> None:
    """Turn tasks with predictions to what comes back when each is submitted as it is."""
    tasks = json.loads(path.read_text())
    for task in tasks:
        predictions = task.pop("predictions")
        task["annotations"] = [
            {"id": 1, "was_cancelled": False, "result": predictions[0]["result"]}
        ]
    path.write_text(json.dumps(tasks))


def export(kind: str, predicted: Path, out: Path):
    """Export and give what its import yields."""
    photos, finder = Predictions(predicted), PhotoFinder(Predictions(predicted))
    if kind.startswith("label_studio"):
        polygons = kind.endswith("polygons")
        label_studio.write_tasks(out / "ls.json", photos, "fluke", "/data/", polygons)
        label_studio_export(out / "ls.json")
        return label_studio.read_tasks(out / "ls.json", finder, "fluke")
    if kind == "labelme":
        labelme.write_files(out / "labelme", photos, "fluke")
        return labelme.read_files(out / "labelme", finder, "fluke")
    if kind == "via":
        via.write_project(out / "via.json", photos, "fluke")
        return via.read_project(out / "via.json", finder, "fluke")
    if kind == "cvat_masks":
        return cvat.read_archive(mask_archive(out / "masks.zip", photos), finder, "fluke")
    coco_files.write_instances(out / "coco.json", photos, "fluke")
    if kind == "cvat_coco":
        content = (out / "coco.json").read_bytes()
        path = archive_of({"annotations/instances_default.json": content}, out / "coco.zip")
        return cvat.read_archive(path, finder, "fluke")
    return coco_files.read_instances(out / "coco.json", finder, "fluke")


KINDS = (
    "label_studio", "label_studio_polygons", "labelme", "via", "coco", "cvat_coco", "cvat_masks",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_untouched_masks_come_back_bit_for_bit(kind, predicted, tmp_path):
    back = {photo.name: mask for photo, mask in export(kind, predicted, tmp_path)}
    assert len(back) == 100
    for name, photo in photos_of(predicted).items():
        np.testing.assert_array_equal(back[name], MASKS[name.removeprefix("sub/")])
        assert back[name].dtype == np.uint8
        assert photo.read_mask().shape == back[name].shape


@given(SMALL)
@settings(max_examples=300)
def test_outlines_and_runs_are_exact(mask):
    np.testing.assert_array_equal(paint_centres(centre_outlines(mask), mask.shape), mask)
    np.testing.assert_array_equal(paint_edges(edge_outlines(mask), mask.shape), mask)
    counts = run_lengths(mask)
    text = compress_runs(counts)
    assert text == coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    assert expand_runs(text) == counts
    np.testing.assert_array_equal(mask_of_runs(counts, mask.shape), mask)
    rle = label_studio.encode_brush(mask)
    np.testing.assert_array_equal(label_studio.decode_brush(rle, mask.shape), mask)


@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_long_runs_are_written_as_pycocotools_does(counts):
    assert expand_runs(compress_runs(counts)) == counts


# pycocotools 2.0.11 against numpy 2
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_edge_outlines_are_exact_for_pycocotools():
    for mask in MASKS.values():
        outlines = edge_outlines(mask)
        filled = np.zeros_like(mask)
        for points, is_hole in sorted(
            outlines, key=lambda o: -cv2.contourArea(o.points.astype("f4"))
        ):
            polygon = [np.repeat(points, 2, axis=0).ravel().tolist()]  # at least four points
            rles = coco_mask.frPyObjects(polygon, *mask.shape)
            filled[coco_mask.decode(rles)[..., 0] > 0] = not is_hole
        np.testing.assert_array_equal(filled, mask)


def test_centre_outlines_are_exact_for_opencv():
    for mask in MASKS.values():
        filled = np.zeros_like(mask)
        outlines = centre_outlines(mask)
        for points, is_hole in sorted(outlines, key=lambda o: -cv2.contourArea(o.points)):
            cv2.fillPoly(filled, [points], int(not is_hole))
            if is_hole:
                cv2.polylines(filled, [points], True, 1)
        np.testing.assert_array_equal(filled, mask)


def test_drawn_polygons_cover_the_pixels_whose_centre_they_hold():
    triangle = Outline(np.array([[1.2, 1.0], [8.7, 1.0], [1.2, 8.5]]), False)
    mask = paint_edges([triangle], (10, 10))
    y, x = np.mgrid[:10, :10] + 0.5
    np.testing.assert_array_equal(mask, (x > 1.2) & (y > 1) & (x + y < 9.7))
    hole = Outline(np.array([[2, 2], [4, 2], [4, 4], [2, 4]]), True)
    assert paint_edges([hole, triangle], (10, 10)).sum() == mask.sum() - 4


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_coco_file_is_read_by_pycocotools(predicted, tmp_path):
    coco_files.write_instances(tmp_path / "coco.json", Predictions(predicted), "fluke")
    coco = COCO(str(tmp_path / "coco.json"))
    photos = {photo.relative: photo for photo in Predictions(predicted)}
    for image in coco.imgs.values():
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for one in found:
            mask |= coco.annToMask(one)
        np.testing.assert_array_equal(mask, photos[image["file_name"]].read_mask())


def test_compressed_runs_and_polygons_of_coco_are_read(predicted, tmp_path):
    photo = photos_of(predicted)["sub/full"]
    mask = np.zeros(photo.size, np.uint8)
    mask[3:9, 4:20] = 1
    runs = coco_mask.encode(np.asfortranarray(mask))
    compressed = {"size": runs["size"], "counts": runs["counts"].decode()}
    for segmentation in (compressed, [[4, 3, 20, 3, 20, 9, 4, 9]]):
        content = coco_content(photo, segmentation)
        ((_, back),) = read_coco(content, predicted, tmp_path)
        np.testing.assert_array_equal(back, mask)


def coco_content(photo, segmentation, file_name=None):
    height, width = photo.size
    return {
        "categories": [{"id": 3, "name": "fluke"}, {"id": 4, "name": "boat"}],
        "images": [
            {"id": 7, "file_name": file_name or photo.relative, "width": width, "height": height}
        ],
        "annotations": [
            {"image_id": 7, "category_id": 3, "segmentation": segmentation},
            {"image_id": 7, "category_id": 4, "segmentation": "of no interest"},
        ],
    }


def read_coco(content, predicted, tmp_path, label="fluke"):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(content))
    finder = PhotoFinder(Predictions(predicted))
    return list(coco_files.read_instances(path, finder, label))


def test_corrections_become_pairs_and_the_rest_stays(tmp_path):
    predicted = write_predictions(
        tmp_path, {"a": MASKS["full"], "s/b": MASKS["m003"], "c": MASKS["m004"]}
    )
    photos = photos_of(predicted)
    changed = photos["c"].read_mask() ^ 1
    corrections = [
        (photos["a"], np.zeros_like(MASKS["full"])),
        (photos["s/b"], photos["s/b"].read_mask()),
        (photos["c"], changed),
    ]
    out = tmp_path / "pairs"
    counts = write_corrections(out, corrections)
    assert counts == {"unchanged": 1, "changed": 2, "emptied": 1, "replaced": 0}
    assert (out / "masks/s__b.png").read_bytes() == photos["s/b"].mask_path.read_bytes()
    pairs = load_pairs(out, (16, 32))
    assert pairs.stems == ("a", "c", "s__b")
    assert pairs.empty[0] == "a"
    np.testing.assert_array_equal(cv2.imread(str(out / "masks/c.png"), 0), changed * 255)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert not write_corrections(out, corrections)["replaced"]
    counts = write_corrections(out, [*corrections[:2], (photos["c"], changed ^ 1)])
    assert counts["replaced"] == 1
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert [path.name for path in before if before[path] != after[path]] == ["c.png"]
    assert (out / "masks/c.png").read_bytes() == photos["c"].mask_path.read_bytes()


def test_a_photo_that_comes_twice_is_refused(predicted, tmp_path):
    photo = photos_of(predicted)["sub/full"]
    with pytest.raises(InputError, match=r"full.png comes twice"):
        write_corrections(tmp_path, 2 * [(photo, photo.read_mask())])


def test_two_photos_of_one_stem_are_refused(tmp_path):
    predicted = write_predictions(tmp_path, {"a/b": MASKS["full"], "a__B": MASKS["full"]})
    photos = photos_of(predicted).values()
    with pytest.raises(InputError, match="would both be"):
        write_corrections(tmp_path / "out", [(photo, photo.read_mask()) for photo in photos])


@pytest.fixture
def one(tmp_path) -> Path:
    """A prediction of one photo, 57 × 31, all of it fluke."""
    return write_predictions(tmp_path / "one", {"whale": MASKS["full"]})


def edit_tasks(predicted: Path, tmp_path: Path, change) -> list:
    """Export one task, annotated; change it; read it back."""
    path = tmp_path / "ls.json"
    label_studio.write_tasks(path, Predictions(predicted), "fluke", "/data/", False)
    label_studio_export(path)
    tasks = json.loads(path.read_text())
    tasks = change(tasks) or tasks
    path.write_text(json.dumps(tasks))
    return list(label_studio.read_tasks(path, PhotoFinder(Predictions(predicted)), "fluke"))


def test_label_studio_strokes_add_up_above_half_their_opacity(one, tmp_path):
    def change(tasks):
        region = tasks[0]["annotations"][0]["result"][0]
        half, rest = np.zeros((31, 57), np.uint8), np.zeros((31, 57), np.uint8)
        half[:10, :20], rest[5:20, 10:30] = 1, 1
        opaque, faint = (
            label_studio.encode_brush(half),
            [*alpha_stroke(np.where(rest, 128, 100).astype(np.uint8))],
        )
        both = [json.loads(json.dumps(region)) for _ in range(2)]
        both[0]["value"]["rle"], both[1]["value"]["rle"] = opaque, faint
        tasks[0]["annotations"][0]["result"] = both

    ((_, mask),) = edit_tasks(one, tmp_path, change)
    expected = np.zeros((31, 57), np.uint8)
    expected[:10, :20] = expected[5:20, 10:30] = 1
    np.testing.assert_array_equal(mask, expected)


def alpha_stroke(alpha: np.ndarray) -> bytes:
    """Encode an antialiased stroke as single values, as rle-pack may: `0`, which length, values."""
    values = np.repeat(alpha.ravel(), 4)
    bits = f"{values.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for start in range(0, values.size, 256):
        part = values[start : start + 256]
        bits += f"010{len(part) - 1:08b}" + "".join(f"{value:08b}" for value in part)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_label_studio_leaves_out_what_nobody_annotated_and_empties_what_was_deleted(one, tmp_path):
    assert edit_tasks(one, tmp_path, lambda tasks: tasks[0].update(annotations=[])) == []
    skip = lambda tasks: tasks[0]["annotations"][0].update(was_cancelled=True)  # noqa: E731
    assert edit_tasks(one, tmp_path, skip) == []
    delete = lambda tasks: tasks[0]["annotations"][0].update(result=[])  # noqa: E731
    ((photo, mask),) = edit_tasks(one, tmp_path, delete)
    assert (photo.name, mask.any()) == ("whale", False)


@pytest.mark.parametrize("kind", ["labelme", "via", "label_studio"])
def test_shapes_that_all_have_another_label_do_not_empty_a_mask(one, tmp_path, kind):
    finder, path = PhotoFinder(Predictions(one)), tmp_path / kind
    tasks = partial(label_studio.write_tasks, prefix="/data/", polygons=False)
    write, read = {
        "labelme": (labelme.write_files, labelme.read_files),
        "via": (via.write_project, via.read_project),
        "label_studio": (tasks, label_studio.read_tasks),
    }[kind]
    write(path, Predictions(one), label="Fluke")
    if kind == "label_studio":
        label_studio_export(path)
    with pytest.raises(InputError, match=r"labelled Fluke, and none fluke: give label=Fluke"):
        list(read(path, finder, "fluke"))
    ((_, mask),) = read(path, finder, "Fluke")
    assert mask.any()


def test_instances_that_all_have_another_category_do_not_empty_a_mask(one, tmp_path):
    content = coco_content(photos_of(one)["whale"], [[4, 3, 20, 3, 20, 9, 4, 9]])
    del content["annotations"][0]
    with pytest.raises(InputError, match=r"whale.png cannot be read: its shapes are labelled boat"):
        read_coco(content, one, tmp_path)
    del content["annotations"][0]  # deleted: no fluke
    ((_, mask),) = read_coco(content, one, tmp_path)
    assert not mask.any()


def test_a_category_that_is_not_listed_is_refused(one, tmp_path):
    photo = photos_of(one)["whale"]
    content = coco_content(photo, [[4, 3, 20, 3, 20, 9, 4, 9]])
    content["annotations"][0]["category_id"] = 9
    with pytest.raises(InputError, match="category 9, not listed"):
        read_coco(content, one, tmp_path)


def test_label_studio_photos_are_known_by_the_end_of_their_url(one, tmp_path):
    upload = {"image": "/data/upload/1/0a1b2c3d-whale.png"}
    ((photo, _),) = edit_tasks(one, tmp_path, lambda tasks: tasks[0].update(data=upload))
    assert photo.name == "whale"


def test_a_date_in_a_name_is_no_prefix_of_an_upload(tmp_path):
    predicted = write_predictions(
        tmp_path, {name: MASKS["full"] for name in ("20190804-001", "001")}
    )

    def change(tasks):
        for task in tasks:
            del task["data"]["photo"]
        tasks[1]["data"]["image"] = "/data/upload/1/0a1b2c3d-20190804-001.png"
        return tasks

    found = edit_tasks(predicted, tmp_path, change)
    assert [photo.name for photo, _ in found] == ["001", "20190804-001"]


def test_urls_without_folders_do_not_name_the_photo_at_the_top(tmp_path):
    predicted = write_predictions(tmp_path, {"a": MASKS["full"], "sub/a": MASKS["full"]})
    change = lambda tasks: tasks[1]["data"].pop("photo") and None  # noqa: E731
    with pytest.raises(InputError, match=r"names a.png, which is several photos"):
        edit_tasks(predicted, tmp_path, change)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cvat_masks"])
def test_a_photo_of_the_name_of_one_in_a_folder_comes_back(kind, tmp_path):
    predicted = write_predictions(tmp_path, {"a": MASKS["m003"], "sub/a": MASKS["m004"]})
    back = {photo.name: mask for photo, mask in export(kind, predicted, tmp_path)}
    np.testing.assert_array_equal(back["a"], MASKS["m003"])
    np.testing.assert_array_equal(back["sub/a"], MASKS["m004"])


def set_value(**value):
    def change(tasks):
        tasks[0]["annotations"][0]["result"][0]["value"].update(value)

    return change


def set_region(**changes):
    return lambda tasks: tasks[0]["annotations"][0]["result"][0].update(changes)


BOMB = [*struct.pack(">I", 2**32 - 1), 0b00111_001, 0b0_0011_011, 0b1_1111_111, 0xFF, 0xFF]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_value(rle=BOMB), "not of 57 × 31"),
        (set_value(rle=10**10), "no list of numbers"),
        (set_value(rle=[256]), "range"),
        (set_value(rle=[]), "cannot be read"),
        (set_value(rle=label_studio.encode_brush(MASKS["full"])[:9]), "cannot be read"),
        (set_region(original_width=56), "56 × 31 there, and 57 × 31"),
        (set_region(image_rotation=90), "turned"),
        (set_region(type="rectanglelabels", value={"rectanglelabels": ["fluke"]}), "rectangle"),
        (lambda tasks: tasks[0].update(data={"photo": "../../etc/passwd"}), "passwd"),
        (lambda tasks: tasks[0].update(data={"photo": 5}), "photo '5'"),
        (lambda tasks: tasks[0].__delitem__("data"), "it has no 'data'"),
        (lambda tasks: tasks[0].update(annotations=2 * tasks[0]["annotations"]), "2 annotations"),
        (lambda tasks: {"not": "a list"}, "no list of tasks"),
    ],
)  # fmt: skip
def test_hostile_tasks_are_refused_in_a_sentence(one, tmp_path, change, reason):
    with pytest.raises(InputError, match=reason) as caught:
        edit_tasks(one, tmp_path, change)
    assert "\n" not in str(caught.value)
    assert "ls.json" in str(caught.value)


def edit_labelme(predicted: Path, tmp_path: Path, change) -> list:
    folder = tmp_path / "labelme"
    labelme.write_files(folder, Predictions(predicted), "fluke")
    content = json.loads((folder / "whale.json").read_text())
    change(content)
    (folder / "whale.json").write_text(json.dumps(content))
    return list(labelme.read_files(folder, PhotoFinder(Predictions(predicted)), "fluke"))


def png_of_size(width: int, height: int) -> str:
    """Return a PNG, base64, whose header says it is larger than it is."""
    content = bytearray(encode_png(np.full((31, 57), 255, np.uint8)))
    content[16:24] = struct.pack(">II", width, height)
    return base64.b64encode(bytes(content)).decode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["shapes"][0].update(mask=png_of_size(60_000, 60_000)), "60000 × 60000"),
        (lambda c: c["shapes"][0].update(mask=c["shapes"][0]["mask"][:60]), "damaged|cannot"),
        (lambda c: c["shapes"][0].update(mask="!!"), "cannot be read"),
        (lambda c: c["shapes"][0].update(points=[[0, 0], [57, 30]]), "outside of the photo"),
        (lambda c: c["shapes"][0].update(points=[[0, 0], [1e300, 30]]), "cannot be read|outside"),
        (lambda c: c["shapes"][0].update(shape_type="circle"), "circle"),
        (lambda c: c.update(imagePath="../../../../etc/passwd"), "passwd"),
        (lambda c: c.update(imagePath="/etc/passwd"), "passwd"),
        (lambda c: c.update(imageHeight=32), "57 × 32 there"),
        (lambda c: c.update(shapes=7), "cannot be read"),
    ],
)  # fmt: skip
def test_hostile_labelme_files_are_refused_in_a_sentence(one, tmp_path, change, reason):
    with pytest.raises(InputError, match=reason) as caught:
        edit_labelme(one, tmp_path, change)
    assert "whale.json" in str(caught.value)


def test_labelme_files_that_were_moved_are_known_by_their_names(predicted, tmp_path):
    labelme.write_files(tmp_path / "here", Predictions(predicted), "fluke")
    (tmp_path / "far/away/and").mkdir(parents=True)
    (tmp_path / "here").rename(tmp_path / "far/away/and/deep")
    finder = PhotoFinder(Predictions(predicted))
    found = labelme.read_files(tmp_path / "far/away/and/deep", finder, "fluke")
    assert {photo.name for photo, _ in found} == photos_of(predicted).keys()


def test_labelme_files_lie_beside_predictions_and_hidden_folders(predicted, tmp_path):
    labelme.write_files(tmp_path, Predictions(predicted), "fluke")  # which lie in tmp_path too
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash/old.json").write_text("{}")
    (predicted / ".flukeseg/settings.json").write_text("{}")
    found = labelme.read_files(tmp_path, PhotoFinder(Predictions(predicted)), "fluke")
    assert {photo.name for photo, _ in found} == photos_of(predicted).keys()


@pytest.mark.parametrize("kind", ["via", "coco"])
def test_flukes_that_a_file_does_not_have_are_counted_aloud(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    predicted = write_predictions(tmp_path, {name: MASKS["full"] for name in "ab"})
    options = [f"format={kind}", f"predictions={predicted}", "label=7"]
    run_job(annotations_job, "direction=export", "output=out.json", *options)
    content = json.loads(Path("out.json").read_text())
    if kind == "coco":
        assert {one["name"] for one in content["categories"]} == {"7"}
        content["annotations"] = content["annotations"][:1]
    else:
        next(iter(content["_via_img_metadata"].values()))["regions"] = []
    Path("half.json").write_text(json.dumps(content))
    run_job(annotations_job, "direction=import", "source=half.json", "output=pairs", *options)
    told = "1 photos had a fluke and have no annotation in half.json"
    assert told in capsys.readouterr().out


def test_labelme_files_that_were_edited_are_not_exported_again(tmp_path, caplog):
    predicted = write_predictions(tmp_path, {name: MASKS["full"] for name in "abcd"})
    out = tmp_path / "labelme"
    (out / "d.json").parent.mkdir()
    (out / "d.json").write_text("another tool's")
    labelme.write_files(out, Predictions(predicted), "fluke")
    edited = json.loads((out / "a.json").read_text())
    edited["shapes"][0] |= {"shape_type": "polygon", "points": [[2, 1], [9, 1], [9, 5]]}
    (out / "a.json").write_text(json.dumps(edited))
    (predicted / "mask/b.png").write_bytes(encode_png(np.zeros((31, 57), np.uint8)))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    caplog.clear()
    labelme.write_files(out, Predictions(predicted), "fluke")
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert [name for name in sorted(before) if before[name] != after[name]] == ["b.json"]
    assert json.loads(after["b.json"])["shapes"] == []  # it follows its mask
    assert "2 files are not as they were exported and stay, say" in caplog.text


def test_labelme_polygons_are_read(one, tmp_path):
    def change(content):
        points = [[2, 1], [9, 1], [9, 5], [2, 5]]
        content["shapes"] = [
            {"label": "fluke", "shape_type": "polygon", "points": points},
            {"label": "boat", "shape_type": "circle", "points": "of no interest"},
        ]

    ((_, mask),) = edit_labelme(one, tmp_path, change)
    assert mask.sum() == 28 == mask[1:5, 2:9].sum()


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [31, 57], "counts": [10**12]}, "do not fill 57 × 31"),
        ({"size": [31, 57], "counts": [-5, 31 * 57 + 5]}, "whole numbers"),
        ({"size": [31, 57], "counts": [0, 31 * 57 + 0.5]}, "whole numbers"),
        ({"size": [31, 57], "counts": [10**300]}, "cannot be read"),
        ({"size": [31, 57], "counts": "o" * 1000}, "damaged"),
        ({"size": [31, 57], "counts": "0\x00"}, "damaged"),
        ({"size": [31000, 57000], "counts": [31000 * 57000]}, "size"),
        ([[0, 0, 1, 1, float("nan"), 5]], "outside of the photo"),
        ([[0, 0, 1e9, 1, 5, 5]], "outside of the photo"),
        ([[0, 0, 1]], "cannot be read"),
        ([["a", "b"]], "cannot be read"),
        (None, "a box without an outline"),
        ([], "a box without an outline"),
    ],
)
def test_hostile_coco_is_refused_in_a_sentence(one, tmp_path, segmentation, reason):
    content = coco_content(photos_of(one)["whale"], segmentation)
    with pytest.raises(InputError, match=reason) as caught:
        read_coco(content, one, tmp_path)
    assert "whale.png" in str(caught.value)


def test_an_endless_outline_is_refused_before_it_is_allocated(tmp_path):
    predicted = write_predictions(tmp_path, {"tall": np.ones((3000, 4), np.uint8)})
    zigzag = np.tile([0, 0, 3, 3000], 20_000).tolist()
    with pytest.raises(InputError, match="too long"):
        read_coco(coco_content(photos_of(predicted)["tall"], [zigzag]), predicted, tmp_path)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../whale.png", "a/../whale.png", "C:\\whale.png", "", None]
)
def test_photos_outside_are_not_known(one, tmp_path, name):
    content = coco_content(photos_of(one)["whale"], [], file_name=name)
    content["images"][0]["file_name"] = name
    with pytest.raises(InputError, match="which the prediction does not have"):
        read_coco(content, one, tmp_path)


def test_a_label_that_is_not_there_is_named(one, tmp_path):
    content = coco_content(photos_of(one)["whale"], [])
    with pytest.raises(InputError, match="no category whale, only fluke, boat; give label="):
        read_coco(content, one, tmp_path, label="whale")


def test_two_photos_of_a_file_name_want_their_folder(tmp_path):
    predicted = write_predictions(tmp_path, {"a/x": MASKS["full"], "b/x": MASKS["full"]})
    finder = PhotoFinder(Predictions(predicted))
    assert finder.find(Path("f"), "b/x.png").name == "b/x"
    assert finder.find(Path("f"), "b\\x.png").name == "b/x"
    with pytest.raises(InputError, match=r"x.png, which is several photos"):
        finder.find(Path("f"), "x.png")


@pytest.mark.parametrize(
    "member", ["../evil.json", "/evil.json", "a/../../evil", "C:/evil", "..\\evil"]
)
def test_archives_that_lead_outside_are_refused(one, tmp_path, member):
    path = archive_of(
        {"annotations/instances_default.json": b"{}", member: b""}, tmp_path / "x.zip"
    )
    with pytest.raises(InputError, match="leads out of it"):
        list(cvat.read_archive(path, PhotoFinder(Predictions(one)), "fluke"))
    assert {path.name for path in tmp_path.iterdir()} == {"one", "x.zip"}


def test_archive_bombs_are_refused_before_they_are_unpacked(one, tmp_path, monkeypatch):
    read = partial(cvat.read_archive, finder=PhotoFinder(Predictions(one)), label="fluke")
    monkeypatch.setattr(outside_files, "MOST_BYTES", 10_000)
    bomb = archive_of({"annotations/instances_default.json": bytes(20_000)}, tmp_path / "bomb.zip")
    assert bomb.stat().st_size < 1000
    with pytest.raises(InputError, match="more than 10,000 bytes"):
        list(read(bomb))
    # one whose index lies: it is read as far as the index says
    content = bomb.read_bytes().replace(struct.pack("<I", 20_000), struct.pack("<I", 5_000))
    (tmp_path / "liar.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"instances_default.json cannot be read"):
        list(read(tmp_path / "liar.zip"))
    large = tmp_path / "large.json"
    large.write_bytes(b"[" + bytes(20_000))
    with pytest.raises(InputError, match="more than 10,000 bytes"):
        outside_files.read_json(large)


def test_what_is_no_archive_is_refused(one, tmp_path):
    finder = PhotoFinder(Predictions(one))
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match=r"x.zip cannot be read"):
        list(cvat.read_archive(tmp_path / "x.zip", finder, "fluke"))
    with pytest.raises(InputError, match="neither COCO"):
        list(cvat.read_archive(archive_of({"a": b""}, tmp_path / "y.zip"), finder, "fluke"))


def test_masks_of_another_size_in_an_archive_are_refused(one, tmp_path):
    files = {
        "labelmap.txt": b"fluke:61,61,245::\n",
        cvat.LIST: b"whale\n",
        "SegmentationClass/whale.png": encode_png(np.zeros((30, 57, 3), np.uint8)),
    }
    with pytest.raises(InputError, match="whale cannot be read: a mask in it is 57 × 30"):
        list(
            cvat.read_archive(
                archive_of(files, tmp_path / "x.zip"), PhotoFinder(Predictions(one)), "fluke"
            )
        )


def test_json_that_is_deep_or_none_is_refused(tmp_path):
    for content in (b"[" * 200_000, b"\xff\xfe", b"{", b"1" * 10_000):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(InputError, match=r"x.json cannot be read"):
            outside_files.read_json(tmp_path / "x.json")


def test_via_regions_of_another_shape_are_refused(one, tmp_path):
    path = tmp_path / "via.json"
    via.write_project(path, Predictions(one), "fluke")
    content = json.loads(path.read_text())
    (entry,) = content["_via_img_metadata"].values()
    entry["regions"][0]["shape_attributes"]["name"] = "ellipse"
    # the annotations alone, as VIA exports them
    path.write_text(json.dumps(content["_via_img_metadata"]))
    with pytest.raises(InputError, match=r"whale.png cannot be read: it has a ellipse"):
        list(via.read_project(path, PhotoFinder(Predictions(one)), "fluke"))


@pytest.mark.parametrize(
    "kind", ["label_studio", "label_studio_polygons", "labelme", "via", "coco"]
)
def test_the_job_goes_there_and_back(kind, one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [f"format={kind}", f"predictions={one}"]
    run_job(annotations_job, "direction=export", "output=out.json", *options)
    if kind.startswith("label_studio"):
        label_studio_export(tmp_path / "out.json")
    run_job(annotations_job, "direction=import", "source=out.json", "output=pairs", *options)
    assert (tmp_path / "pairs/masks/whale.png").read_bytes() == (
        one / "mask/whale.png"
    ).read_bytes()
    assert load_pairs(tmp_path / "pairs", (16, 32)).masks.all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["direction=export", "format=cvat"], "cvat-cli"),
        (["direction=export", "format=yolo"], "format=yolo must be one of"),
        (["direction=back", "format=coco"], "direction=back must be export or import"),
        (["direction=import", "format=coco"], "source=null must name"),
        (["direction=export", "format=label_studio", "prefix=null"], "prefix=None must be a text"),
        (["direction=export", "format=coco", "label=[a,b]"], "must be a text; one with commas"),
        (["direction=export", "format=coco", "photos=[a,b]"], "photos=['a', 'b'] must be one"),
        (
            ["direction=import", "format=coco", "source=none.json"],
            "source=none.json does not exist",
        ),
    ],
)
def test_the_job_names_what_is_wrong(options, sentence, one, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_job(annotations_job, f"predictions={one}", "output=out", *options)
    assert sentence in capsys.readouterr().err


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a folder that flukeseg.predict wrote"):
        Predictions(tmp_path)
    assert not list(tmp_path.iterdir())
