"""A prediction folder of somebody who means harm, against every job that reads one."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import predict_with, run_job, write_rgb
from exchange_data import random_masks, write_predictions
from test_hostile import here  # noqa: F401

from flukeseg.errors import InputError
from flukeseg.review.server import make_app
from flukeseg.review.session import ReviewSession

OUTSIDE = "../../outside/secret"


def change_row(predicted: Path, **changes: object) -> None:
    journal = predicted / ".flukeseg/journal-all.jsonl"
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
    "a mask that is a link": lambda predicted: link(predicted / "mask/m000.png", "secret.png"),
    "masks behind a link": lambda predicted: link(predicted / "mask", ""),
    "a journal behind a link": lambda predicted: link(
        predicted / ".flukeseg/journal-all.jsonl", "text"),
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
