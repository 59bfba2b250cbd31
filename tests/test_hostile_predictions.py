"""A prediction folder of somebody who means harm, against every job that reads one."""

from __future__ import annotations

import csv
import filecmp
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import predict_with, run_job, write_rgb
from exchange_data import random_masks, write_predictions
from test_bad_files import IMPORTERS, zipped
from test_hostile import here  # noqa: F401

from flukeseg.errors import InputError
from flukeseg.exchange.outside_files import PhotoFinder
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.page import read_thumbnail
from flukeseg.review.learning import Learning
from flukeseg.review.server import make_app
from flukeseg.review.session import ReviewSession

OUTSIDE = "../../outside/secret"
JOURNAL = ".flukeseg/journal-all.jsonl"


def change_row(predicted: Path, **changes: object) -> None:
    journal = predicted / JOURNAL
    first, *others = journal.read_text().splitlines(keepends=True)
    journal.write_text(json.dumps(json.loads(first) | changes) + "\n" + "".join(others))


def link(path: Path, target: str) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(Path.cwd().parent / "outside" / target)


def add_verdict(predicted: Path) -> None:
    with (predicted / "review.csv").open("w", newline="") as file:
        csv.writer(file).writerows([
            ["name", "verdict", "who", "when", "mask_sha256", "path"],
            [OUTSIDE, "corrected", "me", "2026", "00", "secret.png"],
            ["m000", "right", "=cmd()", "2026", "00", "secret.png"],
        ])  # fmt: skip


HARM: dict[str, Callable[[Path], object]] = {
    "a name outside": lambda predicted: change_row(predicted, name=OUTSIDE),
    "a mask outside": lambda predicted: change_row(predicted, mask=f"{OUTSIDE}.png"),
    "files outside": lambda predicted: change_row(predicted, files=[f"{OUTSIDE}.png"]),
    "an absolute mask": lambda predicted: change_row(predicted, mask="/etc/hostname"),
    # with a correction, or else no job but the page asks for the photo
    "a photo outside": lambda predicted: change_row(
        predicted, key=str(Path.cwd().parent / "outside/secret.png"), mask_sha256="0"),
    "a text as photo": lambda predicted: change_row(
        predicted, key=str(Path.cwd().parent / "outside/text"), mask_sha256="0"),
    "a mask that is a link": lambda predicted: link(predicted / "mask/m000.png", "secret.png"),
    "masks behind a link": lambda predicted: link(predicted / "mask", ""),
    "a journal behind a link": lambda predicted: link(predicted / JOURNAL, "text"),
    "a verdict outside": add_verdict,
    "a page behind a link": lambda predicted: link(predicted / "index.html", "text"),
}  # fmt: skip


def review_all(predicted: Path, checkpoint: Path) -> None:
    from fastapi.testclient import TestClient

    session = ReviewSession(predicted, "rendered", [], [])
    try:
        client = TestClient(make_app(session), base_url="http://127.0.0.1")
        for photo in client.get("/api/queue").json()["photos"]:
            for part in ("photo.jpg", "mask", "thumbnail.jpg"):
                client.get(f"/api/photos/{photo['id']}/{part}")
        client.get(f"/api/photos/{OUTSIDE}/mask")
    finally:
        session.close()


def job(name: str, *options: str) -> Callable[[Path, Path], None]:
    def run(predicted: Path, checkpoint: Path) -> None:
        given = [option.format(predicted, checkpoint) for option in options]
        if name == "predict":
            predict_with(*given)
        else:
            run_job(import_module(f"flukeseg.{name}"), *given)

    return run


JOBS: dict[str, Callable[[Path, Path], None]] = {
    "predict": job("predict", "source=photos", "output={0}", "checkpoint={1}"),
    "evaluate": job("evaluate", "predictions={0}", "truth={0}/mask", "output=e"),
    "collect": job("collect", "predictions={0}", "output=pairs"),
    "tables": job("tables", "predictions={0}", "output=tables"),
    "export COCO": job("annotations", "direction=export", "format=coco", "predictions={0}",
                       "output=coco.json"),
    "export LabelMe": job("annotations", "direction=export", "format=labelme", "predictions={0}",
                          "output=labelme"),
    "import": job("annotations", "direction=import", "format=coco", "source=import.json",
                  "predictions={0}", "output=imported"),
    "review": review_all,
}  # fmt: skip

HOSTILE_IMPORT = {
    "images": [{"id": 1, "file_name": "../outside/secret.png", "width": 128, "height": 64},
               {"id": 2, "file_name": "/etc/hostname", "width": 1, "height": 1}],
    "annotations": [], "categories": [{"id": 1, "name": "fluke"}],
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", HARM)
@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_read_or_written_outside(here, tiny_runs, name, kind):  # noqa: F811
    """What is opened outside is recorded by `here`; a job goes on without it, or says why not."""
    write_predictions(here, random_masks(3))
    write_rgb(here / "photos/extra.png", np.zeros((8, 8, 3), np.uint8))
    Path("import.json").write_text(json.dumps(HOSTILE_IMPORT))
    HARM[kind](here / "predicted")
    with suppress(InputError) if name == "review" else suppress(SystemExit):
        JOBS[name](Path("predicted"), tiny_runs[0])
    assert sorted(p.name for p in (here.parent / "outside").iterdir()) == ["secret.png", "text"]


NAMES = {
    "parent": "../outside/secret.png", "absolute": "{outside}/secret.png", "link": "link.png",
    "drive": "C:\\outside\\secret.png", "share": "\\\\host\\outside\\secret.png",
    "backslashes": "..\\outside\\secret.png", "URL": "file://{outside}/secret.png", "home": "~",
}  # fmt: skip
"""How an annotation file can name a photo that is not the prediction's."""


def annotation_files(name: str) -> dict[str, bytes]:
    """Files of each tool that name one photo."""
    image = {"id": 1, "file_name": name, "width": 128, "height": 64}
    coco = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "fluke"}]}
    content = {
        "coco": coco,
        "via": {"_via_img_metadata": {"1": {"filename": name, "size": 1, "regions": []}}},
        "label_studio": [{"data": {"photo": name}, "annotations": [{"result": []}]}],
        "labelme": {"imagePath": name, "imageWidth": 128, "imageHeight": 64, "shapes": []},
    }
    archive = {"annotations/instances_default.json": json.dumps(coco)}
    listed = {"labelmap.txt": "fluke:255,0,0::\n", "ImageSets/Segmentation/default.txt": name}
    files = {tool: json.dumps(one).encode() for tool, one in content.items()}
    return files | {"cvat": zipped(archive), "cvat masks": zipped(listed)}


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", NAMES)
def test_annotations_name_no_photo_outside(here, kind):  # noqa: F811
    finder = PhotoFinder(Predictions(write_predictions(here, random_masks(3))))
    Path("saved").mkdir()
    Path("saved/link.png").symlink_to(here.parent / "outside/secret.png")
    name = NAMES[kind].format(outside=here.parent / "outside")
    for tool, content in annotation_files(name).items():
        source = Path("saved/secret.json")
        source.write_bytes(content)
        source = source.parent if tool == "labelme" else source
        with pytest.raises(InputError, match="the prediction does not have"):
            list(IMPORTERS[tool.split()[0]](source, finder, "fluke"))


def test_a_link_among_annotations_is_not_read(here):  # noqa: F811
    finder = PhotoFinder(Predictions(write_predictions(here, random_masks(3))))
    Path("saved").mkdir()
    Path("saved/m000.json").symlink_to(here.parent / "outside/text")
    with pytest.raises(InputError, match="leads out of source=saved"):
        list(IMPORTERS["labelme"](Path("saved"), finder, "fluke"))


@pytest.mark.parametrize(
    "settings",
    [
        {"tta": "${oc.env:SECRET}"}, {"runtime": "torch checkpoint=other"}, {"size": {"a": [{}]}},
        {"cleaning": {"island_share": "${run_dir:canary,null}"}}, {"look": ["${oc.env:SECRET}"]},
    ],
)  # fmt: skip
def test_settings_that_are_no_options_are_refused(here, settings):  # noqa: F811
    predicted = write_predictions(here, random_masks(3))
    (predicted / ".flukeseg/settings.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"settings.json has .* which is no value"):
        Learning(predicted, []).settings()


def test_settings_name_no_code_and_no_network_outside(here):  # noqa: F811
    predicted = write_predictions(here, random_masks(3))
    code = {"_target_": "os.mkdir", "_args_": "canary", "x._target_": "os.mkdir", "hole_share": 0.1}
    settings = {"network": "os.mkdir", "hydra.run.dir": "canary", "cleaning": code}
    (predicted / ".flukeseg/settings.json").write_text(json.dumps(settings))
    options = Learning(predicted, []).settings()
    off = ["look=once", "recognition.doubt=0", "recognition.remove=0", "refine=false"]
    assert sorted(options) == ["cleaning.hole_share=0.1", *off]
    (predicted / ".flukeseg/network.txt").write_text(str(here.parent / "outside/text"))
    with pytest.raises(InputError, match="outside the folder"):
        Learning(predicted, []).checkpoint("rendered")


def corrected(root: Path) -> Path:
    """Predictions of which each photo's mask was corrected."""
    predicted = write_predictions(root, random_masks(3))
    journal = predicted / JOURNAL
    rows = [json.loads(line) | {"mask_sha256": "0"} for line in journal.read_text().splitlines()]
    journal.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return predicted


def test_photos_that_were_moved_are_named(tmp_path):
    predicted = corrected(tmp_path)
    collect = partial(run_job, import_module("flukeseg.collect"), f"predictions={predicted}")
    collect(f"output={tmp_path / 'before'}")
    shutil.copytree(tmp_path / "photos", tmp_path / "moved", copy_function=shutil.copy)
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(SystemExit):
        collect(f"output={tmp_path / 'pairs'}")
    collect(f"output={tmp_path / 'pairs'}", f"photos={tmp_path / 'moved'}")
    for name in ("images", "masks"):
        before, after = tmp_path / "before" / name, tmp_path / "pairs" / name
        assert len(list(before.iterdir())) == 3
        assert not filecmp.dircmp(before, after).diff_files
        assert [p.name for p in after.iterdir()] == [p.name for p in before.iterdir()]


def test_photos_that_were_changed_are_refused(tmp_path, capsys):
    predicted = corrected(tmp_path)
    (tmp_path / "photos/m000.png").touch()
    with pytest.raises(SystemExit):
        run_job(import_module("flukeseg.collect"), f"predictions={predicted}",
                f"output={tmp_path / 'pairs'}")  # fmt: skip
    assert "was changed since it was predicted on" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["another photo", "a link", "no folder"])
def test_moved_photos_that_are_others_are_refused(here, capsys, kind):  # noqa: F811
    predicted = corrected(here)
    if kind == "another photo":
        write_rgb(here / "photos/m000.png", np.zeros((3, 5, 3), np.uint8))
    elif kind == "a link":
        link(here / "photos/m000.png", "secret.png")
    options = [f"predictions={predicted}", "output=pairs"]
    options += ["photos=nowhere" if kind == "no folder" else "photos=photos"]
    with pytest.raises(SystemExit):
        run_job(import_module("flukeseg.collect"), *options)
    said = {"another photo": "is 5 × 3, the photo", "a link": "leads out of photos=",
            "no folder": "photos=nowhere is not a folder"}  # fmt: skip
    assert said[kind] in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["review.csv", ".flukeseg/originals", ".flukeseg/thumbnails/deep", "added", "added/a.png"],
)
def test_a_review_writes_through_no_link(here, name):  # noqa: F811
    predicted = write_predictions(here, random_masks(3))
    (predicted / name).parent.mkdir(exist_ok=True)
    link(predicted / name, "text" if name.endswith((".csv", ".png")) else "")
    with pytest.raises(InputError, match=f"{name} leads out of "):
        ReviewSession(predicted)


def test_a_thumbnail_that_is_a_link_is_not_shown(here):  # noqa: F811
    predicted = write_predictions(here, random_masks(3))
    thumbnail = predicted / ".flukeseg/thumbnails/m000.jpg"
    thumbnail.parent.mkdir()
    link(thumbnail, "secret.png")
    os.utime(predicted / "mask/m000.png", (0, 0))  # older, or the thumbnail is made anew anyway
    folder = PredictionFolder(predicted)
    row = next(row for row in folder.rows() if row["name"] == "m000")
    assert read_thumbnail(predicted, folder.state, row)[:2] == b"\xff\xd8"
    assert not thumbnail.is_symlink()
