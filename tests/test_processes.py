"""Several processes: what they learn, judge and write is what a single one does."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
from conftest import TINY, read_metrics
from hypothesis import given
from hypothesis import strategies as st

from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.data.sampling import EpochSampler
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.training.trainer import quiet_lightning

TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


def folder_data(root: Path) -> list[str]:
    return ["data=folder", f"data.root={root}", "data.val_count=5", "+experiment=seresnet34"]


def run(job: str, *options: str, folder: Path) -> None:
    command = [sys.executable, "-m", f"flukeseg.{job}", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 5), st.integers(0, 3))
def test_processes_share_the_batches_of_one(length, batch_size, ranks, epoch):
    alone = EpochSampler(length, 5, batch_size * ranks)
    shared = [EpochSampler(length, 5, batch_size, rank, ranks) for rank in range(ranks)]
    for sampler in (alone, *shared):
        sampler.set_epoch(epoch)
    order = list(alone)
    drawn = [list(sampler) for sampler in shared]
    assert {len(one) for one in drawn} == {len(sampler) for sampler in shared} == {len(drawn[0])}
    assert set().union(*drawn) == set(order)
    for step in range(math.ceil(len(drawn[0]) / batch_size)):
        together = [x for one in drawn for x in one[step * batch_size : (step + 1) * batch_size]]
        batch = order[step * batch_size * ranks : (step + 1) * batch_size * ranks]
        assert set(together) == set(batch)
        assert len(together) < len(batch) + ranks


def test_two_processes_learn_as_one_in_one_folder(run_train, shared_pairs, tmp_path):
    settings = [*folder_data(shared_pairs), *TINY, "trainer.max_epochs=4"]
    settings += [
        "data.total_batch_size=8",
        "model.optimizer.lr=3e-4",
        "callbacks.early_stopping=null",
    ]
    run("train", *settings, *TWO, "name=two", folder=tmp_path)
    run_train(*settings, "name=one")
    (folder,) = (tmp_path / "outputs/two").iterdir()
    (one,) = (tmp_path / "outputs/one").iterdir()
    losses = [[row["train/loss"] for row in read_metrics(f)] for f in (folder, one)]
    assert np.abs(np.subtract(*losses)).max() < 0.1 * max(losses[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]
    assert {path.name for path in folder.iterdir()} == {path.name for path in one.iterdir()}


@pytest.mark.slow
def test_two_processes_validate_one_average(shared_pairs, tmp_path):
    """What an epoch logged is what its checkpoint comes to when it is judged again at the end."""
    settings = [
        *folder_data(shared_pairs), *TINY, "data.batch_size=2", "callbacks=ema",
        "callbacks.ema.decay=0.5", "trainer.precision=32-true", "callbacks.best.monitor=epoch",
    ]  # fmt: skip
    run("train", *settings, *TWO, "hydra.run.dir=ema", folder=tmp_path)
    figures = json.loads((tmp_path / "ema/result.json").read_text())["figures"]
    last = read_metrics(tmp_path / "ema")[-1]
    for name in ("val/score", "val/loss", "val/soft_dice"):
        assert figures[name] == pytest.approx(last[name], abs=1e-6)


@pytest.mark.slow  # two starts of two processes
def test_processes_started_by_torchrun_share_a_folder(shared_pairs, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += ["--master-port=29517", "-m", "flukeseg.train"]
    options = [*folder_data(shared_pairs), *TINY, *TWO, "name=torchrun"]
    refused = subprocess.run(
        [*torchrun, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert refused.returncode != 0
    assert "give them one folder" in refused.stderr
    assert not (tmp_path / "outputs").exists()
    done = subprocess.run(
        [*torchrun, *options, "hydra.run.dir=outputs/torchrun/one"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (tmp_path / "outputs/torchrun").iterdir()
    assert len(read_metrics(folder)) == 2


VALIDATE = """
import json, sys
import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.model.checkpoints import load_module
from pathlib import Path

checkpoint, root, found = sys.argv[1:]
data = FolderDataModule(root, val_count=5, size=(32, 64), batch_size=2, num_workers=0)
trainer = pl.Trainer(accelerator="cpu", devices=2, strategy=DDPStrategy(broadcast_buffers=False),
                     logger=False, enable_progress_bar=False, use_distributed_sampler=False)
(figures,) = trainer.validate(load_module(Path(checkpoint)), data, verbose=False)
if trainer.is_global_zero:
    Path(found).write_text(json.dumps(figures))
"""


@pytest.mark.slow
def test_two_processes_judge_an_odd_number_of_photos_as_one(tiny_runs, shared_pairs, tmp_path):
    checkpoint = find_checkpoint(tiny_runs[0])
    script, found = tmp_path / "validate.py", tmp_path / "found.json"
    script.write_text(VALIDATE)
    command = [sys.executable, str(script), str(checkpoint), str(shared_pairs), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    data = FolderDataModule(shared_pairs, val_count=5, size=(32, 64), batch_size=2, num_workers=0)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    with quiet_lightning():
        (alone,) = trainer.validate(load_module(checkpoint), data, verbose=False)
    together = json.loads(found.read_text())
    assert together.keys() == alone.keys()
    for name in ("dice", "boundary_iou", "missed", "false", "score", "soft_dice"):
        assert together[f"val/{name}"] == pytest.approx(alone[f"val/{name}"], abs=1e-6)


@pytest.mark.slow
def test_a_process_that_dies_brings_the_run_down(shared_pairs, tmp_path):
    options = [*folder_data(shared_pairs), *TINY, *TWO, "trainer.max_epochs=5000", "name=dies",
               "callbacks.early_stopping=null"]  # fmt: skip
    command = [sys.executable, "-m", "flukeseg.train", *options]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as main:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("outputs/dies/*/checkpoints/last.ckpt")):
            assert main.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = subprocess.run(["pgrep", "-P", str(main.pid)], capture_output=True, text=True)
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        assert main.wait(timeout=60) != 0


def everything(folder: Path) -> dict[str, bytes]:
    """Files of a prediction but for logs and the program's own; the table without its clock."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".flukeseg" not in path.parts and path.suffix not in (".log", ".csv")
    }
    with (folder / "predictions.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return files | {"table": json.dumps(rows).encode()}


def prediction(run_folder: Path, root: Path, output: str) -> list[str]:
    return [f"checkpoint={run_folder}", f"source={root / 'images'}", f"output={output}",
            "products=[coco,gallery]", "batch_size=2", "runtime=torch"]  # fmt: skip


def test_shards_come_to_what_one_run_does(run_predict, tiny_runs, shared_pairs, capsys):
    run_predict(*prediction(tiny_runs[0], shared_pairs, "whole"))
    shards = prediction(tiny_runs[0], shared_pairs, "shards")
    run_predict(*shards, "shard=2/3")
    run_predict(*shards, "shard=3/3")
    with pytest.raises(SystemExit):
        run_predict(*shards, "shard=merge")
    assert "4 photos are not done" in capsys.readouterr().err
    run_predict(*shards, "shard=1/3")
    for _ in range(2):  # merging can be repeated
        run_predict(*shards, "shard=merge")
    assert everything(Path("shards")) == everything(Path("whole"))
    journals = Path("shards/.flukeseg").glob("journal-*.jsonl")
    assert sorted(len(path.read_text().splitlines()) for path in journals) == [4, 4, 4]


@pytest.mark.slow
def test_two_processes_predict_what_one_does(run_predict, tiny_runs, shared_pairs, tmp_path):
    run_predict(*prediction(tiny_runs[0], shared_pairs, "whole"))
    run("predict", *prediction(tiny_runs[0], shared_pairs, "two"), *TWO, "num_workers=0",
        folder=tmp_path)  # fmt: skip
    assert everything(tmp_path / "two") == everything(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["0/3", "4/3", "third", "1/0"])
def test_a_shard_that_is_none_is_refused(run_predict, tiny_runs, shared_pairs, capsys, shard):
    with pytest.raises(SystemExit):
        run_predict(*prediction(tiny_runs[0], shared_pairs, "o"), f"shard={shard}")
    assert f"shard={shard}" in capsys.readouterr().err
