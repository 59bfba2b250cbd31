"""Whoever judges a run keeps to the photos that it was not trained on."""

import shutil
from pathlib import Path

import cv2
import pytest
import yaml
from conftest import write_pairs, write_rgb

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.mixture import MixedDataModule
from flukeseg.data.mixture_sources import LabelledSource, NoFlukeSource
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.errors import InputError
from flukeseg.evaluation.labelled import labelled_photos
from flukeseg.pretrained import FOLDER
from flukeseg.training.run_folder import write_result
from flukeseg.training.split_record import (
    read_split,
    starts_of,
    warn_of_seen,
    write_split,
    write_starts,
)

READ = {"size": (32, 64), "num_workers": 0}


@pytest.fixture
def pairs(tmp_path) -> Path:
    write_pairs(tmp_path / "pairs", 10)
    return tmp_path / "pairs"


def record(run: Path, data: FlukeDataModule, **config) -> tuple[set[str], set[str]]:
    """Write what a run on this data records; return the names it trains and validates on."""
    data.setup()
    run.mkdir()
    write_split(data.split, run)
    config = {"size": [32, 64], **config}
    (run / "config.yaml").write_text(yaml.safe_dump({"data": config}), encoding="utf-8")
    train, val = ({p.name for p in data.split if p.use == use} for use in ("train", "val"))
    return train, val


def judged(root: Path, *runs: Path, subset: str = "val", **options) -> set[str]:
    data = FolderDataModule(root, **{"val_count": 4, **READ, **options})
    return {*labelled_photos(data, runs, subset, (24, 48), root / "rendered", 66)}


@pytest.fixture
def run(pairs, tmp_path) -> Path:
    record(tmp_path / "run", FolderDataModule(pairs, val_count=4, seed=1, **READ), root=str(pairs))
    return tmp_path / "run"


@pytest.fixture
def split(pairs) -> tuple[list[str], list[str]]:
    """Names that `run` trains and validates on."""
    data = FolderDataModule(pairs, val_count=4, seed=1, **READ)
    data.setup()
    return data.train_set.source.names, data.val_set.source.names


def drop(pairs: Path, name: str) -> None:
    (pairs / f"images/{name}.jpg").unlink()
    (pairs / f"masks/{name}.png").unlink()


def test_photos_that_are_gone_are_named_and_no_other_takes_their_place(pairs, run, split, caplog):
    _, val = split
    for name in val[:2]:
        drop(pairs, name)
    assert judged(pairs, run) == {*val[2:]}
    assert f"2 are not in {pairs} or were changed since: {val[0]}, {val[1]}" in caplog.text


def test_the_record_decides_and_not_a_later_list(pairs, run, split):
    train, val = split
    (pairs / "val.txt").write_text("\n".join(train[:3]))
    assert judged(pairs, run) == {*val}


@pytest.mark.parametrize("how", ["spelling", "link", "copy", "renamed"])
def test_a_folder_is_known_by_its_photos(pairs, run, split, tmp_path, how):
    _, val = split
    root = tmp_path / "other"
    if how == "spelling":
        root = pairs / ".." / "pairs"
    elif how == "link":
        root.symlink_to(pairs)
    else:
        shutil.copytree(pairs, root)
    if how == "renamed":
        for path in [*root.glob("*/*.jpg"), *root.glob("*/*.png")]:
            path.rename(path.with_name(f"new_{path.name}"))
        val = [f"new_{name}" for name in val]
    assert judged(root, run, seed=0) == {*val}


def test_a_corrected_mask_does_not_hide_that_its_photo_was_trained_on(pairs, run, split, tmp_path):
    train, val = split
    copy = tmp_path / "copy"
    shutil.copytree(pairs, copy)
    for name in (train[0], val[0]):
        path = copy / f"masks/{name}.png"
        write_rgb(path, 255 - cv2.imread(str(path)))
    (copy / "val.txt").write_text(train[0])
    assert judged(copy, run) == {*val}


@pytest.mark.parametrize("version", ["now", "earlier"])
def test_a_photo_that_was_changed_in_its_folder_is_known_by_its_name(
    pairs, run, split, version, caplog
):
    train, val = split
    if version == "earlier":  # which recorded no hash of the photo alone
        path = run / "split.csv"
        rows = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
        path.write_text("\n".join(rows) + "\n")
    for name in (train[0], val[0]):
        path = pairs / f"images/{name}.jpg"
        write_rgb(path, 255 - cv2.imread(str(path)))
    assert judged(pairs, run) == {*val}
    assert f"1 are not in {pairs} or were changed since: {val[0]}" in caplog.text


def test_training_photos_alone_are_refused_unless_all_are_asked_for(
    pairs, run, split, tmp_path, caplog
):
    train, val = split
    shutil.copytree(pairs, tmp_path / "copy")
    for name in val:
        drop(tmp_path / "copy", name)
    with pytest.raises(InputError, match=r"trained on 4 of the 4 validation photos of data\.root="):
        judged(tmp_path / "copy", run)
    assert judged(tmp_path / "copy", run, subset="all") == {*train}
    assert "of the 6 photos judged, 6 were trained on" in caplog.text


def test_photos_it_never_saw_are_judged_without_a_word(run, tmp_path, caplog):
    write_pairs(tmp_path / "strangers", 8, seed=5)
    for path in [*(tmp_path / "strangers").glob("*/*")]:
        path.rename(path.with_name(path.name.replace("fluke", "stranger")))
    assert len(judged(tmp_path / "strangers", run, subset="all")) == 8
    assert len(judged(tmp_path / "strangers", run)) == 4
    assert "WARNING" not in caplog.text


def test_other_pixels_of_the_same_names_are_logged(run, tmp_path, caplog):
    write_pairs(tmp_path / "others", 8, seed=5)
    assert len(judged(tmp_path / "others", run, subset="all")) == 8
    assert "training photos may be judged: fluke_00, fluke_01" in caplog.text


def test_a_mixture_is_judged_on_what_it_validated_on(pairs, tmp_path, caplog):
    source = LabelledSource(share=1, root=pairs, val_count=2)
    write_pairs(tmp_path / "sea", 3, seed=8)
    sea = NoFlukeSource(share=1, folders=[tmp_path / "sea/images"])
    _, val = record(tmp_path / "run", MixedDataModule({"own": source, "sea": sea}, **READ))
    assert judged(pairs, tmp_path / "run") == val
    assert "WARNING" not in caplog.text
    with pytest.raises(InputError, match="trained on 2 of the 2 validation photos"):
        judged(tmp_path / "sea", tmp_path / "run", val_count=2)


def test_several_runs_must_keep_off_the_same_photos(pairs, run, tmp_path):
    other = FolderDataModule(pairs, val_count=4, seed=2, **READ)
    record(tmp_path / "second", other, root=str(pairs))
    with pytest.raises(InputError, match="did not validate on the same photos"):
        judged(pairs, run, tmp_path / "second")
    sea = NoFlukeSource(share=1, folders=[pairs / "images"])
    write_pairs(tmp_path / "own", 4, seed=8)
    own = LabelledSource(share=1, root=tmp_path / "own", val_count=2)
    record(tmp_path / "third", MixedDataModule({"own": own, "sea": sea}, **READ))
    with pytest.raises(InputError, match="trained on 4 of the 4 validation photos"):
        judged(pairs, run, tmp_path / "third")


def test_what_a_network_started_from_has_seen_is_not_judged(pairs, run, split, tmp_path, caplog):
    """A run goes on from one that goes on from one that was trained on these photos."""
    train, val = split
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").touch()
    start = run / "checkpoints/last.ckpt"
    for name, size in (("second", [16, 32]), ("third", [48, 96])):
        write_pairs(tmp_path / f"of {name}", 6, seed=len(name))
        data = FolderDataModule(tmp_path / f"of {name}", val_count=2, size=size, num_workers=0)
        record(tmp_path / name, data, root=str(data.root), size=size)
        write_starts(tmp_path / name, str(start))
        start = tmp_path / name / "checkpoints/last.ckpt"
        start.parent.mkdir()
        start.touch()
    assert len(starts_of(tmp_path / "third")) == 2
    shutil.rmtree(run)  # whose record was copied
    caplog.clear()
    (pairs / "val.txt").write_text("\n".join(train[:3]))
    with pytest.raises(InputError, match=f"trained on 3 of the 3 validation photos.*{train[0]}"):
        judged(pairs, tmp_path / "third")
    (pairs / "val.txt").write_text("\n".join(val))
    assert judged(pairs, tmp_path / "third") == {*val}
    assert len(judged(pairs, tmp_path / "third", subset="all")) == 10
    assert "of the 10 photos judged, 6 were trained on" in caplog.text


def test_a_start_without_a_record_is_said_and_the_shipped_network_has_seen_none(
    pairs, tmp_path, caplog
):
    for start in ("rendered", str(FOLDER / "rendered.ckpt")):
        write_starts(tmp_path / "run", start)
        assert not starts_of(tmp_path / "run")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/a.ckpt").touch()
    write_pairs(tmp_path / "own", 6, seed=8)
    own = FolderDataModule(tmp_path / "own", val_count=2, **READ)
    record(tmp_path / "run", own, root=str(own.root))
    write_starts(tmp_path / "run", None, str(tmp_path / "bare/a.ckpt"))
    assert len(judged(pairs, tmp_path / "run")) == 4
    assert f"{tmp_path}/run/start_from/0 does not record" in caplog.text


def test_validation_photos_that_the_start_has_seen_are_told_at_once(pairs, run, tmp_path, caplog):
    (run / "checkpoints").mkdir()
    (run / "checkpoints/epoch=1.ckpt").touch()
    write_starts(tmp_path / "next", str(run))
    data = FolderDataModule(pairs, val_count=4, seed=2, **READ)
    data.setup()
    seen = {photo.name for photo in read_split(run) if photo.use == "train"}
    seen &= {*data.val_set.source.names}
    warn_of_seen(data.held_out(), tmp_path / "next")
    assert "of the 4 photos to validate or test on, the network that this" in caplog.text
    assert f"was trained on {len(seen)} (first: {min(seen)})" in caplog.text


def test_where_nothing_is_recorded_it_is_said(pairs, run, split, tmp_path, caplog):
    _, val = split
    assert len(judged(pairs, tmp_path)) == 4
    assert f"{tmp_path} does not record which photos it was trained on" in caplog.text
    (run / "split.csv").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= {"val_count": 4, "seed": 1}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert judged(pairs / ".." / "pairs", run) == {*val}
    assert f"{run} has no split.csv: its split is drawn again" in caplog.text


@pytest.fixture
def folds(run_evaluate, tiny_runs, pairs) -> list[set[str]]:
    """Two runs, `folds/0` and `folds/1`; the names that each validates on."""
    val = []
    for fold in (0, 1):
        config = {"root": str(pairs), "folds": 2, "fold": fold}
        run = Path(f"folds/{fold}")
        run.parent.mkdir(exist_ok=True)
        val.append(record(run, FolderDataModule(**config, **READ), **config)[1])
        shutil.copytree(tiny_runs[0] / "checkpoints", run / "checkpoints")
        write_result(run, {"figures": {}, "checkpoint": None})
    return val


def test_a_photo_that_came_after_the_folds_moves_none(run_evaluate, pairs, folds, capsys):
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        shutil.copy(pairs / folder / f"fluke_00.{suffix}", pairs / folder / f"aaa.{suffix}")
    image = pairs / "images/aaa.jpg"
    write_rgb(image, 255 - cv2.imread(str(image)))
    run_evaluate("runs=folds", "output=e", "num_workers=0", "trainer.accelerator=cpu")
    assert "1 photos came after the folds, left out: aaa" in capsys.readouterr().out
    for fold, names in enumerate(folds):
        listed = Path(f"e/predictions/fold_{fold}/photos.txt").read_text().splitlines()
        assert {Path(line).stem for line in listed} == names


def test_folds_that_started_from_a_network_of_their_photos_are_refused(
    run_evaluate, run, folds, capsys
):
    (run / "checkpoints").mkdir()
    (run / "checkpoints/epoch=1.ckpt").touch()
    write_starts(Path("folds/0"), str(run))
    with pytest.raises(SystemExit):
        run_evaluate("runs=folds", "output=e", "num_workers=0", "trainer.accelerator=cpu")
    assert "folds/0 started from a network that was trained on" in capsys.readouterr().err
