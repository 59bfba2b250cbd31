"""A disk that is full while summaries are written: one sentence, and what was there is kept.

The limit on the size of a file stands in for the full disk: both are an `OSError` of writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import predict_with, run_job
from test_predict import sea, the_error  # noqa: F401

from flukeseg import evaluate, train
from flukeseg.errors import InputError
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.table import gather

resource = pytest.importorskip("resource")  # Windows has none


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let writing beyond a size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def predicted(tiny_runs, sea, tmp_path_factory) -> Path:  # noqa: F811
    out = tmp_path_factory.mktemp("predicted") / "out"
    predict_with(f"checkpoint={tiny_runs[0]}", f"source={sea}", f"output={out}")
    return out


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_tables_coco_gallery_and_page(predicted):
    def gather_all():
        with (folder := PredictionFolder(predicted)).locked():
            gather(folder, ("coco", "gallery"), MAX_PIXELS)

    gather_all()
    before = contents(predicted)
    made = [predicted / "predictions.csv", predicted / "coco.json", predicted / "index.html",
            *(predicted / "gallery").iterdir()]  # fmt: skip
    failed = set()
    for size in sorted({0, 100, *(len(before[path]) - 1 for path in made)}):
        with files_of_at_most(size), pytest.raises(InputError, match="cannot be written") as error:
            gather_all()
        failed |= {path.name for path in made if str(path) in str(error.value)}
        assert contents(predicted) == before
        if size == max(len(before[path]) - 1 for path in made):
            break
    assert "predictions.csv" in failed
    assert len(failed) > 1
    gather_all()
    assert contents(predicted) == before


def test_what_hydra_writes(tmp_path, monkeypatch, capsys):
    """It raises an error without a file name."""
    monkeypatch.chdir(tmp_path)
    with files_of_at_most(0):
        error = the_error(partial(run_job, train), capsys, "hydra.run.dir=run")
    assert "File too large; what was written before is kept: make room" in error


def test_reports(predicted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def judge(*more: str) -> None:
        run_job(evaluate, f"predictions={predicted}", f"truth={predicted / 'mask'}",
                "output=judged", *more)  # fmt: skip

    for size in (50, 3000, 20_000):
        with files_of_at_most(size):
            assert "cannot be written" in the_error(judge, capsys)
    judge()
    assert Path("judged/summary.json").is_file()
    assert not list(Path("judged").rglob("*.partial"))
