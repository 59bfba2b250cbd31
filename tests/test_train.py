import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import EXPERIMENTS, ROOT, SIZE, TINY, read_metrics, write_pairs, write_rgb
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.model.losses import BCEDiceLoss
from flukeseg.model.module import SegmentationModule
from flukeseg.model.precision import choose_precision
from flukeseg.training.callbacks import ResumableEpochs
from flukeseg.training.run_folder import run_dir
from flukeseg.training.trainer import quiet_lightning


def the_run(name: str) -> Path:
    (folder,) = Path("outputs", name).iterdir()
    return folder


def wait_for_checkpoint(process: subprocess.Popen, runs: Path) -> None:
    """Wait until the only run of a program has ended its first epoch."""
    deadline = time.monotonic() + 120
    while not list(runs.glob("*/checkpoints/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def folder_data(root: Path) -> list[str]:
    return ["data=folder", f"data.root={root}", "data.val_count=4", "+experiment=seresnet34"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_opens_with_its_command(experiment):
    text = (ROOT / f"conf/experiment/{experiment}.yaml").read_text(encoding="utf-8")
    command = re.search(r"# python -m flukeseg\.(\w+) \+experiment=(\w+)(.*)\n", text)
    assert command[2] == experiment
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = [f"+experiment={experiment}", *command[3].split()]
        cfg = compose(command[1], overrides, return_hydra_config=True)
    assert cfg.name == experiment
    for part in ("data", "model", "augmentation"):
        assert OmegaConf.to_container(cfg[part], resolve=True)


def test_a_run_leaves_all_it_makes(run_train, shared_pairs):
    run_train(*folder_data(shared_pairs), *TINY, "name=whole")
    folder = the_run("whole")
    rows = read_metrics(folder)
    assert [row["epoch"] for row in rows] == [0, 1]
    logged = {"train/loss", "train/bce", "train/dice_loss", "val/loss", "val/dice", "val/soft_dice"}
    assert logged <= set(rows[0])
    best = max(rows, key=lambda row: row["val/score"])
    (kept,) = (folder / "checkpoints").glob("epoch=*.ckpt")
    assert kept.name == f"epoch={best['epoch']:03.0f}-dice={best['val/dice']:.4f}.ckpt"
    assert OmegaConf.load(folder / "config.yaml").data.size == [32, 64]
    record = json.loads((folder / "provenance.json").read_text())
    assert record["seed"] == 66
    assert record["packages"]["torch"] == torch.__version__.split("+")[0]
    assert cv2.imread(str(folder / "validation.jpg")).shape == (3 * (18 + 192), 4 * 384, 3)
    assert cv2.imread(str(folder / "curves.png")) is not None
    module = SegmentationModule.load_from_checkpoint(kept)  # weights_only, and no hub
    assert module.size == (32, 64)


def test_rendered_flukes_are_tested_on_others(run_train, shared_pairs):
    few = ["data.train_count=8", "data.val_count=4", "data.test_count=4"]
    run_train("+experiment=demo", *TINY, *few)
    assert "Dice held out" in (the_run("demo") / "train.log").read_text()
    assert cv2.imread(str(the_run("demo") / "held_out.jpg")).shape == (3 * (18 + 192), 4 * 384, 3)
    run_train("+experiment=demo", *TINY, *few, f"data.test_root={shared_pairs}", "name=on_pairs")
    assert "12 pairs" in (the_run("on_pairs") / "train.log").read_text()


def test_it_learns(run_train, shared_pairs):
    """A tiny network overfits eight photos; one that does not learn stays near 0.3."""
    run_train(
        *folder_data(shared_pairs), *TINY, "name=learn", "trainer.max_epochs=25",
        "augmentation.strength=0", "callbacks.early_stopping=null", "data.batch_size=8",
        "model.optimizer.lr=3e-3", "data.size=[64,128]", "callbacks=ema",
        "callbacks.ema.decay=0.5", "model.schedule=cosine",
    )  # fmt: skip
    rows = read_metrics(the_run("learn"))
    assert rows[-1]["train/dice_loss"] < 0.15
    assert rows[-1]["lr"] < 1e-3


def test_a_seed_repeats_and_another_does_not(run_train, shared_pairs):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        run_train(*folder_data(shared_pairs), *TINY, f"name={name}", f"seed={seed}")
    one, again, other = (read_metrics(the_run(name)) for name in ("one", "again", "other"))
    assert one == again
    assert [row["train/loss"] for row in one] != [row["train/loss"] for row in other]


def test_a_seed_repeats_dropout_with_any_number_of_workers(run_train, shared_pairs):
    for name, workers in (("none", 0), ("one", 1)):
        encoder = "model.encoder=efficientnet-b0"
        options = [*folder_data(shared_pairs), *TINY, encoder, f"data.num_workers={workers}"]
        run_train(*options, f"name={name}")
    none, one = (read_metrics(the_run(name)) for name in ("none", "one"))
    assert none == one


def test_a_folder_is_of_one_training_at_a_time(run_train, shared_pairs, capsys):
    run_train(*folder_data(shared_pairs), *TINY, "name=held")
    hold = "import sys, time\nfrom pathlib import Path\n"
    hold += "from flukeseg.atomic_files import locked_folder\n"
    hold += "with locked_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(the_run("held"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SystemExit):
            run_train(*folder_data(shared_pairs), *TINY, "name=held", "ckpt_path=last")
        other.kill()
    assert "is locked by another process" in capsys.readouterr().err
    assert (the_run("held") / "result.json").is_file()


@pytest.mark.parametrize(
    ("schedule", "workers"), [pytest.param("plateau", 0, marks=pytest.mark.slow), ("cosine", 1)]
)
def test_killed_and_resumed_is_as_unbroken(run_train, shared_pairs, schedule, workers):
    """kill -9 in the middle of an epoch; what was learnt, scheduled and logged goes on.

    The average of the weights hardly moves in so few steps, so that the plateau halves the rate.
    """
    settings = [
        *folder_data(shared_pairs), *TINY, f"model.schedule={schedule}", "trainer.max_epochs=8",
        "callbacks=ema", "callbacks.early_stopping=null", "data.batch_size=2",
        f"data.num_workers={workers}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "flukeseg.train", *settings, "name=killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, Path("outputs/killed"))
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    killed = the_run("killed")
    done = len(read_metrics(killed))
    assert 1 <= done < 8
    run_train(*settings, "name=killed", "ckpt_path=last")
    run_train(*settings, "name=unbroken")
    assert the_run("killed") == killed
    assert read_metrics(killed) == read_metrics(the_run("unbroken"))


def test_a_resumed_run_keeps_its_options(run_train, shared_pairs, capsys):
    settings = [*folder_data(shared_pairs), *TINY, "name=kept"]
    run_train(*settings, "trainer.max_epochs=1")
    for other in ("seed=67", "data.val_count=5", "model.schedule=cosine"):
        with pytest.raises(SystemExit):
            run_train(*settings, other, "ckpt_path=last")
        assert other.split("=")[0] in capsys.readouterr().err
    run_train(*settings, "ckpt_path=last", "trainer.max_epochs=2")
    assert len(read_metrics(the_run("kept"))) == 2


def test_what_early_stopping_ended_stays_ended(run_train, shared_pairs):
    settings = [*folder_data(shared_pairs), *TINY, "name=ended", "trainer.max_epochs=9",
                "callbacks.early_stopping.patience=1", "model.optimizer.lr=1e-12"]  # fmt: skip
    run_train(*settings)
    rows = read_metrics(the_run("ended"))
    assert len(rows) < 9
    run_train(*settings, "ckpt_path=last")
    assert read_metrics(the_run("ended")) == rows
    assert "it had stopped early" in (the_run("ended") / "train.log").read_text()
    # unless it is given more patience
    run_train(*settings, "ckpt_path=last", "callbacks.early_stopping.patience=99")
    assert len(read_metrics(the_run("ended"))) == 9


def test_the_average_is_what_is_judged(run_train, shared_pairs):
    run_train(*folder_data(shared_pairs), *TINY, "name=average", "callbacks=ema",
              f"data.test_root={shared_pairs}", "callbacks.ema.decay=0.9")  # fmt: skip
    folder = the_run("average")
    (best,) = (folder / "checkpoints").glob("epoch=*.ckpt")
    module = SegmentationModule.load_from_checkpoint(best)
    data = FolderDataModule(
        shared_pairs, val_count=4, size=(32, 64), num_workers=0, test_root=shared_pairs
    )
    trainer = pl.Trainer(logger=False, accelerator="cpu", precision=choose_precision("auto"))
    with quiet_lightning():
        (figures,) = trainer.test(module, data, verbose=False)
    assert f"held out: {figures['test/dice']:.4f} a photo" in (folder / "train.log").read_text()


def test_a_trial_run_is_no_error(run_train, shared_pairs):
    run_train(*folder_data(shared_pairs), *TINY, "name=trial", "+trainer.fast_dev_run=true")


def test_a_trial_run_may_see_no_fluke(run_train, tmp_path):
    first, *others = write_pairs(tmp_path / "pairs", 4)
    write_rgb(next((tmp_path / "pairs/masks").glob(f"{first}.*")), np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "pairs/val.txt").write_text(f"{first}\n{others[0]}\n")
    run_train(*folder_data(tmp_path / "pairs"), *TINY, "name=trial", "data.batch_size=1",
              "+trainer.fast_dev_run=true")  # fmt: skip


def test_without_patience_it_trains_until_an_epoch_gains_nothing(run_train, shared_pairs):
    run_train(*folder_data(shared_pairs), *TINY, "name=impatient", "trainer.max_epochs=9",
              "callbacks.early_stopping.patience=0", "model.optimizer.lr=1e-12")  # fmt: skip
    assert 1 <= len(read_metrics(the_run("impatient"))) < 9


class Draws(pl.Callback):
    """Keeps a random number of each batch."""

    def __init__(self):
        self.drawn = []

    def on_train_batch_end(self, *_):
        self.drawn.append(float(torch.rand(())))


def test_each_part_of_a_step_has_random_numbers_of_its_own(shared_pairs):
    data = FolderDataModule(shared_pairs, val_count=4, size=(32, 64), batch_size=2, num_workers=0)
    module, drawn = SegmentationModule(encoder="test_resnet", encoder_weights=None), Draws()
    with quiet_lightning():
        pl.Trainer(
            callbacks=[ResumableEpochs(1), drawn], accumulate_grad_batches=2, max_epochs=2,
            logger=False, enable_checkpointing=False, accelerator="cpu", limit_val_batches=0,
        ).fit(module, data)  # fmt: skip
    assert len(drawn.drawn) > 4
    assert len(set(drawn.drawn)) == len(drawn.drawn)


def test_runs_that_start_together_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len({run_dir("twins", None) for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("sent", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)],
)
def test_a_stopped_run_keeps_its_checkpoint_and_goes_on(run_train, shared_pairs, sent, code):
    settings = [*folder_data(shared_pairs), *TINY, "name=stopped"]
    command = [sys.executable, "-m", "flukeseg.train", *settings, "trainer.max_epochs=500"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for_checkpoint(process, Path("outputs/stopped"))
        process.send_signal(sent)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    (best,) = Path().glob("outputs/stopped/*/checkpoints/epoch=*.ckpt")
    assert best.name in output
    assert "start again with ckpt_path=last to go on" in output
    assert "Traceback" not in output
    done = len(read_metrics(the_run("stopped")))
    run_train(*settings, "ckpt_path=last", f"trainer.max_epochs={done + 1}")
    assert len(read_metrics(the_run("stopped"))) == done + 1


def fails(run_train, capsys, *overrides: str) -> str:
    """Run a training that has to fail; return its one sentence."""
    with pytest.raises(SystemExit) as ended:
        run_train(*overrides)
    assert ended.value.code == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}


def test_a_run_that_diverges_stops_and_says_where(run_train, shared_pairs, capsys):
    settings = [*folder_data(shared_pairs), *TINY, "name=wild", "model.optimizer.lr=1e10"]
    message = fails(run_train, capsys, *settings, "trainer.max_epochs=20")
    assert re.search(r"loss is above 1e\+06 or not a number in epoch \d+, step \d+; try a", message)
    assert "lower model.optimizer.lr than 1e+10" in message
    assert not (the_run("wild") / "result.json").exists()


class BreakingLoss(BCEDiceLoss):
    """Not a number from a step on, of training or of validation."""

    def __init__(self, kind: str, after: int) -> None:
        super().__init__()
        self.breaks_training, self.after, self.steps = kind == "training", after, 0

    def forward(self, logits, target):
        self.steps += logits.requires_grad
        parts = super().forward(logits, target)
        if logits.requires_grad == self.breaks_training and self.steps >= self.after:
            parts["loss"] = parts["loss"] * float("nan")
        return parts


@pytest.mark.parametrize(("kind", "after"), [("training", 3), ("training", 4), ("validation", 4)])
def test_a_run_that_diverges_keeps_its_checkpoints(run_train, shared_pairs, capsys, kind, after):
    """An epoch has two steps: it breaks in the middle of the second, in its last step, after it."""
    settings = [*folder_data(shared_pairs), *TINY, "name=broken", "trainer.max_epochs=3"]
    loss = ["model.loss._target_=test_train.BreakingLoss", f"+model.loss.kind={kind}"]
    message = fails(run_train, capsys, *settings, *loss, f"+model.loss.after={after}")
    assert f"the {kind} loss is above 1e+06 or not a number in epoch 1, step {after};" in message
    for path in (the_run("broken") / "checkpoints").iterdir():
        saved = torch.load(path, weights_only=True)
        assert saved["epoch"] == 0
        assert all(t.isfinite().all() for t in saved["state_dict"].values())
    assert len(list((the_run("broken") / "checkpoints").iterdir())) == 2


def test_a_resumed_run_refuses_other_photos(run_train, tmp_path, capsys):
    write_pairs(tmp_path / "pairs", 10)
    settings = [*folder_data(tmp_path / "pairs"), *TINY, "name=pairs", "trainer.max_epochs=1"]
    run_train(*settings)
    result = (the_run("pairs") / "result.json").read_bytes()
    before = contents(the_run("pairs"))
    with (the_run("pairs") / "split.csv").open(newline="") as file:
        learnt = [row["name"] for row in csv.DictReader(file) if row["use"] == "train"]
    pairs = tmp_path / "pairs"
    flukes = [name for name in learnt if cv2.imread(str(pairs / f"masks/{name}.png")).any()]
    changed, gone, moved = flukes[:3]
    touched = [pairs / f"images/{changed}.jpg", pairs / f"images/{gone}.jpg"]
    touched.append(pairs / f"masks/{gone}.png")
    kept = {path: path.read_bytes() for path in touched}
    cv2.imwrite(str(touched[0]), 255 - cv2.imread(str(touched[0])))
    touched[1].unlink()
    touched[2].unlink()
    (tmp_path / "pairs/val.txt").write_text(f"{moved}\n")
    message = fails(run_train, capsys, *settings, "ckpt_path=last")
    assert f"{changed} has changed" in message
    assert f"{gone} is missing" in message
    assert f"{moved} was for train and is for val" in message
    assert contents(the_run("pairs")) == before
    assert (the_run("pairs") / "result.json").read_bytes() == result
    for path, content in kept.items():
        path.write_bytes(content)
    (tmp_path / "pairs/val.txt").unlink()
    run_train(*settings[:-1], "ckpt_path=last")
    assert len(read_metrics(the_run("pairs"))) == 2


def test_a_damaged_checkpoint_names_the_other(run_train, shared_pairs, capsys):
    settings = [*folder_data(shared_pairs), *TINY, "name=cut", "trainer.max_epochs=1"]
    run_train(*settings)
    last = the_run("cut") / "checkpoints/last.ckpt"
    (best,) = last.parent.glob("epoch=*.ckpt")
    whole = last.read_bytes()
    for part in (whole[:1000], whole[: len(whole) // 2], b"", b"no checkpoint"):
        last.write_bytes(part)
        message = fails(run_train, capsys, *settings, "ckpt_path=last")
        assert f"{last} cannot be read (" in message
        assert f"copy {best.name} over it" in message
    last.write_bytes(best.read_bytes())
    run_train(*settings[:-1], "ckpt_path=last")
    assert len(read_metrics(the_run("cut"))) == 2


def test_a_full_disk_keeps_the_last_checkpoint(run_train, shared_pairs, capsys):
    resource = pytest.importorskip("resource")
    settings = [*folder_data(shared_pairs), *TINY]
    run_train(*settings, "name=full", "trainer.max_epochs=1")
    before = contents(the_run("full"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    smallest = min(len(content) for content in before.values())
    resource.setrlimit(resource.RLIMIT_FSIZE, (smallest // 2, limits[1]))
    try:
        message = fails(run_train, capsys, *settings, "name=full", "ckpt_path=last")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be written (File too large); what was written before is kept" in message
    assert contents(the_run("full")) == before
    run_train(*settings, "name=full", "ckpt_path=last")
    run_train(*settings, "name=unbroken")
    assert read_metrics(the_run("full")) == read_metrics(the_run("unbroken"))


def test_a_run_of_before_the_rooms_goes_on(run_train, shared_pairs):
    settings = [*folder_data(shared_pairs), *TINY, "name=old"]
    run_train(*settings, "trainer.max_epochs=1")
    path = the_run("old") / "config.yaml"
    text = path.read_text()
    for now, then in (
        ("flukeseg.data.pair_folder.FolderDataModule", "flukeseg.data.folder.FolderDataModule"),
        ("flukeseg.model.module.SegmentationModule", "flukeseg.model.segmenter.SegmentationModule"),
    ):
        assert now in text
        text = text.replace(now, then)
    path.write_text(text)
    (the_run("old") / "split.csv").unlink()  # there was none
    run_train(*settings, "ckpt_path=last")
    assert len(read_metrics(the_run("old"))) == 2


def test_no_validation_photo_with_a_fluke_is_refused(run_train, tmp_path, capsys):
    write_pairs(tmp_path / "pairs", 3)
    cv2.imwrite(str(tmp_path / "pairs/masks/fluke_01.png"), np.zeros(SIZE, np.uint8))
    (tmp_path / "pairs/val.txt").write_text("fluke_01\n")
    message = fails(run_train, capsys, *folder_data(tmp_path / "pairs"), *TINY)
    assert "no validation photo holds a fluke" in message


ERRORS = {
    "typo in a key": (["augmentation.strenght=2"], "did you mean augmentation.strength"),
    "typo in a group": (["data=foldr"], "foldr"),
    "typo in an experiment": (["+experiment=seresnet43"], "seresnet43"),
    "bad syntax": (["data.size=[1,"], "data.size"),
    "wrong root": (["data=folder", "data.root=nowhere"], "nowhere is not a folder"),
    "no root": (["data=folder"], "data.root has no value"),
    "450 not fetched": (["data=humpback450"], "python -m flukeseg.data.humpback450"),
    "unknown encoder": (["model.encoder=seresnet43"], "did you mean"),
    "weights not a file": (["model.encoder_weights=nothing.pth"], "nothing.pth is not a file"),
    "strength": (["augmentation.strength=9"], "augmentation.strength=9"),
    "no strength": (["augmentation.strength=much"], "augmentation.strength=much must be a number"),
    "schedule": (["model.schedule=step"], "model.schedule=step"),
    "one fold of none": (["data=folder", "data.root=.", "data.fold=1"], "go together"),
    "nothing to resume": (["ckpt_path=last"], "ckpt_path=last finds no"),
    "no checkpoint": (["ckpt_path=gone.ckpt"], "model.start_from"),
    "no weights": (["model.start_from=gone.ckpt"], "model.start_from=gone.ckpt does not exist"),
    "seed": (["seed=-1"], "seed=-1"),
    "epochs": (["trainer.max_epochs=abc"], "trainer.max_epochs=abc"),
    "parts": (["+trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches=0 must be"),
    "patience": (["callbacks.early_stopping.patience=abc"], "early_stopping.patience=abc must be"),
    "a batch of none": (["data.total_batch_size=0"], "data.total_batch_size=0 must be"),
    "folds": (["data=folder", "data.root=.", "data.folds=two", "data.fold=0"], "data.folds=two"),
    "threshold": (["+data.mask_threshold=300"], "data.mask_threshold=300"),
    "size too small": (
        ["model.encoder=swin_tiny_patch4_window7_224"],
        "swin_tiny_patch4_window7_224 cannot process",
    ),
    "metric": (["callbacks.best.monitor=val/dic"], "val/dic"),
    "strange precision": (["trainer.precision=9"], "trainer.precision=9 is not available"),
    "no such device": (["trainer.accelerator=gpu"], "trainer.accelerator=gpu, trainer.devices"),
    "no rate": (["model.optimizer.lr=abc"], "model.optimizer.lr=abc must be a number"),
    "a rate below nothing": (["model.optimizer.lr=-1"], "model.optimizer: Invalid learning rate"),
    "no plus": (["experiment=demo"], "added with a plus: +experiment=demo"),
    "another job's": (
        ["+experiment=wild", "root=x"],
        "experiment=wild is not for flukeseg.train; run: python -m flukeseg.selftrain",
    ),
    "no key of this group": (["data=mixed", "+data.rooot=x"], "rooot"),
    "unknown argument": (["+data.colour=3"], "colour"),
    "unknown trainer argument": (["+trainer.maxepochs=3"], "maxepochs"),
    "no size": (["data.size=384"], "data.size=384"),
    "wrong type": (["data.batch_size=many"], "data.batch_size"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input_is_one_sentence(run_train, capsys, case):
    overrides, expected = ERRORS[case]
    quick = ["data.train_count=2", "data.val_count=2", "data.test_count=2"]
    if any(override.startswith("data=") for override in overrides):
        quick = []
    with pytest.raises(SystemExit) as ended:
        run_train(*quick, *TINY, *overrides)
    assert ended.value.code == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert expected in message


def test_problems_of_a_folder_are_told_before_training(run_train, tmp_path, capsys):
    write_pairs(tmp_path / "pairs", 3)
    (tmp_path / "pairs/images/fluke_00.jpg").write_text("no photo")
    with pytest.raises(SystemExit):
        run_train(*folder_data(tmp_path / "pairs"), *TINY)
    told = capsys.readouterr().err
    assert "error: " in told
    assert "fluke_00.jpg" in told
    assert "Traceback" not in told


def test_precision_is_chosen_only_when_asked():
    assert choose_precision("16-mixed") == "16-mixed"
    assert choose_precision("auto") in {"bf16-mixed", "32-true"}
