"""Loading processes that are spawned, as on Windows and macOS: all they are given must pickle."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import TINY

SPAWNED = """
import multiprocessing, runpy, sys
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    runpy.run_module("flukeseg." + sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run(folder: Path, job: str, *options: str) -> str:
    program = folder / "spawned.py"
    program.write_text(SPAWNED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), job, *options],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_predicting_with_a_spawned_process(tmp_path, shared_pairs, tiny_runs):
    options = ("num_workers=1", "runtime=torch", "trainer.accelerator=cpu")
    told = run(
        tmp_path, "predict", f"checkpoint={tiny_runs[0]}", f"source={shared_pairs / 'images'}",
        "output=out", *options,
    )  # fmt: skip
    assert "12 photos: " in told
    assert len(list((tmp_path / "out/mask").glob("*.png"))) == 12


def test_training_with_a_spawned_process(tmp_path, shared_pairs):
    own = [
        "+data.sources.own._target_=flukeseg.data.mixture_sources.LabelledSource",
        f"+data.sources.own.root={shared_pairs}",
        "+data.sources.own.share=1",
        "+data.sources.own.val_count=2",
        "+data.sources.own.augmentation._target_=flukeseg.data.augmentation.Augmentation",
    ]
    few = ["data=mixed", "data.train_count=8", *own, *TINY, "data.num_workers=1"]
    run(tmp_path, "train", *few, "+trainer.fast_dev_run=2", "hydra.run.dir=run")
    result = json.loads((tmp_path / "run/result.json").read_text(encoding="utf-8"))
    assert result["figures"]["val/loss"] > 0
