"""The prediction job from its command line to its files, with tiny networks that were trained."""

import csv
import io
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import predict_with, write_rgb
from PIL import Image
from pycocotools.coco import COCO

from flukeseg import MaskDropout, Segmenter, read_rgbm
from flukeseg.data import loading, workers
from flukeseg.data.loading import explain_loading_errors
from flukeseg.errors import InputError
from flukeseg.images.reading import photo_size, read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.model.module import SegmentationModule
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import find_inputs, name_inputs
from flukeseg.prediction.lightning.photo_loader import photo_loader
from flukeseg.prediction.loader import PhotoFiles
from flukeseg.prediction.products import FILE_PRODUCTS
from flukeseg.prediction.table import COLUMNS, SUMMARY_PLACES
from flukeseg.rendering import render

EVERY = f"products=[{','.join([*FILE_PRODUCTS, *SUMMARY_PLACES])}]"
# of nine photos the last batch is one; and all that is above the threshold is kept
FOURS = ("batch_size=4", "rgbm_size=[20,50]", "cleaning.island_share=0.01", "cleaning.hole_share=0",
         "cleaning.min_coverage=0")  # fmt: skip
# pycocotools 2.0.11 against numpy 2; nothing of ours
of_coco = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def table(folder: Path | str) -> dict[str, dict[str, str]]:
    """Rows of a run's predictions.csv by the photo's path."""
    with (Path(folder) / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def journal(folder: Path | str) -> list[dict]:
    path = Path(folder) / ".flukeseg/journal-all.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder: Path | str) -> dict[str, bytes]:
    """Everything that a run is for, byte for byte; the table without its clock."""
    folder = Path(folder)
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".flukeseg" not in path.parts and path.suffix not in (".log", ".csv")
    }
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in table(folder).values()]
    return found | {"predictions.csv": json.dumps(rows).encode()}


def read(path: Path | str) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def the_error(run, capsys, *overrides: str) -> str:
    """Run a job that must end in one sentence, and return that."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(*overrides)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    message = told.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


@pytest.fixture(scope="session")
def sea(tmp_path_factory) -> Path:
    """A folder of nine photos of as many sizes, to be read only."""
    root = tmp_path_factory.mktemp("sea")
    sizes = [(64, 128), (63, 127), (150, 301), (16, 20), (90, 40), (32, 64), (33, 64), (1, 7)]
    for i, size in enumerate([*sizes, (480, 640)]):
        picture = render((7, i), (max(size[0], 16), max(size[1], 16))).image
        write_rgb(
            root / f"deep/{i}.png" if i % 3 else root / f"{i}.jpg", picture[: size[0], : size[1]]
        )
    return root


@pytest.fixture
def predict_sea(run_predict, tiny_runs, sea):
    """Run the job on the nine photos with the first network."""
    return lambda *more: run_predict(f"checkpoint={tiny_runs[0]}", f"source={sea}", *more)


# Products


@pytest.fixture(scope="module")
def everything(tiny_runs, sea, tmp_path_factory) -> SimpleNamespace:
    """A run with every product of the nine photos; its rows with `name`, `size` and `levels`."""
    out = tmp_path_factory.mktemp("everything") / "out"
    predict_with(f"checkpoint={tiny_runs[0]}", f"source={sea}", f"output={out}", EVERY, *FOURS)
    rows = [
        SimpleNamespace(
            **row,
            name=Path(path).relative_to(sea).with_suffix("").as_posix(),
            size=photo_size(path),
            levels=read(out / row["mask"]),
        )
        for path, row in table(out).items()
    ]
    return SimpleNamespace(out=out, rows=rows)


def test_every_photo_has_its_row(everything, sea):
    assert {row.path for row in everything.rows} == {str(path) for path in sea.rglob("*.*")}
    assert tuple(next(iter(table(everything.out).values()))) == COLUMNS
    assert "9 photos" in (everything.out / "predict.log").read_text()
    for row in everything.rows:
        assert row.mask == f"mask/{row.name}.png"
        assert (int(row.height), int(row.width)) == row.size
        assert row.status == ("ok" if row.levels.any() else "no_fluke")
        assert float(row.coverage) == pytest.approx((row.levels > 0).mean(), abs=1e-6)
        assert 0 <= float(row.confidence) <= 1
        assert 0 <= float(row.disagreement) <= 1
        assert float(row.seconds) > 0
        assert ("empty" in row.review) == (row.status == "no_fluke")
        rotated = [row.rotated_x, row.rotated_y, row.rotated_width, row.rotated_height]
        assert all(rotated) == (row.status == "ok")
    assert Counter(row.status for row in everything.rows)["ok"] >= 4


def test_every_product_is_of_its_photos_size(everything):
    channels = {"overlay": 3, "rgbm": 4, "mask": 1, "probability": 1, "uncertainty": 1}
    for row in everything.rows:
        for product, count in channels.items():
            suffix = "jpg" if product == "overlay" else "png"
            image = read(everything.out / f"{product}/{row.name}.{suffix}")
            assert image.shape == (row.size if count == 1 else (*row.size, count))
            assert image.dtype == np.uint8
        assert set(np.unique(row.levels)) <= {0, 255}
        assert read(everything.out / f"rgbm_50x20/{row.name}.png").shape == (20, 50, 4)
        # above the threshold, but for rounding and the smallest islands
        above = read(everything.out / f"probability/{row.name}.png") > 127
        assert (above == (row.levels > 0)).mean() > 0.98


def test_cut_outs_are_of_their_boxes_size(everything):
    for row in everything.rows:
        found = {p: everything.out / f"{p}/{row.name}.png" for p in ("cutout", "white", "crop")}
        assert {path.exists() for path in found.values()} == {row.status == "ok"}
        if row.status == "ok":
            box = int(row.box_height), int(row.box_width)
            assert read(found["cutout"]).shape == (*box, 4)
            assert read(found["white"]).shape == (*box, 3)
            crop = read(found["crop"]).shape
            assert all(box[i] <= crop[i] <= min(1.1 * box[i] + 1, row.size[i]) for i in (0, 1))


def test_thumbnails_are_of_their_photos(everything):
    for row in everything.rows:
        path = everything.out / f".flukeseg/thumbnails/{row.name}.jpg"
        thumbnail = read(path)[..., ::-1].astype(float)
        photo = resize_photo(read_photo(row.path), thumbnail.shape[:2])
        # JPEG, the outline and the size of a network of 64 × 32 pixels lie between them
        assert np.abs(thumbnail - photo).mean() < 40


@of_coco
def test_coco_reads_back_as_the_masks(everything, sea):
    coco = COCO(everything.out / "coco.json")
    images = {image["file_name"]: image for image in coco.imgs.values()}
    for row in everything.rows:
        found = coco.loadAnns(
            coco.getAnnIds(images.pop(Path(row.path).relative_to(sea).as_posix())["id"])
        )
        assert len(found) == int(row.flukes)
        drawn = np.zeros(row.size, np.uint8)
        for annotation in found:
            drawn |= coco.annToMask(annotation)
        np.testing.assert_array_equal(255 * drawn, row.levels)
        assert {one["score"] for one in found} <= {float(row.confidence)}
        if found:
            box = [row.box_x, row.box_y, row.box_width, row.box_height]
            assert found[0]["bbox"] == [float(side) for side in box]
    assert not images
    assert any(int(row.flukes) for row in everything.rows)


def test_a_gallery_shows_photos_on_white(everything):
    assert [path.name for path in (everything.out / "gallery").iterdir()] == ["0001.jpg"]
    sheet = read(everything.out / "gallery/0001.jpg")
    assert sheet.shape == (2 * 196, 6 * 256, 3)  # nine photos; two lines of caption below each
    assert (sheet[:160, :256] < 200).any()
    assert (sheet[196 + 10 :, 3 * 256 :] > 250).all()  # three photos in the second row


def test_loading_processes_change_nothing(predict_sea, everything):
    predict_sea("output=out", EVERY, *FOURS, "num_workers=2")
    assert files("out") == files(everything.out)


def test_the_network_may_see_photos_at_another_size(predict_sea, everything):
    predict_sea("output=out", *FOURS, "size=[64,96]")
    for row in everything.rows:
        levels = read(f"out/{row.mask}")
        assert levels.shape == row.size
    assert any((read(f"out/{row.mask}") != row.levels).any() for row in everything.rows)


def test_nothing_half_made_is_left(everything):
    assert not (everything.out / ".flukeseg/partial-all").exists()


def test_a_gallery_of_37_has_two_sheets(run_predict, tiny_runs, tmp_path):
    for i in range(37):
        write_rgb(tmp_path / f"many/{i:02d}.png", render((3, i % 2), (16, 32)).image)
    settings = [
        f"checkpoint={tiny_runs[0]}",
        "products=[gallery]",
        "output=out",
        "tta=none",
        "look=once",
    ]
    run_predict(*settings, "source=many")
    assert sorted(path.name for path in Path("out/gallery").iterdir()) == ["0001.jpg", "0002.jpg"]
    second = read("out/gallery/0002.jpg")
    assert second.shape == (196, 6 * 256, 3)
    assert (second[:, :256] < 200).any()
    assert (second[:, 256:] > 250).all()
    rows = table("out").values()
    assert len(rows) == 37
    assert {row["disagreement"] for row in rows} == {""}  # of a single look


@pytest.mark.parametrize("tta", ["none", "flip_scale"])
def test_several_checkpoints_are_averaged(run_predict, tiny_runs, sea, tta):
    one, two = tiny_runs
    both = f"checkpoint=['{one}','{two}']"
    for name, which in (("one", f"checkpoint={one}"), ("two", f"checkpoint={two}"), ("both", both)):
        run_predict(which, f"source={sea}", f"output={name}", "products=[probability]",
                    "probability_bits=16", f"tta={tta}", "refine=false",
                    "trainer.precision=32-true")  # fmt: skip
    for path in Path("one/probability").rglob("*.png"):
        of_one, of_two, of_both = (
            read(name / path.relative_to("one")).astype(int)
            for name in map(Path, ("one", "two", "both"))
        )
        assert np.abs(of_both - (of_one + of_two) / 2).max() <= 1.5
    assert np.abs(of_one - of_two).max() > 100
    (checkpoint,) = {row["checkpoint"] for row in table("both").values()}
    assert "epoch=001" in checkpoint
    assert "epoch=002" in checkpoint


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a photo that EXIF turns upright lies in its file."""
    turned = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }  # fmt: skip
    return np.ascontiguousarray(turned[orientation])


def test_photos_of_every_orientation_have_one_mask(run_predict, tiny_runs, tmp_path):
    (tmp_path / "turned").mkdir()
    photo = render((99, 1), (60, 110)).image
    for orientation in range(1, 9):
        tags = Image.Exif()
        tags[274] = orientation
        image = Image.fromarray(stored(photo, orientation))
        image.save(tmp_path / f"turned/{orientation}.png", exif=tags)
    run_predict(f"checkpoint={tiny_runs[0]}", "source=turned", "output=out", "products=[rgbm]")
    masks = [read(f"out/mask/{orientation}.png") for orientation in range(1, 9)]
    assert masks[0].any()
    for orientation, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal(mask, masks[0])
        row = table("out")[f"turned/{orientation}.png"]
        assert row["exif_orientation"] == str(orientation)
        assert (row["width"], row["height"]) == ("110", "60")
        pixels = read(f"out/rgbm/{orientation}.png")[..., 2::-1]
        np.testing.assert_array_equal(pixels, photo)


def test_from_python_it_is_as_from_the_command_line(predict_sea, tiny_runs, sea):
    predict_sea("output=out", "tta=reference")
    segmenter = Segmenter.from_checkpoint(tiny_runs[0], tta="reference", runtime="torch")
    for path, row in table("out").items():
        prediction = segmenter(path)
        # batches of another size add up in another order
        different = prediction.mask != read(Path("out") / row["mask"])
        assert different.mean() <= 0.001
        assert prediction.confidence == pytest.approx(float(row["confidence"]), abs=1e-3)
        np.testing.assert_array_equal(segmenter(read_photo(path)).mask, prediction.mask)


@pytest.mark.parametrize(
    "photo",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 0), np.uint8)],
)
def test_from_python_other_arrays_are_refused(tiny_runs, photo):
    with pytest.raises(InputError, match=r"H×W×3 or H×W uint8|3 channels"):
        Segmenter.from_checkpoint([tiny_runs[0]], runtime="torch")(photo)


# Odd files


def encoded(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        stream, kind, **options
    )
    return stream.getvalue()


def odd_files() -> dict[str, bytes]:
    """Files of all kinds by their names; those in `bad` cannot be read."""
    photo = render((99, 1), (48, 96)).image
    image = Image.fromarray(photo)
    deep = photo.astype(np.uint16) * 257
    palette = image.quantize(8)
    jpeg = encoded(image, "JPEG")
    return {
        "bad/nothing.jpg": b"",
        "bad/cut.jpg": jpeg[: len(jpeg) // 3],
        "bad/text.jpg": b"no photo",
        "bad/huge.png": encoded(Image.new("1", (12_000, 10_000))),
        "bad/page.png": b"<html>please log in</html>",
        "x.jpg/inside.jpg": jpeg,
        "dot.png": encoded(image.resize((1, 1))),
        "row.png": encoded(image.resize((5000, 1))),
        "column.png": encoded(image.resize((1, 5000))),
        "ribbon.png": encoded(Image.new("L", (66_000, 2), 99)),  # longer than a JPEG may be
        "grey16.png": encoded(deep[..., 0]),
        "colour16.png": cv2.imencode(".png", deep[..., ::-1])[1].tobytes(),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "palette.png": encoded(palette, transparency=1),
        "moving.gif": encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "with some spaces .jpg": jpeg,
        "two\nlines.jpg": jpeg,
        "é 鯨 %20 100%.jpg": jpeg,
        "-v.jpg": jpeg,
        "--help.png": encoded(image),
        "a.jpg": jpeg,
        "a.png": encoded(image),
        "A.png": encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "a.fluke2.jpg": jpeg,
        os.fsdecode(b"caf\xe9.jpg"): jpeg,
        os.fsdecode(b"bad/d\xe9chir\xe9.jpg"): jpeg[:200],
    }


@pytest.fixture
def odd(tmp_path) -> SimpleNamespace:
    """A folder of odd files, with links; `good` and `bad` are the paths that are inputs."""
    root = tmp_path / "odd"
    for name, content in odd_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            (root / name).write_bytes(content)
        except (OSError, UnicodeError):  # a file system that wants its names in UTF-8
            assert not name.isascii()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/one.jpg").write_bytes((root / "a.jpg").read_bytes())
    (root / "link.jpg").symlink_to(tmp_path / "outside/one.jpg")
    (root / "bad/broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    inputs = [path for path in root.rglob("*") if not path.is_dir()]
    for name in ("..jpg", ".hidden.jpg", "notes.txt"):  # of these nothing is said
        (root / name).write_bytes(b"x")
    good, bad = (
        [p for p in inputs if (p.parent.name == "bad") is of_bad] for of_bad in (False, True)
    )
    return SimpleNamespace(root=root, good=good, bad=bad)


def test_every_odd_file_has_one_row(run_predict, tiny_runs, odd, tmp_path, capsys):
    before = sorted(path for path in tmp_path.rglob("*"))
    run_predict(f"checkpoint={tiny_runs[0]}", "source=odd", "output=out", EVERY, "rgbm_size=[8,16]")
    told = capsys.readouterr().err
    assert "Logging error" not in told
    assert "Traceback" not in told
    after = [path for path in tmp_path.rglob("*") if tmp_path / "out" not in (path, *path.parents)]
    assert sorted(after) == before  # nothing was written elsewhere
    rows = {row["key"]: row for row in journal("out")}
    assert set(rows) == {str(path) for path in (*odd.good, *odd.bad)}
    assert len(journal("out")) == len(rows) == len(table("out")) == 28
    masks = [rows[str(path)]["mask"] for path in odd.good]
    assert len({name.casefold() for name in masks}) == len(masks)
    for path in odd.good:
        row = rows[str(path)]
        assert row["status"] in ("ok", "no_fluke")
        mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))  # OpenCV wants UTF-8 names
        assert mask.shape == (row["height"], row["width"]) == photo_size(path)
        assert set(np.unique(mask)) <= {0, 255}
    reasons = {path.name: rows[str(path)]["status"] for path in odd.bad}
    assert all(reason.startswith("unreadable: ") for reason in reasons.values())
    assert "is empty" in reasons["nothing.jpg"]
    assert "more than the limit" in reasons["huge.png"]  # by its header
    assert "does not exist" in reasons["broken.jpg"]
    assert not [row for row in rows.values() if "unreadable" in row["status"] and row["files"]]
    # the copies of one photo have one mask
    assert read(f"out/{rows[str(odd.root / 'a.jpg')]['mask']}").any()
    same = [
        read(f"out/{rows[str(odd.root / name)]['mask']}")
        for name in ("a.jpg", "link.jpg", "-v.jpg")
    ]
    assert (same[0] == same[1]).all()
    assert (same[0] == same[2]).all()
    assert {
        f"odd/{image['file_name']}"
        for image in json.loads(Path("out/coco.json").read_text())["images"]
    } == {row["path"] for row in rows.values() if "width" in row}


def test_a_photo_with_a_folder_beside_it_called_as_its_product(run_predict, tiny_runs, sea):
    """x.png's overlay is x.jpg."""
    for name in ("x.png", "x.jpg/y.png"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sea / "deep/1.png", Path("in", name))
    run_predict(f"checkpoint={tiny_runs[0]}", "source=in", "output=out", "products=[overlay]")
    assert {row["status"] for row in table("out").values()} == {"ok"}


def test_names_as_long_as_they_may_be(run_predict, tiny_runs, sea):
    Path("in").mkdir()
    for name in ("x" * 251 + ".png", "x" * 251 + ".PNG", "y" * 251 + ".png"):
        shutil.copy(sea / "deep/1.png", Path("in", name))
    run_predict(f"checkpoint={tiny_runs[0]}", "source=in", "output=out")
    assert {row["status"] for row in table("out").values()} == {"ok"}


def test_photos_none_of_which_can_be_read(run_predict, tiny_runs, capsys):
    Path("in").mkdir()
    for i in range(12):
        Path(f"in/{i}.jpg").write_text("no photo")
    run_predict(f"checkpoint={tiny_runs[0]}", "source=in", "output=out", EVERY)
    assert len(table("out")) == 12
    assert not Path("out/mask").exists()
    assert "12 unreadable" in Path("out/predict.log").read_text()


# Going on


def wait_for_lines(path: Path, process: subprocess.Popen) -> None:
    """Wait until a program has done some photos."""
    deadline = time.monotonic() + 120
    while not (path.exists() and path.read_bytes().count(b"\n") >= 4):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_started_again_it_is_as_unbroken(run_predict, tiny_runs, tmp_path):
    """kill -9 in the middle."""
    pictures = [render((5, i), (40, 80)).image for i in range(4)]
    for i in range(40):
        write_rgb(tmp_path / f"many/{i:02d}.png", pictures[i % 4][:, i:])
    settings = [f"checkpoint={tiny_runs[0]}", "source=many", EVERY, "batch_size=2", "num_workers=0",
                "trainer.accelerator=cpu", "runtime=torch"]  # fmt: skip
    command = [sys.executable, "-m", "flukeseg.predict", *settings, "output=killed"]
    lines = Path("killed/.flukeseg/journal-all.jsonl")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_for_lines(lines, process)
        os.kill(process.pid, signal.SIGKILL)
    assert 4 <= len(lines.read_bytes().splitlines()) < 40
    assert not Path("killed/predictions.csv").exists()
    run_predict(*settings, "output=killed")
    run_predict(*settings, "output=unbroken")
    assert files("killed") == files("unbroken")
    assert Counter(row["key"] for row in journal("killed")).most_common(1)[0][1] == 1
    assert len(journal("killed")) == 40


def test_every_batch_is_of_one_size(sea):
    """How a library adds up depends on it, and a run that goes on has other batches."""
    sources = name_inputs([*find_inputs(sea), "gone.jpg"])
    loader = photo_loader(PhotoFiles(sources, (32, 64), 10**6), batch_size=4, num_workers=0)
    batches = list(loader)
    assert [batch["image"].shape for batch in batches] == [(4, 3, 32, 64)] * 3
    assert [file.photo for batch in batches for file in batch["files"]] == sources
    first = resize_photo(read_photo(sources[0].path), (32, 64))
    assert torch.equal(batches[0]["image"][0], torch.from_numpy(first).permute(2, 0, 1))
    assert not batches[2]["image"][1:].any()  # one photo, one that is gone, and nothing


@pytest.mark.parametrize(
    ("number", "processes"),
    [
        (signal.SIGINT, 0),
        pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow),
        (signal.SIGTERM, 1),
    ],
)
def test_a_signal_stops_and_keeps_what_is_done(tiny_runs, sea, tmp_path, number, processes):
    command = [sys.executable, "-m", "flukeseg.predict", f"checkpoint={tiny_runs[0]}",
               "source=list.txt", "output=out", f"num_workers={processes}", "batch_size=1",
               "runtime=torch"]  # fmt: skip
    for i in range(300):
        (tmp_path / f"{i}.jpg").symlink_to(sea / "0.jpg")
    (tmp_path / "list.txt").write_text("\n".join(f"{i}.jpg" for i in range(300)))
    lines = tmp_path / "out/.flukeseg/journal-all.jsonl"
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for_lines(lines, process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in output
    assert "start again to go on" in output
    done = journal(tmp_path / "out")
    assert 4 <= len(done) < 300
    assert all((tmp_path / "out" / row["mask"]).exists() for row in done)
    assert not (tmp_path / "out/.flukeseg/partial-all").exists()


class SlowFiles(PhotoFiles):
    """Photos that never come, or a process that is killed over the first of them."""

    killed = False

    def __getitem__(self, index):
        if self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


def test_a_loading_process_that_is_told_to_end_ends_the_job():
    """Where a whole group of processes is: its end may be seen first."""
    with pytest.raises(SystemExit) as ended, explain_loading_errors("start again"):
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated. ")
    assert ended.value.code == 143


@pytest.mark.parametrize(
    ("killed", "reason"), [(False, "timed out after 1"), (True, "Killed|exited unexpectedly")]
)
def test_loading_that_fails_says_how_to_go_on(sea, killed, reason):
    photos = SlowFiles(name_inputs(find_inputs(sea)), (32, 64), 10**6)
    photos.killed = killed
    loader = photo_loader(photos, batch_size=4, num_workers=1, patience=60 if killed else 1)
    with (
        pytest.raises(InputError, match=f"({reason}).*is kept: start again, with fewer"),
        explain_loading_errors("start again"),
    ):
        next(iter(loader))


class LateFiles(PhotoFiles):
    """Photos that take longer than a check of the loading processes."""

    def __getitem__(self, index):
        time.sleep(0.3)
        return super().__getitem__(index)


def test_slow_loading_is_waited_for(sea, monkeypatch):
    monkeypatch.setattr(loading, "CHECK_EVERY", 0.1)
    loader = photo_loader(LateFiles(name_inputs(find_inputs(sea)), (32, 64), 10**6), 1, 1)
    assert sum(len(batch["files"]) for batch in loader) == 9


def test_a_process_whose_end_was_not_signalled_is_noticed(sea, monkeypatch):
    """As where it is killed while the next one is started."""
    monkeypatch.setattr(loading, "CHECK_EVERY", 0.1)
    photos = SlowFiles(name_inputs(find_inputs(sea)), (32, 64), 10**6)
    photos.killed = True
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        with (
            pytest.raises(InputError, match="exited unexpectedly"),
            explain_loading_errors("go on"),
        ):
            next(iter(photo_loader(photos, batch_size=4, num_workers=1)))
    finally:
        with suppress(RuntimeError):  # it comes now
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def test_other_errors_are_not_explained_as_loading():
    with pytest.raises(RuntimeError, match="shapes"), explain_loading_errors("start again"):
        raise RuntimeError("shapes do not match")


def test_fewer_processes_load_where_shared_memory_is_small(monkeypatch, caplog, tmp_path):
    def with_free(megabytes: int) -> int:
        usage = SimpleNamespace(free=megabytes * 2**20)
        monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: usage)
        return workers.workers_that_fit(8, batch_bytes=8 * 3 * 192 * 384)

    assert with_free(64) == 8
    assert not caplog.records
    assert [with_free(megabytes) for megabytes in (16, 7, 3, 0)] == [3, 1, 0, 0]
    assert "/dev/shm has 16 MB free" in caplog.text
    monkeypatch.setattr(workers, "SHARED_MEMORY", tmp_path / "absent")
    assert with_free(0) == 8


@pytest.mark.skipif(os.name == "nt", reason="loading processes need no sockets there")
def test_no_processes_load_where_their_sockets_cannot_be_named(monkeypatch, caplog):
    def with_folder(short: str, length: int) -> int:
        folder = Path(short, "x" * (length - len(short) - 1))
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        # any names of multiprocessing would do: what matters is whether the system takes the socket
        address = folder / "pymp-01234567" / "listener-01234567"
        address.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as made:
            try:
                made.bind(str(address))
            except OSError:
                assert workers.workers_that_fit(2, batch_bytes=1) == 0
                assert "set TMPDIR" in caplog.text
                return 0
        return workers.workers_that_fit(2, batch_bytes=1)

    fits = 107 - len("/pymp-01234567/listener-01234567")
    if sys.platform != "linux":
        fits -= 4
    with tempfile.TemporaryDirectory() as short:  # pytest's own are too long already
        assert [with_folder(short, fits), with_folder(short, fits + 1)] == [2, 0]


def test_what_is_there_is_not_made_again_and_what_is_missing_is(predict_sea, capsys):
    predict_sea("output=out", EVERY)
    before, lines = files("out"), journal("out")
    predict_sea("output=out", EVERY)
    assert journal("out") == lines
    gone = ["predictions.csv", "coco.json", "gallery/0001.jpg", "mask/0.png", "rgbm/deep/1.png"]
    for name in gone:
        Path("out", name).unlink()
    untouched = Path("out/mask/3.png").stat().st_mtime_ns
    # as a killed run leaves it
    Path("out/.flukeseg/partial-all").mkdir()
    Path("out/.flukeseg/partial-all/1").write_bytes(b"half a mas")
    with Path("out/.flukeseg/journal-all.jsonl").open("a") as file:
        file.write('{"path": "half a li')
    predict_sea("output=out", EVERY)
    assert "7 of 9 photos are done already" in capsys.readouterr().out
    assert files("out") == before
    assert Path("out/mask/3.png").stat().st_mtime_ns == untouched
    assert not Path("out/.flukeseg/partial-all").exists()
    assert len(journal("out")) == 11


def test_products_asked_for_later_are_added(predict_sea, capsys):
    predict_sea("output=out", "products=[cutout,edge,coco]")
    before, tips = files("out"), [row["left_tip_x"] for row in table("out").values()]
    assert any(tips)
    predict_sea("output=out", "products=[overlay]")
    later = files("out")
    assert len(list(Path("out/overlay").rglob("*.jpg"))) == 9
    del before["index.html"]  # which links to the products
    assert {name: later[name] for name in before} == before
    # what was made first follows a correction too
    name, row = next((path, row) for path, row in table("out").items() if row["left_tip_x"])
    mask = Path("out", row["mask"])
    Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    predict_sea("output=out", "products=[overlay]")
    assert table("out")[name]["status"] == "corrected"
    assert [r["left_tip_x"] for path, r in table("out").items() if path != name] == [
        tip for path, tip in zip(table("out"), tips, strict=True) if path != name
    ]
    stem = row["mask"].removeprefix("mask/").removesuffix(".png")
    assert not Path(f"out/edge/{stem}.edge.csv").exists()
    assert not Path(f"out/cutout/{stem}.png").exists()
    coco = COCO("out/coco.json")
    drawn = {coco.imgs[one["image_id"]]["file_name"] for one in coco.anns.values()}
    assert drawn
    assert not any(Path(name).name == Path(picture).name for picture in drawn)
    mask.unlink()
    predict_sea("output=out", EVERY)
    predict_sea("output=whole", EVERY)
    assert files("out") == files("whole")


def test_what_was_made_of_photos_that_are_away_stays(run_predict, tiny_runs, sea, capsys):
    for name in ("a.jpg", "b.jpg"):
        Path("in").mkdir(exist_ok=True)
        shutil.copy(sea / "0.jpg", f"in/{name}")
    Path("list.txt").write_text("in/a.jpg\nin/b.jpg\n")
    settings = [f"checkpoint={tiny_runs[0]}", "source=list.txt", "output=out"]
    run_predict(*settings)
    before = files("out")
    Path("in/a.jpg").rename("a.jpg")
    run_predict(*settings, "products=[overlay]")
    assert "1 photos are away" in "".join(capsys.readouterr())
    after = table("out")
    assert after["in/a.jpg"]["status"] == "ok"
    assert after["in/a.jpg"]["box_width"]
    assert files("out")["mask/a.png"] == before["mask/a.png"]
    assert Path("out/overlay/b.jpg").exists()


def test_photos_that_come_later_join_the_table(run_predict, tiny_runs, sea):
    settings = [f"checkpoint={tiny_runs[0]}", "output=out", "products=[coco]"]
    Path("in").mkdir()
    shutil.copy(sea / "0.jpg", "in/a.jpg")
    run_predict(*settings, "source=in")
    shutil.copy(sea / "deep/1.png", "in/a.png")
    run_predict(*settings, "source=in")
    assert {path: row["mask"] for path, row in table("out").items()} == {
        "in/a.jpg": "mask/a.png",
        "in/a.png": "mask/a.png.png",
    }


@pytest.mark.parametrize(
    ("option", "told"),
    [("threshold=0.4", "threshold=0.5 (now 0.4)"), ("tta=none", "tta=flip (now none)"),
     ("cleaning.hole_share=0", "'hole_share': 0.05"),
     ("rgbm_size=null", "rgbm_size=[256, 512] (now None)"),
     ("refine=false", "refine=True (now not set)")],
)  # fmt: skip
def test_an_output_keeps_its_settings(predict_sea, capsys, option, told):
    predict_sea("output=out")
    before = files("out")
    assert told in the_error(predict_sea, capsys, "output=out", option)
    assert files("out") == before


def test_an_output_keeps_its_checkpoint(run_predict, tiny_runs, sea, capsys):
    one, two = tiny_runs
    run_predict(f"checkpoint={one}", f"source={sea}", "output=out")
    message = the_error(run_predict, capsys, f"checkpoint={two}", f"source={sea}", "output=out")
    assert "epoch=001" in message
    assert "now epoch=002" in message
    # of the same name, but learnt on
    shutil.copytree(one, "again")
    (path,) = Path("again/checkpoints").glob("epoch*")
    content = torch.load(path, weights_only=True)
    content["epoch"] += 1
    torch.save(content, path)
    assert "epoch=001" in the_error(
        run_predict, capsys, "checkpoint=again", f"source={sea}", "output=out"
    )


def test_one_run_at_a_time(predict_sea, capsys):
    hold = "import time; from flukeseg.prediction.folder import PredictionFolder\n"
    hold += "with PredictionFolder('out').locked(): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        message = the_error(predict_sea, capsys, "output=out")
        process.kill()
    assert "out is locked by another process" in message
    predict_sea("output=out")
    assert len(table("out")) == 9


@pytest.mark.parametrize("where", ["out", "out/.flukeseg", "out/mask", "out/predictions.csv"])
def test_an_output_that_cannot_be_written(predict_sea, capsys, where):
    """Root may write anywhere, but not a folder over a file, or a file over a folder."""
    path = Path(where)
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if where.endswith(".csv") else path.write_text("a file")
    assert "out" in the_error(predict_sea, capsys, "output=out")


def test_the_last_photos_that_cannot_be_written_are_told_of_too(predict_sea, capsys):
    """A large one, which is not done when its batch is."""
    write_rgb(Path("large.png"), np.full((2500, 3000, 3), 99, np.uint8))
    Path("out").mkdir()
    Path("out/mask").write_text("a file")
    assert "out/mask" in the_error(predict_sea, capsys, "output=out", "source=large.png")
    assert not Path("out/predictions.csv").exists()


def test_files_are_written_whole_or_not_at_all(tmp_path):
    folder = PredictionFolder(tmp_path / "out")
    path = tmp_path / "out/deep/file"

    def fail() -> None:
        with folder.writing(path) as partial:
            partial.write_bytes(b"half")
            raise RuntimeError

    with folder.locked():
        folder.write(path, b"before")
        with path.open("rb") as reader:
            folder.write(path, b"after")
            assert reader.read() == b"before"  # it was replaced and not written over
        with pytest.raises(RuntimeError):
            fail()
    assert path.read_bytes() == b"after"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_output_may_lie_among_the_photos(run_predict, tiny_runs, sea, capsys):
    shutil.copytree(sea, "in")
    for _ in range(2):
        run_predict(f"checkpoint={tiny_runs[0]}", "source=in", "output=in/out", EVERY)
    assert len(table("in/out")) == 9


def test_masks_among_the_photos_are_never_photos(run_predict, tiny_runs, sea, capsys):
    shutil.copytree(sea, "in")
    told = the_error(run_predict, capsys, f"checkpoint={tiny_runs[0]}", "source=in", "output=in")
    assert "output=in is the source itself" in told
    assert not Path("in/.flukeseg").exists()  # photos are no predictions because of a mistake


def test_a_photo_replaced_since_is_looked_at_again(run_predict, tiny_runs, sea):
    shutil.copytree(sea, "photos")
    options = (f"checkpoint={tiny_runs[0]}", "source=photos", "output=masks")
    run_predict(*options)
    before = {path: path.stat().st_mtime_ns for path in Path("masks/mask").rglob("*.png")}
    photo = Path("photos/0.jpg")
    write_rgb(photo, render((9, 9), (70, 90)).image)
    run_predict(*options)
    changed = [path for path, at in before.items() if path.stat().st_mtime_ns != at]
    assert [path.name for path in changed] == ["0.png"]
    assert read(changed[0]).shape == (70, 90)


def test_of_two_parts_rows_the_one_written_last_counts(tmp_path):
    row = {"key": "a", "path": "a", "name": "a", "status": "unreadable: cut"}
    row |= {"files": [], "products": ["mask"], "stamp": None}
    for part, at, kind in (("all", 1, "old"), ("1-of-2", 2, "new"), ("2-of-2", 0, "oldest")):
        folder = PredictionFolder(tmp_path, part)
        folder.add_row(row | {"written": at, "kind": kind})
    (only,) = folder.rows()
    assert only["kind"] == "new"


def test_merging_wants_every_product(run_predict, tiny_runs, sea, capsys):
    options = (f"checkpoint={tiny_runs[0]}", f"source={sea}", "output=masks")
    for shard in ("1/2", "2/2"):
        run_predict(*options, f"shard={shard}")
    told = the_error(run_predict, capsys, *options, "shard=merge", "products=[overlay]")
    assert "9 photos are not done" in told
    run_predict(*options, "shard=merge")


def test_a_photo_mended_since_is_tried_again(run_predict, tiny_runs, sea):
    Path("in").mkdir()
    whole = (sea / "0.jpg").read_bytes()
    for content in (whole[:300], whole):
        Path("in/a.jpg").write_bytes(content)
        run_predict(f"checkpoint={tiny_runs[0]}", "source=in", "output=out")
    assert table("out")["in/a.jpg"]["status"] in ("ok", "no_fluke")


# Checkpoints


class WritesFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["archive", "plain pickle", "among the weights"])
def test_a_checkpoint_with_code_is_refused_and_nothing_runs(
    run_predict, tiny_runs, sea, tmp_path, capsys, how
):
    ran, path = tmp_path / "ran", tmp_path / "hostile.ckpt"
    if how == "archive":
        torch.save({"state_dict": WritesFile(ran)}, path)
    elif how == "plain pickle":
        path.write_bytes(pickle.dumps({"state_dict": WritesFile(ran)}))
    else:
        (good,) = tiny_runs[0].glob("checkpoints/epoch*")
        content = torch.load(good, weights_only=True)
        torch.save(content | {"callbacks": WritesFile(ran)}, path)
    message = the_error(run_predict, capsys, f"checkpoint={path}", f"source={sea}", "output=out")
    assert str(path) in message
    assert "without code" in message
    assert not ran.exists()
    torch.load(path, weights_only=False) if how != "plain pickle" else pickle.loads(
        path.read_bytes()
    )
    assert ran.exists()  # it would have


def test_what_is_no_checkpoint_is_told(run_predict, tiny_runs, sea, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"a": 1}, tmp_path / "other.ckpt")
    larger = SegmentationModule("test_resnet", size=(64, 64))
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(larger)
    trainer.save_checkpoint(tmp_path / "larger.ckpt")
    cases = {
        "text.ckpt": "text.ckpt cannot be loaded",
        "other.ckpt": "other.ckpt cannot be loaded",
        "gone.ckpt": "gone.ckpt does not exist",
        "empty": "empty holds no checkpoint",
        "x" * 300: "does not exist",
        "null": "checkpoint",
        "[]": "checkpoint",
        f"['{tiny_runs[0]}',larger.ckpt]": "larger.ckpt was trained at 64 × 64",
        f"['{tiny_runs[0]}',gone.ckpt]": "gone.ckpt does not exist",
    }
    for given, expected in cases.items():
        message = the_error(
            run_predict, capsys, f"checkpoint={given}", f"source={sea}", "output=out"
        )
        assert expected in message
        assert not Path("out/predictions.csv").exists()


def test_a_checkpoint_of_a_run_is_its_best(run_predict, tiny_runs, sea):
    (file,) = tiny_runs[0].glob("checkpoints/epoch*")
    for name, given in (("run", tiny_runs[0]), ("folder", file.parent), ("file", file)):
        run_predict(f"checkpoint={given}", f"source={sea}/0.jpg", f"output={name}")
    assert files("run") == files("folder") == files("file")


# Options

BAD = {
    "product": (["products=[maks]"], "did you mean products=mask? choose mask, probability"),
    "products": (["products=5"], "products=5"),
    "tta": (["tta=flp"], "tta=flp must be one of"),
    "list of tta": (["tta=[flip]"], "tta="),
    "threshold": (["threshold=1.5"], "threshold=1.5 must be between 0 and 1"),
    "island share": (["cleaning.island_share=0"], "cleaning.island_share=0 must be from"),
    "review": (["review.tiny=-1"], "review.tiny=-1 must be from"),
    "no cleaning": (["cleaning=null"], "cleaning"),
    "batch size": (["batch_size=0"], "batch_size=0 must be a whole number"),
    "workers": (["num_workers=-1"], "num_workers=-1 must be a whole number"),
    "size": (["size=[64]"], "size=[64] must be [height,width]"),
    "shard": (["shard=3/2"], "shard=3/2 must be like 3/16"),
    "bits": (["probability_bits=12"], "probability_bits=12 must be 8 or 16"),
    "second rgbm": (["rgbm_size=5"], "rgbm_size=5 must be [height,width]"),
    "second rgbm's side": (["rgbm_size=[0,5]"], "rgbm_size=0 must be a whole number"),
    "margin": (["crop_margin=-1"], "crop_margin=-1 must be from 0 to 2"),
    "pixels": (["max_pixels=0"], "max_pixels=0 must be a whole number"),
    "missing source": (["source=gone"], "source=gone does not exist"),
    "overlong source": (["source=" + "x" * 300], "does not exist"),
    "source of nothing": (["source=null"], "source"),
    "empty folder": (["source=empty"], "source=empty has no photos"),
    "empty glob": (["source=empty/*.jpg"], "source=empty/*.jpg has no photos"),
    "no checkpoint": (["checkpoint=???"], "error: checkpoint has no value; give it on the command"),
    "no source": (["source=???"], "error: source has no value; give it on the command line"),
    "no output": (["output=???"], "error: output has no value; give it on the command line"),
    "overlong output": (["output=" + "x" * 300], "cannot be written"),
    "products without brackets": (["products=crop,white"], "'products=[crop,white]'"),
    "an experiment": (["+experiment=demo"], "experiment=demo is not for flukeseg.predict"),
    "typo": (["tresholds=0.4"], "there is no option tresholds; did you mean threshold?"),
    "typo in a part": (["cleaning.island_shares=1"], "did you mean cleaning.island_share?"),
    "trainer's argument": (["+trainer.device=1"], "trainer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_end_in_one_sentence(run_predict, tiny_runs, sea, capsys, case):
    overrides, expected = BAD[case]
    Path("empty").mkdir()
    given = [f"checkpoint={tiny_runs[0]}", f"source={sea}", "output=out"]
    assert expected in the_error(run_predict, capsys, *given, *overrides)
    assert not Path("out/predictions.csv").exists()


# Photo and mask together


@pytest.fixture
def stacked() -> torch.Tensor:
    return torch.rand(400, 4, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.mark.parametrize("p", [0, 0.2, 0.5, 1])
def test_masks_are_dropped_as_often_as_asked(stacked, p):
    torch.manual_seed(0)
    before = stacked.clone()
    dropped = MaskDropout(p)(stacked)
    assert torch.equal(stacked, before)
    assert torch.equal(dropped[:, :3], before[:, :3])
    gone = (dropped[:, 3] == 0).flatten(1)
    assert torch.equal(gone.any(1), gone.all(1))  # whole or not at all
    kept = ~gone.any(1)
    assert torch.equal(dropped[kept], before[kept])
    assert gone.any(1).float().mean() == pytest.approx(p, abs=0.07)


def test_single_photos_lose_their_mask_too(stacked):
    torch.manual_seed(0)
    layer = MaskDropout(0.3)
    gone = [not layer(photo)[3].any() for photo in stacked]
    assert np.mean(gone) == pytest.approx(0.3, abs=0.07)


def test_trained_networks_keep_every_mask(stacked):
    assert torch.equal(MaskDropout(1).eval()(stacked), stacked)
    assert repr(MaskDropout(0.25)) == "MaskDropout(p=0.25)"


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(InputError, match=f"p={p}"):
        MaskDropout(p)


@pytest.mark.parametrize("shape", [(3, 5, 6), (2, 3, 5, 6), (4, 4), (1, 2, 4, 5, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="4×H×W"):
        MaskDropout()(torch.ones(shape))


def test_segmenter_takes_paths_pictures_and_arrays(tiny_runs, tmp_path):
    segmenter = Segmenter.from_checkpoint(tiny_runs[0], runtime="torch")
    photo = render((5, 1), (40, 70)).image
    write_rgb(tmp_path / "photo.png", photo)
    expected = segmenter(photo)
    for same in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(photo)):
        np.testing.assert_array_equal(segmenter(same).probability, expected.probability)
    grey = photo[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    clear = np.dstack([photo, np.where(photo[..., :1] > 90, 255, 0).astype(np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    for path in (tmp_path / "deep.png", tmp_path / "clear.png"):
        with Image.open(path) as picture:
            probability = segmenter(picture).probability
        np.testing.assert_array_equal(probability, segmenter(path).probability)
    np.testing.assert_array_equal(
        segmenter(grey).probability, segmenter(np.dstack([grey] * 3)).probability
    )
    for wrong in (photo.astype(float), photo[..., :2], None):
        with pytest.raises(InputError, match="a photo must"):
            segmenter(wrong)


def test_segmenter_without_arguments_is_the_shipped_network():
    segmenter = Segmenter()
    assert segmenter.predictor.size == (288, 576)
    assert repr(segmenter).startswith("Segmenter(rendered: 576 × 288, tta=flip, ")


def test_rgbm_is_read_and_resized_without_losing_the_photo(tmp_path):
    rgbm = np.full((20, 30, 4), 200, np.uint8)
    rgbm[..., 3] = 0
    rgbm[:, 10:, 3] = 255
    Image.fromarray(rgbm).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgbm(tmp_path / "a.png"), rgbm)
    small = read_rgbm(tmp_path / "a.png", (10, 15))
    assert (small[..., :3] == 200).all()
    assert (small[:, :5, 3] == 0).all()
    assert (small[:, 5:, 3] == 255).all()
    Image.fromarray(rgbm[..., :3]).save(tmp_path / "rgb.png")
    for wrong, sentence in (("rgb.png", "PNG of"), ("none.png", "does not exist")):
        with pytest.raises(InputError, match=sentence):
            read_rgbm(tmp_path / wrong)


def test_a_loading_process_that_dies_as_the_job_starts_is_named(predict_sea, monkeypatch, capsys):
    def die(**_):  # torch raises wherever Python is
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr("flukeseg.prediction.writer.tqdm", die)
    with pytest.raises(SystemExit):
        predict_sea("output=out", "num_workers=1")
    assert "error: loading photos failed (DataLoader worker (pid 1)" in capsys.readouterr().err
