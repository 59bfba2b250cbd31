"""Pairs of corrected masks, written to a folder that holds some already."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from exchange_data import photos_of, write_predictions
from omegaconf import OmegaConf

from flukeseg.collect import collect
from flukeseg.errors import InputError
from flukeseg.exchange.corrections import write_corrections
from flukeseg.images.encoding import encode_png
from flukeseg.prediction.kept_masks import Verdict, Verdicts


def approved(root: Path, *names: str, width: int = 57) -> Path:
    """Write predictions with masks that were all approved; photos of one width are alike."""
    predicted = write_predictions(root, {name: np.eye(31, width, dtype=np.uint8) for name in names})
    for name in names:
        judge(predicted, name, "right")
    return predicted


def judge(predicted: Path, name: str, verdict: str) -> None:
    Verdicts(predicted).add(Verdict(name, verdict, "Ann", "", "", ""))


def turn_over(path: Path) -> None:
    """Change a mask as another program does."""
    path.write_bytes(encode_png(255 - cv2.imread(str(path), 0)))


def collect_to(output: Path, predicted: Path) -> int:
    return collect(
        OmegaConf.create({"predictions": str(predicted), "output": str(output), "photos": None})
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_pairs_of_another_trip_are_not_overwritten(tmp_path):
    first, second = approved(tmp_path / "1", "a"), approved(tmp_path / "2", "a", "b", width=60)
    collect_to(tmp_path / "pairs", first)
    before = contents(tmp_path / "pairs")
    with pytest.raises(InputError, match=r"images/a.png was written from the masks of .*/1/pred"):
        collect_to(tmp_path / "pairs", second)
    assert contents(tmp_path / "pairs") == before
    (second / "mask/a.png").unlink()  # without its namesake the other photo goes in
    collect_to(tmp_path / "pairs", second)
    assert before.items() < contents(tmp_path / "pairs").items()


@pytest.mark.parametrize("kind", ["photo", "mask", "photo of another suffix"])
def test_files_that_were_there_are_not_overwritten(tmp_path, kind):
    predicted, mine = approved(tmp_path, "a"), tmp_path / "mine"
    for name in ("images", "masks"):
        (mine / name).mkdir(parents=True)
    shutil.copy(tmp_path / "photos/a.png", mine / "images")
    other = {"photo": "images/a.png", "mask": "masks/a.png"}.get(kind, "images/A.jpg")
    (mine / other).write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{other} is not what was written from the masks of"):
        collect_to(mine, predicted)
    assert (mine / other).read_bytes() == b"mine"


def test_pairs_follow_the_masks_that_they_were_written_from(tmp_path):
    predicted, pairs = approved(tmp_path, "a", "b", "c"), tmp_path / "pairs"
    assert collect_to(pairs, predicted) == 3
    turn_over(predicted / "mask/a.png")
    judge(predicted, "c", "undone")
    assert collect_to(pairs, predicted) == 2
    found = contents(pairs)
    assert sorted(found) == ["images/a.png", "images/b.png", "masks/a.png", "masks/b.png"]
    assert found["masks/a.png"] == (predicted / "mask/a.png").read_bytes()
    judge(predicted, "a", "undone")
    judge(predicted, "b", "undone")
    with pytest.raises(InputError, match="has no mask that was corrected or approved"):
        collect_to(pairs, predicted)
    assert not contents(pairs)


def test_a_mask_that_was_changed_among_the_pairs_stays(tmp_path):
    predicted, pairs = approved(tmp_path, "a"), tmp_path / "pairs"
    collect_to(pairs, predicted)
    turn_over(pairs / "masks/a.png")
    changed = contents(pairs)
    collect_to(pairs, predicted)  # nothing is new there
    assert contents(pairs) == changed
    (predicted / "mask/a.png").write_bytes(encode_png(np.zeros((31, 57), np.uint8)))
    with pytest.raises(InputError, match=r"masks/a.png is not what was written"):
        collect_to(pairs, predicted)
    assert contents(pairs) == changed


@pytest.mark.parametrize("kind", ["pair changed", "photo replaced", "mask damaged"])
def test_pairs_that_nobody_could_make_again_are_not_deleted(tmp_path, caplog, kind):
    predicted, pairs = approved(tmp_path, "a", "b"), tmp_path / "pairs"
    collect_to(pairs, predicted)
    judge(predicted, "b", "undone")
    if kind == "pair changed":
        turn_over(pairs / "masks/b.png")
    elif kind == "photo replaced":
        turn_over(tmp_path / "photos/b.png")
    else:
        (predicted / "mask/b.png").write_bytes(b"\x89PNG")
    before = contents(pairs)
    with caplog.at_level(logging.WARNING):
        collect_to(pairs, predicted)
    assert contents(pairs) == before
    assert "masks/b.png stays" in caplog.text


def test_photos_that_were_there_are_not_deleted(tmp_path):
    """The photos may lie in the folder that becomes one of pairs."""
    predicted = approved(tmp_path, "a", "b")
    (tmp_path / "photos").rename(tmp_path / "images")
    (tmp_path / "photos").symlink_to(tmp_path / "images")
    collect_to(tmp_path, predicted)
    judge(predicted, "b", "undone")
    collect_to(tmp_path, predicted)
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["a.png"]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["a.png", "b.png"]


def test_annotations_and_corrections_do_not_overwrite_each_other(tmp_path):
    predicted, pairs = approved(tmp_path, "a"), tmp_path / "pairs"
    photo = photos_of(predicted)["a"]
    drawn = [(photo, np.ones((31, 57), np.uint8))]
    write_corrections(pairs, drawn, "annotations of it")
    with pytest.raises(InputError, match="was written from the annotations of it"):
        collect_to(pairs, predicted)
    judge(predicted, "a", "undone")
    with pytest.raises(InputError, match="has no mask"):
        collect_to(pairs, predicted)
    assert contents(pairs)["masks/a.png"] == encode_png(255 * drawn[0][1])
