"""Self-training from its command line to its students, and the gate between the two."""

import csv
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import hydra
import numpy as np
import pytest
import torch
from conftest import ROOT, TINY, predict_with, run_job, write_pairs, write_rgb
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from flukeseg import Segmenter, export, selftrain
from flukeseg.data.mixture import MixedDataModule
from flukeseg.data.mixture_sources import PseudoLabelledSource
from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.masks.recognition import DOUBT, REMOVE, Recognition
from flukeseg.model.checkpoint_files import find_checkpoint, learnt_from, name_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.model.module import SegmentationModule
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.rendering import render
from flukeseg.training.archives import unpacked_folder
from flukeseg.training.label_selection import Gate, least_confidence, select_labels

GREYS = {0, 64, 192, 255}
PIXELS = 10**6
FEW = [
    *TINY, "trainer.max_epochs=1", "data.train_count=8", "num_workers=0", "runtime=torch",
    "batch_size=4", "tta=flip", "calibrate_count=12", "cleaning.min_coverage=0.03",
    "photo_size=[64,128]", "gate.good=0.01", "gate.precision=0.5", "gate.disagreement=1",
    "gate.sure=0.7", "gate.val_count=2",
]  # fmt: skip
"""Overrides that make self-training a matter of seconds, and take most of what there is."""


def write_photos(folder: Path, count: int, seed: int = 4) -> None:
    for i in range(count):
        write_rgb(folder / f"{seed}_{i:02d}.jpg", render((seed, i), (64, 128)).image)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def jpegs(count: int) -> dict[str, bytes]:
    """Photos for an archive, by their names in it."""
    pictures = {f"deep/{i}.jpg": render((6, i), (64, 128)).image for i in range(count)}
    return {name: cv2.imencode(".jpg", image)[1].tobytes() for name, image in pictures.items()}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_taken(row: dict[str, str]) -> bool:
    return row["use"] in ("train", "val")


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def files(folder: Path) -> dict[str, int]:
    """When each file was written, but for the list of photos and the log."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("photos.txt", "selftrain.log", "lock-all")
    }


@pytest.fixture
def teach(tmp_path, monkeypatch, tiny_runs):
    """Run the job with the first network, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> None:
        run_job(selftrain, f"checkpoint={tiny_runs[0]}", "output=out", *FEW, *overrides)

    return run


@pytest.fixture(scope="module")
def wild(tmp_path_factory, tiny_runs) -> Path:
    """Two rounds on a folder and an archive, with one file that is no photo."""
    root = tmp_path_factory.mktemp("wild")
    write_photos(root / "photos", 7)
    (root / "photos/broken.jpg").write_text("no photo")
    write_tar(root / "more.tar", jpegs(4))
    run_wild(root, tiny_runs[0])
    return root / "out"


def run_wild(root: Path, checkpoint: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run_job(selftrain, f"checkpoint={checkpoint}", "source=[photos,more.tar]", "output=out",
                "rounds=2", *FEW)  # fmt: skip


# What a round leaves


@pytest.mark.parametrize("number", [1, 2])
def test_every_photo_has_its_row_and_what_is_taken_its_mask(wild, number):
    folder = wild / f"round-{number}"
    rows = read_rows(folder / "labels.csv")
    assert len(rows) == 12
    assert {Path(row["photo"]).name for row in rows} == {
        *(f"4_{i:02d}.jpg" for i in range(7)),
        *(f"{i}.jpg" for i in range(4)),
        "broken.jpg",
    }
    assert all(Path(row["photo"]).is_file() for row in rows)
    assert [row["use"] for row in rows if "broken" in row["photo"]] == ["unreadable"]
    taken = [row for row in rows if is_taken(row)]
    assert sum(row["use"] == "val" for row in taken) == min(2, len(taken) // 5)
    assert len(taken) >= 5
    masks = {str(path.relative_to(folder)) for path in (folder / "masks").rglob("*.png")}
    assert masks == {row["mask"] for row in taken}
    for row in taken:
        levels = read(folder / row["mask"])
        assert levels.shape == (64, 128)
        assert set(np.unique(levels)) <= GREYS


@pytest.mark.parametrize("number", [1, 2])
def test_all_masks_can_be_looked_at(wild, number):
    rows = read_rows(wild / f"round-{number}/labels.csv")
    readable = [row for row in rows if row["use"] != "unreadable"]
    for kind, wanted in (("taken", True), ("refused", False)):
        sheets = list((wild / f"round-{number}/{kind}").glob("*"))
        assert len(sheets) == any(is_taken(row) == wanted for row in readable)
        assert all(read(sheet).std() > 10 for sheet in sheets)


def test_the_student_goes_on_from_its_teacher_and_predicts(wild, tiny_runs):
    student = find_checkpoint(wild / "round-1/student")
    mask = Segmenter.from_checkpoint(student, runtime="torch")(render((4, 1), (64, 128)).image).mask
    assert mask.shape == (64, 128)
    teacher, taught = (
        dict(SegmentationModule.load_from_checkpoint(path, map_location="cpu").named_parameters())
        for path in (find_checkpoint(tiny_runs[0]), student)
    )
    moved = [float((taught[name] - teacher[name]).detach().abs().max()) for name in teacher]
    assert 0 < max(moved) < 0.01  # another network's weights would be farther off


def test_students_of_the_shipped_network_know_it(tiny_runs, tmp_path):
    own, copy = find_checkpoint(tiny_runs[0]), tmp_path / "student.ckpt"
    content = torch.load(own, map_location="cpu", weights_only=True)
    content["hyper_parameters"]["learnt_from"] = learnt_from("rendered")
    torch.save(content, copy)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("selftrain", ["source=any", "output=any"])
    network = {"encoder": "test_resnet", "architecture": "unet", "decoder": {}}
    for teachers, is_known in (
        ("rendered", True), (str(copy), True), (str(own), False), (["rendered", str(own)], False)
    ):  # fmt: skip
        cfg.checkpoint = teachers
        student = selftrain.student_config(cfg, tmp_path / "labels.csv", tmp_path, network, None)
        assert ("learnt_from" in student.model) == is_known
    assert load_module(copy).hparams["learnt_from"] == "pseudo-labels of rendered"
    # and so a mask that is no fluke is removed, also by what is exported; not by what learns on
    assert PredictionSettings((str(copy),)).masks.recognition == Recognition(REMOVE, DOUBT)
    exported = tmp_path / "student.pt"
    run_job(export, f"checkpoint={copy}", "format=torchscript", f"output={exported}")
    assert PredictionSettings((str(exported),)).masks.recognition.is_on
    module = SegmentationModule("test_resnet", size=(32, 64), start_from=str(copy))
    assert not module.hparams["learnt_from"]


def test_only_where_a_fluke_is_found_is_its_confidence_calibrated(wild):
    rows = read_rows(wild / "round-1/calibration/teacher/predictions.csv")
    found = sum(row["status"] == "ok" for row in rows)
    assert 5 <= found <= len(rows) == 12  # all of them on some processors
    told = (wild / "selftrain.log").read_text(encoding="utf-8")
    assert f"round-1/calibration/rendered: {found} of {found} masks kept" in told


def test_the_first_student_teaches_the_second(wild, tiny_runs):
    teachers = [find_checkpoint(tiny_runs[0]), find_checkpoint(wild / "round-1/student")]
    for number, teacher in enumerate(teachers, start=1):
        folder = wild / f"round-{number}"
        for table in ("teacher", "calibration/teacher"):
            rows = read_rows(folder / table / "predictions.csv")
            assert {row["checkpoint"] for row in rows} == {name_checkpoint(teacher)}
        start_from = OmegaConf.load(folder / "student/config.yaml").model.start_from
        assert (wild.parent / start_from).resolve() == teacher.resolve()


def test_what_is_done_is_not_done_again(wild, tiny_runs):
    before = files(wild)
    run_wild(wild.parent, tiny_runs[0])
    assert files(wild) == before
    assert "checkpoint=out/round-2/student" in (wild / "selftrain.log").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def once(tmp_path_factory, tiny_runs) -> Callable[..., Path]:
    """One round on a folder, that can be started again where it is."""
    root = tmp_path_factory.mktemp("once")
    write_photos(root / "photos", 12)

    def start(*more: str) -> Path:
        given = [f"checkpoint={tiny_runs[0]}", "source=photos", "output=out", *FEW, *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            run_job(selftrain, *given)
        return root / "out/round-1"

    start()
    return start


def test_another_gate_is_not_passed_over(once, capsys):
    once()
    with pytest.raises(SystemExit):
        once("gate.sure=0.8")
    told = capsys.readouterr().err
    assert "was started with gate.sure=0.7 (now 0.8)" in told
    assert "another output" in told
    once("num_workers=1")


@pytest.mark.parametrize("lost", [["student/result.json"], ["labels.csv"],
                                  ["labels.csv", "student/result.json"]])  # fmt: skip
def test_what_was_killed_goes_on(once, lost):
    folder = once()
    texts, before = {name: (folder / name).read_text() for name in lost}, files(folder)
    for name in lost:
        (folder / name).unlink()
    once()
    assert {name: (folder / name).read_text() for name in lost} == texts
    after = files(folder)
    assert after.keys() == before.keys()
    anew = {path for path in after if after[path] != before[path]}
    assert {str(folder / name) for name in lost} <= anew
    # neither did the teacher look again nor the student learn
    assert not any("/teacher/mask/" in path or "metrics.csv" in path for path in anew)
    assert any("/student/" in path for path in anew) == ("student/result.json" in lost)


def test_a_folder_of_pairs_calibrates_and_drawn_masks_validate(teach, tiny_runs):
    write_photos(Path("photos"), 6)
    write_pairs(Path("pairs"), 8)
    teach("source=photos", "calibrate_on=pairs", "gate.val_count=0",
          "+data.sources.labelled._target_=flukeseg.data.mixture_sources.LabelledSource",
          "+data.sources.labelled.root=pairs", "+data.sources.labelled.share=1",
          "+data.sources.labelled.val_count=2", "data.train_count=9")  # fmt: skip
    judged = read_rows(Path("out/round-1/calibration/teacher/predictions.csv"))
    assert [Path(row["path"]).stem for row in judged] == [f"fluke_{i:02d}" for i in range(8)]
    assert not Path("out/round-1/calibration/rendered").exists()
    assert "val" not in {row["use"] for row in read_rows(Path("out/round-1/labels.csv"))}
    assert "labelled: 3 of" in Path("out/selftrain.log").read_text(encoding="utf-8")
    assert find_checkpoint("out/round-1/student").is_file()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("model.loss._target_=torch.nn.NoSuchLoss", "model.loss"),
        ("model.in_channels=4", "photos alone"),
        ("model.encoder=resnet18", "a student has its teacher's"),
        ("model.start_from=rendered", "a student has its teacher's"),
        ("data.sources.pseudo_labelled.share=0", "share=0"),
    ],
)
def test_a_mistake_in_training_is_told_before_labelling(teach, option, told, capsys):
    write_photos(Path("photos"), 6)
    with pytest.raises(SystemExit):
        teach("source=photos", option)
    assert told in capsys.readouterr().err
    assert not Path("out/round-1").exists()


# Which photos


def asked(source: str | list[str], most: int | None = None) -> OmegaConf:
    return OmegaConf.create({"source": source, "most": most, "output": "out"})


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Path:
    """A folder of ten photos and an archive of four, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for i in range(10):
        path = Path(f"photos/{i}.jpg")
        path.parent.mkdir(exist_ok=True)
        path.touch()  # to be listed, not to be read
    write_tar(Path("more.tar"), {**jpegs(4), "deep/read.me": b"text"})
    output = Path("out")
    output.mkdir()
    return output


def listed(output: Path, source: str | list[str], most: int | None = None) -> list[str]:
    paths = (
        selftrain.list_photos(asked(source, most), output).read_text(encoding="utf-8").splitlines()
    )
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in paths)
    return [Path(path).stem for path in paths]


def test_at_most_so_many_of_each_source_evenly_spread(sources):
    both = ["photos", "more.tar"]
    assert listed(sources, both) == [*"0123456789", *"0123"]
    assert listed(sources, both, 4) == [*"0369", *"0123"]
    assert listed(sources, both, 2) == [*"09", *"03"]
    assert listed(sources, both, 1) == [*"0", *"0"]
    assert listed(sources, "photos/*.jpg", 10) == [*"0123456789"]


def test_an_archive_is_unpacked_once_and_whole(sources):
    place = unpacked_folder(Path("more.tar"), sources)
    half = place.with_name(f"{place.name}.partial") / "deep/0.jpg"  # as a kill leaves it
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert listed(sources, "more.tar") == [*"0123"]
    assert (place / "deep/0.jpg").read_bytes() == jpegs(1)["deep/0.jpg"]
    assert not half.exists()
    Path("more.tar").unlink()
    assert listed(sources, "more.tar") == [*"0123"]


def test_two_archives_of_one_name_are_both_unpacked(sources):
    Path("sea").mkdir()
    write_tar(Path("sea/more.tar"), jpegs(2))
    assert listed(sources, ["more.tar", "sea/more.tar"]) == [*"0123", *"01"]


def test_an_archive_that_is_cut_is_told(sources):
    with tarfile.open("cut.tar.gz", "w:gz") as tar:
        for i in range(10):
            tar.add(f"photos/{i}.jpg")
    content = Path("cut.tar.gz").read_bytes()
    Path("cut.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"source=cut\.tar\.gz cannot be unpacked"):
        listed(sources, "cut.tar.gz")


def test_an_archive_writes_nowhere_else(sources):
    write_tar(Path("evil.tar"), {"a.jpg": b"photo", "../../../escaped.jpg": b"photo"})
    with pytest.raises(InputError, match=r"source=evil\.tar cannot be unpacked"):
        listed(sources, "evil.tar")
    assert not list(Path().rglob("escaped.jpg"))


def test_an_empty_archive_is_told(sources):
    write_tar(Path("empty.tar"), {})
    with pytest.raises(InputError, match=r"empty\.tar"):
        listed(sources, "empty.tar")


MISTAKES = {
    "missing source": (["source=gone"], "source=gone does not exist"),
    "empty source": (["source=empty"], "source=empty has no photos"),
    "text called an archive": pytest.param(
        ["source=text.tar"],
        "source=text.tar cannot be unpacked",
    ),
    "nothing as source": pytest.param(
        ["source=null"],
        "source=None must not be empty",
    ),
    "missing archive": (["source=gone.tar"], "source=gone.tar cannot be unpacked"),
    "no source": ([], "source has no value"),
    "no checkpoint": (["source=photos", "checkpoint=gone.ckpt"], "checkpoint=gone.ckpt does not"),
    "rounds": (["source=photos", "rounds=0"], "rounds=0 must be a whole number"),
    "no epoch": (
        ["source=photos", "trainer.max_epochs=0"],
        "trainer.max_epochs=0 must be a whole number of at least 1",
    ),
    "most": (["source=photos", "most=0"], "most=0 must be a whole number"),
    "gate": (["source=photos", "gate.sure=0.4"], "gate.sure=0.4 must be from 0.5 to 1"),
    "typo": (["source=photos", "gate.god=1"], "did you mean gate.good?"),
    "pairs gone": (["source=photos", "calibrate_on=gone"], "calibrate_on=gone is not a folder"),
    "bad teacher": (
        ["source=photos", "gate.good=1", "gate.precision=1"],
        "gate.precision=1: of the most confident masks with a known truth fewer have a Dice of 1",
    ),
    "nothing taken": (
        ["source=photos", "gate.disagreement=0"],
        "no mask is good enough to train on",
    ),
    "too few": (["source=photos"], "masks are good enough, too few to validate on one in five"),
}


@pytest.mark.parametrize(("overrides", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence(teach, capsys, overrides, expected):
    write_photos(Path("photos"), 2)
    Path("empty").mkdir()
    Path("text.tar").write_text("no archive")
    with pytest.raises(SystemExit) as ended:
        teach(*overrides)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    message = told.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert expected in message


def test_a_gate_that_took_nothing_can_be_opened(teach):
    write_photos(Path("photos"), 12)
    with pytest.raises(SystemExit):
        teach("source=photos", "gate.disagreement=0")
    teach("source=photos")
    assert any(map(is_taken, read_rows(Path("out/round-1/labels.csv"))))


# The gate


@pytest.mark.parametrize(
    ("name", "value"),
    [("good", -0.1), ("good", 1.1), ("precision", 2), ("disagreement", -1), ("sure", 0.49),
     ("sure", 1.01), ("spread", float("nan")), ("good", True), ("val_count", -1),
     ("val_count", True)],
)  # fmt: skip
def test_a_gate_has_its_bounds(name, value):
    with pytest.raises(InputError, match=rf"gate\.{name}={value} must be"):
        Gate(**{name: value})


@pytest.mark.parametrize("name", ["good", "precision", "disagreement", "sure", "spread"])
def test_the_bounds_belong_to_it(name):
    for value in (0.5 if name == "sure" else 0, 1):
        assert getattr(Gate(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("precision", "expected"), [(0.8, 0.4), (0.7, 0.3), (0.5, 0.2), (0.84, None), (1, None)]
)
def test_the_least_confidence_by_hand(precision, expected):
    """Of the first 4 all are good; of the first 5, 6, 7, 8: .8, .83, .71, .63."""
    confidence = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    dice = [0.95, 0.9, 0.91, 0.99, 0.1, 0.93, 0.5, 0.89]
    order = np.random.default_rng(1).permutation(8)
    confidence, dice = (np.array(values)[order].tolist() for values in (confidence, dice))
    gate = Gate(good=0.9, precision=precision)
    if expected is None:  # four are too few to go by
        with pytest.raises(InputError, match=f"gate.precision={precision}: of the most confident"):
            least_confidence(gate, confidence, dice)
    else:
        assert least_confidence(gate, confidence, dice) == expected


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 1)), min_size=5, max_size=40,
             unique_by=lambda pair: pair[0]),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)  # fmt: skip
def test_of_the_masks_that_are_taken_enough_are_good(known, precision):
    confidence, dice = (np.array(values, float) for values in zip(*known, strict=True))
    shares = {c: dice[confidence >= c].mean() for c in confidence if (confidence >= c).sum() >= 5}
    enough = [c for c, share in shares.items() if share >= precision]
    gate = Gate(precision=precision)
    if enough:
        assert least_confidence(gate, confidence, dice) == min(enough)
    else:
        with pytest.raises(InputError, match=r"lower gate\.good"):
            least_confidence(gate, confidence, dice)


def test_masks_of_one_confidence_are_taken_together_or_not_at_all():
    dice = [0.0] * 5 + [1.0] * 5
    for order in (dice, dice[::-1]):
        with pytest.raises(InputError, match=r"lower gate\.good"):
            least_confidence(Gate(precision=0.9), [0.7] * 10, order)


def test_nothing_known_is_not_enough():
    with pytest.raises(InputError, match="give a better checkpoint"):
        least_confidence(Gate(), [], [])


@pytest.fixture(scope="module")
def looked(tmp_path_factory, tiny_runs) -> PredictionFolder:
    """What a teacher saw of twenty photos."""
    root = tmp_path_factory.mktemp("looked")
    write_photos(root / "photos", 20)
    predict_with(
        f"checkpoint={tiny_runs[0]}", f"source={root}/photos", f"output={root}/teacher",
        "products=[mask,probability,uncertainty]", "cleaning.min_coverage=0.02",
    )  # fmt: skip
    return PredictionFolder(root / "teacher")


def middle(looked: PredictionFolder, column: str) -> float:
    return float(np.median([row[column] for row in looked.rows() if row["status"] == "ok"]))


def test_the_gate_takes_what_is_confident_and_agreed_on(looked, tmp_path):
    confidence = middle(looked, "confidence") - 0.05
    gate = Gate(disagreement=middle(looked, "disagreement"), val_count=2)
    tally = select_labels(looked, tmp_path, gate, confidence, PIXELS)
    rows = {row["photo"]: row for row in read_rows(tmp_path / "labels.csv")}
    for row in looked.rows():
        use = rows[row["key"]]["use"]
        if row["status"] != "ok":
            assert use == row["status"]
        elif row["confidence"] < confidence:
            assert use == "not confident"
        elif row["disagreement"] > gate.disagreement:
            assert use == "views disagree"
        else:
            assert use in ("train", "val")
    uses = [row["use"] for row in rows.values()]
    assert dict(tally) == {use: uses.count(use) for use in uses}
    assert tally.keys() >= {"train", "not confident", "views disagree"}
    assert len(list((tmp_path / "masks").iterdir())) == tally["train"] + tally["val"]
    for kind in ("taken", "refused"):
        assert [path.name for path in (tmp_path / kind).iterdir()] == ["0001.jpg"]


@pytest.mark.parametrize(("val_count", "expected"), [(0, 0), (1, 1), (3, 3), (99, 4)])
def test_at_most_a_fifth_validates(looked, tmp_path, val_count, expected):
    tally = select_labels(looked, tmp_path, Gate(disagreement=1, val_count=val_count), 0, PIXELS)
    taken = tally["train"] + tally["val"]
    assert taken == sum(row["status"] == "ok" for row in looked.rows())
    assert tally["val"] == min(expected, taken // 5)
    train, val = PseudoLabelledSource(1, labels=tmp_path / "labels.csv").load((32, 64), 0, 1)
    assert (len(train), 0 if val is None else len(val)) == (tally["train"], tally["val"])


def test_more_photos_can_be_given_where_none_would_validate(looked, tmp_path):
    gate = Gate(disagreement=1, val_count=0)
    with pytest.raises(InputError, match=r"too few to validate on .* gate\.val_count=0 at most"):
        select_labels(looked, tmp_path, gate, 0, PIXELS, must_validate=True)
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize(("sure", "spread"), [(0.5, 1), (0.8, 1), (0.8, 0.1), (1, 0)])
def test_pixels_are_known_where_all_looks_are_sure_and_cleaning_agrees(
    looked, tmp_path, sure, spread
):
    gate = Gate(disagreement=1, sure=sure, spread=spread)
    select_labels(looked, tmp_path, gate, 0, PIXELS)
    known, cleaned = 0, 0
    for row in looked.rows():
        if row["status"] != "ok":
            continue
        name = f"{row['name']}.png"
        levels = read(tmp_path / "masks" / name)
        mask = read(looked.folder / "mask" / name) > 0
        fluke = read(looked.folder / "probability" / name) / 255
        apart = read(looked.folder / "uncertainty" / name) / 510
        certain = np.where(mask, fluke, 1 - fluke)
        sharp = np.isin(levels, (0, 255))
        np.testing.assert_array_equal(levels > 127, mask)
        assert set(np.unique(levels)) <= GREYS
        # a grey of 8 bits may lie on a bound
        assert not (sharp & ((certain < sure - 0.003) | (apart > spread + 0.001))).any()
        assert sharp[(certain > max(sure, 0.5) + 0.003) & (apart < spread - 0.001)].all()
        known += np.count_nonzero(sharp)
        cleaned += np.count_nonzero((fluke > 0.5) & ~mask & (apart < spread) & sharp)
    assert cleaned == 0
    assert known > 0 or sure == 1


def test_photos_of_names_that_are_no_text_are_labelled_too(tiny_runs, tmp_path):
    write_photos(tmp_path / "photos", 2)
    (tmp_path / "photos/4_01.jpg").rename(tmp_path / "photos" / os.fsdecode(b"\xff.jpg"))
    predict_with(
        f"checkpoint={tiny_runs[0]}", f"source={tmp_path}/photos", f"output={tmp_path}/teacher",
        "products=[mask,probability,uncertainty]",
    )  # fmt: skip
    gate = Gate(disagreement=1, val_count=0)
    select_labels(PredictionFolder(tmp_path / "teacher"), tmp_path, gate, 0, PIXELS)
    train, _ = PseudoLabelledSource(1, labels=tmp_path / "labels.csv").load((32, 64), 0, 1)
    assert sorted(train.names) == sorted(["4_00.jpg", os.fsdecode(b"\xff.jpg")])


# The experiment


def test_the_experiment_wild_composes_and_opens_with_its_command():
    text = (ROOT / "conf/experiment/wild.yaml").read_text(encoding="utf-8")
    assert "python -m flukeseg.selftrain +experiment=wild root=DIR\n" in text
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("selftrain", ["+experiment=wild", "root=some/where"])
    assert cfg.name == "wild"
    assert all(source.startswith("some/where/photos/") for source in cfg.source)
    assert isinstance(hydra.utils.instantiate(cfg.gate), Gate)
    assert cfg.model.size == cfg.data.size
    data = hydra.utils.instantiate(cfg.data, _convert_="all")
    assert isinstance(data, MixedDataModule)
    assert data.sources.keys() == {"rendered", "pseudo_labelled", "labelled", "no_flukes"}
    assert sum(source.share for source in data.sources.values()) == pytest.approx(1)
    assert all(source.augmentation for source in data.sources.values())
    assert str(data.sources["labelled"].root) == "some/where/sea-animals"
    assert not data.sources["labelled"].validates
    assert np.less(data.start.at(0), data.size).all()
    assert data.start.at(cfg.trainer.max_epochs - 1) is None
