"""No cell of a table is run by a spreadsheet, and every cell is read back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import run_job, write_rgb
from hypothesis import given
from hypothesis import strategies as st

from flukeseg import evaluate
from flukeseg.csv_cells import escape_cell, unescape_cell
from flukeseg.data.splits import SplitPhoto
from flukeseg.errors import InputError
from flukeseg.exchange.curvrank import read_trailing_edge
from flukeseg.prediction.inputs import find_inputs
from flukeseg.prediction.kept_masks import Verdict, Verdicts
from flukeseg.rendering import render
from flukeseg.training.split_record import refuse_changed_photos, write_split

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


@given(st.one_of(st.text(), st.text("'=+-@\t\r1.e", max_size=6)))
def test_cells_are_harmless_and_read_back(text):
    cell = escape_cell(text)
    assert unescape_cell(cell) == text
    if cell.startswith(DANGEROUS):
        float(cell)  # a number, which does nothing


@pytest.mark.parametrize("number", [-3.5, 7, None, "-3.5", "+1e-7", "-.5", "12"])
def test_numbers_stay_numbers(number):
    assert escape_cell(number) == number


@pytest.mark.parametrize("text", ["=1+1", "-2+3", "@SUM(A1)", "+cmd|' /C calc'!A0", "-", "--1"])
def test_formulas_are_shown(text):
    assert escape_cell(text) == f"'{text}"


def cells(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def is_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.startswith(DANGEROUS)
    return False


def test_photos_called_like_formulas(run_predict, tiny_runs, tmp_path):
    names = ["=1+1", "@SUM(A1)", "-x", "+x", "plain"]
    for i, name in enumerate(names):
        write_rgb(tmp_path / f"{name}.png", render((7, i), (32, 64)).image)
        write_rgb(tmp_path / f"truth/{name}.png", render((7, i), (32, 64)).mask * 255)
    Path("list.txt").write_text("".join(f"{name}.png\n" for name in names))
    run_predict(f"checkpoint={tiny_runs[0]}", "source=list.txt", "output=out")
    run_job(evaluate, "predictions=out", "truth=truth", "output=judged")
    assert {f"'{name}.png" for name in names[:4]} <= set(cells(Path("out/predictions.csv")))
    for table in (Path("out/predictions.csv"), *Path("judged").rglob("per_photo.csv")):
        assert not list(filter(is_formula, cells(table)))
    # the table is a list of photos
    assert find_inputs("out/predictions.csv") == find_inputs("list.txt")
    judged = next(Path("judged").rglob("per_photo.csv"))
    assert {f"'{name}" for name in names[:4]} <= set(cells(judged))


def test_verdicts_on_such_photos(tmp_path):
    verdict = Verdict("=1+1", "right", "@me", "2026-01-01", "ab", "-x.png")
    Verdicts(tmp_path).add(verdict)
    assert not list(filter(is_formula, cells(tmp_path / "review.csv")))
    assert Verdicts(tmp_path).latest() == {"=1+1": verdict}


def test_a_split_of_such_photos(tmp_path):
    photos = [SplitPhoto("=folder", "train", "@x", "ab"), SplitPhoto("=folder", "val", "-y", "cd")]
    write_split(photos, tmp_path)
    assert not list(filter(is_formula, cells(tmp_path / "split.csv")))
    refuse_changed_photos(photos, tmp_path)


def test_a_trailing_edge_with_an_endless_cell_is_refused(tmp_path):
    path = tmp_path / "edge/a.edge.csv"
    path.parent.mkdir()
    path.write_text(f"fluke,x,y,occluded\n1,{'9' * 200_000},1,0\n")
    with pytest.raises(InputError, match=r"a\.edge\.csv is no trailing edge"):
        read_trailing_edge(tmp_path, "a")
