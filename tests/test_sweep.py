import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, TINY, read_metrics
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_class
from omegaconf import OmegaConf

from flukeseg import sweep
from flukeseg.option_errors import explain
from flukeseg.sweeps.jobs import run_job
from flukeseg.sweeps.runs import STOPPED, read_runs
from flukeseg.sweeps.summary import summarise
from flukeseg.training.run_folder import write_result

WITH_PICTURES = [
    *TINY, "data.train_count=4", "data.val_count=2", "data.test_count=1",
    "callbacks.progress=null", "+trainer.enable_progress_bar=false",
]  # fmt: skip
FEW = [*WITH_PICTURES, "callbacks.sheets=null"]


def fails(run_train, *overrides: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run_train(*overrides)
    assert ended.value.code == 1


def the_sweep(name: str) -> Path:
    (folder,) = Path("outputs", name).glob("sweep_*")
    return folder


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def statuses(folder: Path) -> list[str]:
    return [run.status for run in read_runs(folder)]


def test_a_failing_job_loses_no_other(run_train, capsys):
    settings = ["-m", *FEW, "augmentation.strength=0,9", "seed=1,2", "name=some"]
    fails(run_train, *settings)
    told = capsys.readouterr().err
    assert "error: 2 of 4 jobs failed" in told
    assert "augmentation.strength=9 must be between 0 and 4" in told
    folder = the_sweep("some")
    assert statuses(folder) == ["finished", "finished", "failed", "failed"]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*")}
    assert before

    # a job that is at work elsewhere is left alone
    (folder / "1/result.json").unlink()
    with FileLock(folder / "1/.lock"):
        fails(run_train, *settings, "ckpt_path=last")
    assert "1 is locked by another process" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*")} == before
    fails(run_train, *settings, "ckpt_path=last")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*")}

    # of what is done nothing is done again; other options are not taken for the same sweep
    fails(run_train, *settings, "ckpt_path=last")
    assert the_sweep("some") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*")} == before
    capsys.readouterr()
    fails(run_train, *settings[:-2], "seed=1,2,3", "name=some", "ckpt_path=last")
    assert "was started with seed=1,2 (now seed=1,2,3)" in capsys.readouterr().err
    fails(run_train, *settings, f"hydra.sweep.dir={folder}")
    assert "give ckpt_path=last" in capsys.readouterr().err

    sweep.summarise(folder)
    printed, told = capsys.readouterr()
    (row,) = read_table(folder)
    assert row["runs"] == "2"
    assert "2 finished, 2 failed" in printed
    assert "augmentation.strength=9 seed=2" in told
    assert "val/score" in printed


def test_a_job_that_breaks_is_a_failed_one(tmp_path, caplog):
    cfg = OmegaConf.create({"folder": str(tmp_path / "0"), "ckpt_path": None})
    cfg.trainer = {"devices": 1}
    assert run_job(cfg, lambda cfg: {"val/score": 1 / 0}) is None
    (run,) = read_runs(tmp_path)
    assert (run.status, run.note) == ("failed", "ZeroDivisionError: division by zero")
    assert "Traceback" in caplog.text


def test_killed_and_gone_on_is_as_unbroken(run_train, capsys):
    settings = ["-m", *FEW, "trainer.max_epochs=3", "seed=1,2"]
    command = [sys.executable, "-m", "flukeseg.train", *settings, "name=killed"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 120
        while not list(Path("outputs/killed").glob("sweep_*/1/checkpoints/last.ckpt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    folder = the_sweep("killed")
    assert statuses(folder) == ["finished", "unfinished"]
    run_train(*settings, "name=killed", "ckpt_path=last")
    run_train(*settings, "name=unbroken")
    for name in ("killed", "unbroken"):
        sweep.summarise(the_sweep(name))
    assert the_sweep("killed") == folder
    assert read_table(folder) == read_table(the_sweep("unbroken"))
    for number in "01":
        assert read_metrics(folder / number) == read_metrics(the_sweep("unbroken") / number)

    # the command of the winner makes the winner
    _, command = capsys.readouterr().out.split("the winner again: python -m flukeseg.train")[-2:]
    options = shlex.split(command.splitlines()[0])
    seed = int(next(o for o in options if o.startswith("seed=")).removeprefix("seed="))
    run_train(*options, "hydra.run.dir=again")
    assert read_metrics(Path("again")) == read_metrics(folder / str(seed - 1))


SEVERAL = {
    "strategy": ["+trainer.strategy=ddp"],
    "devices": ["trainer.devices=2"],
    "some": ["trainer.devices=1,2"],
    "group": ["trainer=ddp"],
}


@pytest.mark.parametrize("sampler", ["basic", "optuna"])
@pytest.mark.parametrize("case", SEVERAL)
def test_several_devices_are_refused_before_anything_is_made(run_train, capsys, case, sampler):
    if sampler == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    kind = ["-m", "seed=1,2"] if sampler == "basic" else ["sweep=optuna"]
    fails(run_train, *kind, *FEW, *SEVERAL[case])
    assert "hydra/launcher=joblib" in capsys.readouterr().err
    assert not Path("outputs").exists()


def write_run(folder: Path, options: list[str], dice: float | None, epochs: int = 4) -> None:
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(options), folder / ".hydra/overrides.yaml")
    rows = "".join(f"{epoch},{0.9 * (dice or 0.1)}\n" for epoch in range(epochs))
    (folder / "metrics.csv").write_text("epoch,val/score\n" + rows)
    if dice is not None:
        write_result(folder, {"figures": {"val/score": dice, "val/dice": dice}})


def test_the_table_says_what_won_and_what_is_not_in_it(tmp_path, capsys):
    dice = iter([0.8, 0.9, 0.7, 0.7, 0.6, 0.8, None, 0.2])
    for number in range(8):
        lr, strength = ("1e-3", "1e-2")[number // 4], ("0", "2")[number // 2 % 2]
        options = [
            "+experiment=demo",
            f"model.optimizer.lr={lr}",
            f"augmentation.strength={strength}",
        ]
        write_run(
            tmp_path / str(number),
            [*options, f"seed={number % 2}", "data.size=[8,8]", "ckpt_path=last"],
            next(dice),
        )
    (tmp_path / "7" / STOPPED).write_text("below the median\n")
    sweep.summarise(tmp_path)
    printed, told = capsys.readouterr()
    assert "unfinished: " in told
    assert "stopped: " in told
    assert "below the median" in told
    assert "6 finished, 1 unfinished, 1 stopped" in printed
    best, *others = read_table(tmp_path)
    assert best["augmentation.strength"] == "0"
    assert float(best["val/score"]) == pytest.approx(0.85)
    assert float(best["val/score spread"]) == pytest.approx(0.1 / 2**0.5)
    assert [row["runs"] for row in others] == ["2", "2"]
    assert (
        "python -m flukeseg.train +experiment=demo model.optimizer.lr=1e-3 "
        "augmentation.strength=0 seed=1 'data.size=[8,8]'\n"
    ) in printed
    for picture in ("curve.png", "parallel.png"):
        assert cv2.imread(str(tmp_path / picture)) is not None


def test_a_metric_that_should_be_low_is_ranked_so(tmp_path, capsys):
    losses = [0.9, 0.3, None, 0.2, 0.5]
    for number, loss in enumerate(losses):
        lr, strength = ("1e-3", "1e-2", "1e-1", "1e-2", "1e-4")[number], number % 2
        options = [f"model.optimizer.lr={lr}", f"augmentation.strength={strength}"]
        write_run(tmp_path / str(number), [*options, f"seed={number}"], 0.5)
        figures = {"val/score": 0.5} | ({} if loss is None else {"val/loss": loss})
        write_result(tmp_path / str(number), {"figures": figures})
    sweep.summarise(tmp_path, "val/loss")
    assert "lr=1e-2 augmentation.strength=1 seed=3\n" in capsys.readouterr().out
    assert [row["val/loss"] for row in read_table(tmp_path)] == ["0.25", "0.5", "0.9", ""]


@pytest.mark.parametrize("name", ["architectures", "optuna"])
def test_the_winner_again_has_all_that_its_sweep_set(run_train, capsys, name):
    if name == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    options = [*FEW, "trainer.max_epochs=1", f"sweep={name}", "seed=2", "ckpt_path=null"]
    early = "callbacks.hopeless.after=1" if name == "optuna" else "model.architecture=fpn"
    write_run(Path("sweep/0"), [*options, early], 0.5)
    sweep.summarise(Path("sweep"))
    _, command = capsys.readouterr().out.split("the winner again: python -m flukeseg.train")
    run_train(*shlex.split(command.splitlines()[0]))
    (folder,) = Path("outputs/train").iterdir()  # one run
    cfg = OmegaConf.load(folder / "config.yaml")
    if name == "architectures":
        assert (cfg.model.architecture, cfg.model.schedule) == ("fpn", None)
        assert cfg.trainer.max_time == "00:00:10:00"
        assert cfg.callbacks.early_stopping is None
    assert len(read_metrics(folder)) == 1


@pytest.mark.parametrize("given", [["nowhere"], [".", "--metric", "val/dic"]])
def test_no_sweep_is_one_sentence(tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "0", [], 0.5)
    monkeypatch.setattr(sys, "argv", ["sweep", *given])
    with pytest.raises(SystemExit) as ended:
        sweep.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_hopeless_run_is_ended(run_train, tmp_path):
    for number, dice in enumerate([0.97, 0.98, 0.99]):
        write_run(tmp_path / f"runs/{number}", [], dice)
    rule = [
        "+callbacks.hopeless._target_=flukeseg.sweeps.pruning.StopBelowMedian",
        "+callbacks.hopeless.folder=${folder}", "+callbacks.hopeless.after=2",
        "trainer.max_epochs=5",
    ]  # fmt: skip
    for number, least in (("3", 4), ("4", 3)):
        run_train(*FEW, *rule, f"+callbacks.hopeless.least={least}", f"hydra.run.dir=runs/{number}")
    assert statuses(tmp_path / "runs")[3:] == ["finished", "stopped"]
    assert len(read_metrics(tmp_path / "runs/3")) == 5
    assert len(read_metrics(tmp_path / "runs/4")) == 2


# Optuna 2.10, which the sweeper asks for, is older than SQLAlchemy 2
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_optuna_seeks_and_goes_on(run_train, capsys):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    settings = [*FEW, "sweep=optuna", "hydra.sweeper.n_trials=6", "callbacks.hopeless.after=1",
                "callbacks.hopeless.least=1", "augmentation.strength=choice(0,1,2,9)"]  # fmt: skip
    fails(run_train, *settings)
    folder = the_sweep("train")
    came_to = statuses(folder)
    assert {"finished", "failed"} <= set(came_to)  # and on most machines, stopped
    found = (folder / "optimization_results.yaml").read_text()
    options = [run.options["model.optimizer.lr"] for run in read_runs(folder)]
    assert len(set(options)) == 6
    (folder / "optimization_results.yaml").unlink()
    (folder / "5/result.json").unlink()
    fails(run_train, *settings, "ckpt_path=last")
    assert (folder / "optimization_results.yaml").read_text() == found
    assert statuses(folder) == came_to
    assert [run.options["model.optimizer.lr"] for run in read_runs(folder)] == options
    capsys.readouterr()
    fails(run_train, *settings, "augmentation.strength=9", "hydra.sweeper.n_trials=1")
    assert "error: every trial failed" in capsys.readouterr().err


LAUNCHERS = {"joblib": ("0,9", ["finished", "failed"]), "submitit_local": ("0", ["finished"])}


@pytest.mark.parametrize(
    "launcher", [pytest.param(name, marks=pytest.mark.slow) for name in LAUNCHERS]
)
def test_jobs_in_processes_of_their_own(run_train, launcher):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    strengths, came_to = LAUNCHERS[launcher]
    settings = ["-m", *FEW, f"hydra/launcher={launcher}", f"augmentation.strength={strengths}"]
    fails(run_train, *settings) if "failed" in came_to else run_train(*settings)
    assert statuses(the_sweep("train")) == came_to


def test_slurm_is_asked_for_an_array_of_jobs(run_train, tmp_path, monkeypatch, capsys):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    from submitit.slurm.slurm import SlurmJob

    for program in ("sbatch", "srun"):
        path = tmp_path / program
        path.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/script.sh\necho Submitted batch job 7\n')
        path.chmod(0o755)
    done = JobReturn(status=JobStatus.COMPLETED)
    monkeypatch.setattr(SlurmJob, "results", lambda self: [done])
    for number in "01":
        (tmp_path / "runs" / number).mkdir(parents=True)  # the jobs would
    settings = [
        "-m", *FEW, "hydra/launcher=submitit_slurm", "seed=1,2", "hydra.sweep.dir=runs",
        "hydra.launcher.partition=whales", "hydra.launcher.timeout_min=600",
        "hydra.launcher.gpus_per_node=1", "hydra.launcher.array_parallelism=2",
    ]  # fmt: skip
    fails(run_train, *settings)
    assert "no srun here" in capsys.readouterr().err
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    run_train(*settings, "ckpt_path=last")
    script = (tmp_path / "script.sh").read_text()
    for line in ("array=0-1%2", "partition=whales", "time=600", "gpus-per-node=1"):
        assert f"#SBATCH --{line}\n" in script
    assert f"{sys.executable} -u -m submitit.core._submit" in script


def test_a_launcher_that_is_not_installed_names_its_extra():
    missing = HydraException("In 'train': Could not find 'hydra/launcher/joblib'\nAvailable …")
    assert explain(missing) == 'joblib is not installed; pip install "flukeseg[sweep]"'


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/sweep").glob("*")))
def test_a_sweep_composes_and_opens_with_its_command(name):
    text = (ROOT / f"conf/sweep/{name}.yaml").read_text(encoding="utf-8")
    command = re.search(r"# python -m flukeseg\.train (\+experiment=\w+ )?(sweep=(\w+))", text)
    assert command[3] == name
    options = command[0].split()[4:]
    if "hydra/sweeper" in text:
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", options, return_hydra_config=True)
    assert cfg.hydra.mode == RunMode.MULTIRUN
    for key in cfg.hydra.sweeper.params:
        assert OmegaConf.select(cfg, key.lstrip("+"), throw_on_missing=False) is not None


LOGGERS = sorted(path.stem for path in (ROOT / "conf/logger").glob("*.yaml"))


@pytest.mark.parametrize("name", LOGGERS)
def test_a_logger_composes_and_names_its_extra(run_train, monkeypatch, capsys, name):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [f"logger={name}"])
    assert get_class(cfg.logger._target_)
    monkeypatch.setitem(sys.modules, name, None)
    fails(run_train, *FEW, f"logger={name}")
    told = capsys.readouterr().err
    assert f'error: logger={name} is not installed; pip install "flukeseg[{name}]"' in told


def test_tensorboard_has_the_figures_and_the_pictures(run_train):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_train(*WITH_PICTURES, "logger=tensorboard")
    (folder,) = Path("outputs/train").iterdir()
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    dice = [event.value for event in events.Scalars("val/dice")]
    rows = read_metrics(folder)
    assert dice[:2] == pytest.approx([row["val/dice"] for row in rows])
    assert [event.value for event in events.Scalars("lr")] == pytest.approx([1e-3, 1e-3])
    assert (
        events.Images("validation")[-1].width == cv2.imread(str(folder / "validation.jpg")).shape[1]
    )
    assert (folder / "tensorboard/hparams.yaml").is_file()


def test_wandb_works_without_a_network_a_run_for_each_job(run_train):
    pytest.importorskip("wandb")
    run_train("-m", *WITH_PICTURES, "logger=wandb", "logger.offline=true", "seed=1,2")
    for number in "01":
        assert list(the_sweep("train").glob(f"{number}/wandb/offline-run-*/files/media/images/*"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own database's
def test_mlflow_has_the_figures_and_the_pictures(run_train, shared_pairs):
    mlflow = pytest.importorskip("mlflow")
    run_train(*WITH_PICTURES, "logger=mlflow")
    client = mlflow.MlflowClient("sqlite:///outputs/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("train").experiment_id])
    (folder,) = Path("outputs/train").glob("2*")
    assert run.data.metrics["lr"] == pytest.approx(1e-3)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"validation.jpg"}
    assert read_metrics(folder)


def test_runs_of_different_losses_have_a_table(tmp_path, capsys):
    for number, parts in enumerate(({"bce": 0.2}, {"bce": 0.4}, {}, {})):
        run = tmp_path / str(number)
        loss = "a.B" if parts else "c.D"
        (run / ".hydra").mkdir(parents=True)
        told = f"- '+model.loss={{_target_:{loss}}}'\n- seed={number % 2}\n"
        (run / ".hydra/overrides.yaml").write_text(told)
        figures = {"val/score": 0.5 + 0.1 * number} | {f"val/{k}": v for k, v in parts.items()}
        write_result(run, {"figures": figures})
    summarise(tmp_path)
    with (tmp_path / "table.csv").open(newline="") as file:
        best, other = csv.DictReader(file)
    assert (best["val/bce"], best["val/bce spread"]) == ("", "")
    assert float(other["val/bce"]) == pytest.approx(0.3)
    assert float(other["val/bce spread"]) == pytest.approx(0.02**0.5)
    assert "a.B" in capsys.readouterr().out
