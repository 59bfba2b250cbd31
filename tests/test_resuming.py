"""Runs that are resumed after something about them changed."""

import json
from pathlib import Path

import pytest
from conftest import TINY, read_metrics

FEW = [
    *TINY, "data=folder", "data.val_count=4", "callbacks.progress=null", "callbacks.sheets=null",
    "callbacks.early_stopping=null", "+trainer.enable_progress_bar=false",
]  # fmt: skip


@pytest.fixture
def train_few(run_train, shared_pairs):
    """Train a tiny network on the twelve pairs; overrides follow."""
    return lambda *overrides: run_train(*FEW, f"data.root={shared_pairs}", *overrides)


def test_a_moved_run_keeps_its_best_checkpoint(train_few):
    # the first epoch is the best, whatever the network learns
    settings = ["callbacks.best.monitor=epoch", "callbacks.best.mode=min"]
    train_few(*settings, "hydra.run.dir=here", "trainer.max_epochs=1")
    (first,) = Path("here/checkpoints").glob("epoch=000-*.ckpt")
    Path("here").rename("there")
    train_few(*settings, "hydra.run.dir=there", "trainer.max_epochs=2", "ckpt_path=last")
    assert len(read_metrics(Path("there"))) == 2
    result = json.loads(Path("there/result.json").read_text())
    assert result["checkpoint"] == f"checkpoints/{first.name}"
    assert {path.name for path in Path("there/checkpoints").iterdir()} == {first.name, "last.ckpt"}
    assert not Path("here").exists()
