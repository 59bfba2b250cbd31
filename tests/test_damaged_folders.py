"""Prediction folders after a bad day: cut masks, lines of the journal and settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import predict_with
from test_predict import files, journal, sea, the_error  # noqa: F401

JOURNAL = Path("out/.flukeseg/journal-all.jsonl")
SETTINGS = Path("out/.flukeseg/settings.json")


PRODUCTS = "products=[overlay,coco]"


@pytest.fixture(scope="module")
def predicted(tiny_runs, sea, tmp_path_factory) -> Path:  # noqa: F811
    """A prediction of the nine photos, to be copied."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    predict_with(f"checkpoint={tiny_runs[0]}", f"source={sea}", f"output={out}", PRODUCTS)
    return out


@pytest.fixture
def predict_again(predicted, tiny_runs, sea, tmp_path, monkeypatch):  # noqa: F811
    """Predict the photos of `out`, where they are predicted already, once more."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(predicted, "out")
    arguments = [f"checkpoint={tiny_runs[0]}", f"source={sea}", "output=out", PRODUCTS]
    return lambda: predict_with(*arguments)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


DAMAGES = {
    "0": lambda content: b"",
    "3": lambda content: bytes(len(content)),
    "6": lambda content: content[: len(content) // 2],
    "deep/1": lambda content: content[:-12],
    "deep/2": lambda content: b"<html>not found</html>",
    "deep/4": flipped,
}


def test_damaged_masks_are_made_again(predict_again, capsys):
    before = files("out")
    for name, damage in DAMAGES.items():
        mask = Path(f"out/mask/{name}.png")
        mask.write_bytes(damage(mask.read_bytes()))
    predict_again()
    said = capsys.readouterr()
    assert (said.out + said.err).count("is damaged and made again") == len(DAMAGES)
    assert "3 of 9 photos are done already" in said.out
    assert files("out") == before


def test_products_of_another_size_are_made_again(predict_again, capsys):
    before = files("out")
    Path("out/overlay/0.jpg").write_bytes(b"half a pict")
    predict_again()
    assert "8 of 9 photos are done already" in capsys.readouterr().out
    assert files("out") == before


def test_what_a_person_drew_stays(predict_again, capsys):
    mask = Path("out/mask/0.png")
    drawn = np.zeros_like(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))
    drawn[10:40, 20:90] = 255
    cv2.imwrite(str(mask), drawn)
    content = mask.read_bytes()
    for _ in range(2):
        predict_again()
        assert mask.read_bytes() == content
    assert "damaged" not in capsys.readouterr().err
    rows = {row["name"]: row for row in journal("out")}
    assert rows["0"]["status"] == "corrected"


LINES = {
    "garbage": b"\xff\xfe\x00\x81garbage",
    "half": b'{"key": "/a", "name": "a", "pa',
    "a list": b"[1, 2, 3]",
    "a number": b"7",
    "no keys": b"{}",
    "nested": b"[" * 100_000,
    "a long number": b"1" * 5000,
    "nothing": b"",
}


def altered(**changes) -> bytes:
    row = {**journal("out")[3], **changes}
    return json.dumps({key: value for key, value in row.items() if value is not None}).encode()


def test_a_damaged_line_costs_one_photo(predict_again, capsys):
    """Of nine lines all but one are damaged, each in another way."""
    before = files("out")
    lines = [
        *LINES.values(),
        altered(files="mask/0.png"),
        altered(mask=None),
        altered(key="/a\0b"),
        altered(name="\ud800"),
        altered(width=True),
        altered(box_x="left"),
        JOURNAL.read_bytes().splitlines()[3],
    ]
    JOURNAL.write_bytes(b"\n".join(lines) + b"\n")
    predict_again()
    said = capsys.readouterr()
    assert (said.out + said.err).count("is damaged and left out") == len(lines) - 1
    assert "1 of 9 photos are done already" in said.out
    assert files("out") == before


def test_a_correction_whose_line_is_lost_stays(predict_again):
    lines = JOURNAL.read_bytes().splitlines()
    name = json.loads(lines[3])["name"]
    mask = Path(f"out/mask/{name}.png")
    drawn = 255 - cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(mask), drawn)
    content = mask.read_bytes()
    JOURNAL.write_bytes(b"\n".join([*lines[:3], b"{", *lines[4:]]) + b"\n")
    predict_again()
    assert mask.read_bytes() == content
    assert {row["name"]: row for row in journal_without_damage()}[name]["status"] == "corrected"


def test_a_mask_that_a_person_put_there_before_its_photo_was_predicted_stays(predict_again):
    first, second = (json.loads(line)["name"] for line in JOURNAL.read_bytes().splitlines()[:2])
    drawn, killed = Path(f"out/mask/{first}.png"), Path(f"out/mask/{second}.png")
    cv2.imwrite(str(drawn), 255 - cv2.imread(str(drawn), cv2.IMREAD_UNCHANGED))
    content = drawn.read_bytes()
    # what a killed run left, of another size of batch say, is the program's and made again
    before = killed.read_bytes()
    cv2.imwrite(str(killed), 255 - cv2.imread(str(killed), cv2.IMREAD_UNCHANGED))
    with Path("out/.flukeseg/masks.txt").open("a") as file:
        file.write(hashlib.sha256(killed.read_bytes()).hexdigest() + "\n")
    lines = JOURNAL.read_bytes().splitlines(keepends=True)
    JOURNAL.write_bytes(b"".join(lines[2:]))
    predict_again()
    assert drawn.read_bytes() == content
    assert killed.read_bytes() == before
    status = {row["name"]: row["status"] for row in journal_without_damage()}
    assert status[first] == "corrected"
    assert status[second] != "corrected"


def journal_without_damage() -> list[dict]:
    return [json.loads(line) for line in JOURNAL.read_text().splitlines() if line != "{"]


def test_settings_cut_short_end_in_one_sentence(predict_again, capsys):
    before, whole = files("out"), SETTINGS.read_bytes()
    for content in (b"", b'{"size": [32', b"\xff\x00", b"[]", b'{"generation": "a"}'):
        SETTINGS.write_bytes(content)
        assert "settings.json cannot be read" in the_error(predict_again, capsys)
    SETTINGS.unlink()  # as the sentence says
    predict_again()
    assert files("out") == before
    assert SETTINGS.read_bytes() == whole
