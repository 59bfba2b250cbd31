"""Runs that are resumed after something about them changed."""

import csv
import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from conftest import ROOT, TINY, read_metrics
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flukeseg.errors import InputError
from flukeseg.training.provenance import refuse_changes, write_provenance

FEW = [
    *TINY, "data=folder", "data.val_count=4", "callbacks.progress=null", "callbacks.sheets=null",
    "callbacks.early_stopping=null", "+trainer.enable_progress_bar=false",
]  # fmt: skip


@pytest.fixture
def train_few(run_train, shared_pairs):
    """Train a tiny network on the twelve pairs; overrides follow."""
    return lambda *overrides: run_train(*FEW, f"data.root={shared_pairs}", *overrides)


def test_a_moved_run_keeps_its_best_checkpoint(train_few, capsys):
    # the first epoch is the best, whatever the network learns
    settings = ["callbacks.best.monitor=epoch", "callbacks.best.mode=min"]
    train_few(*settings, "hydra.run.dir=here", "trainer.max_epochs=1")
    (first,) = Path("here/checkpoints").glob("epoch=000-*.ckpt")
    Path("here").rename("there")
    train_few(*settings, "hydra.run.dir=there", "trainer.max_epochs=2", "ckpt_path=last")
    assert f"going on with {Path('there').absolute()}\n" in capsys.readouterr().out
    assert len(read_metrics(Path("there"))) == 2
    result = json.loads(Path("there/result.json").read_text())
    assert result["checkpoint"] == f"checkpoints/{first.name}"
    assert {path.name for path in Path("there/checkpoints").iterdir()} == {first.name, "last.ckpt"}
    assert not Path("here").exists()


def test_a_second_run_in_a_folder_is_refused_and_nothing_changes(train_few, capsys):
    options = ["hydra.run.dir=here", "trainer.max_epochs=3", "+trainer.check_val_every_n_epoch=2"]
    train_few(*options)
    before = {path: path.read_bytes() for path in Path("here").glob("*.*") if path.is_file()}
    with Path("here/metrics.csv").open(newline="") as file:
        assert [row["val/score"] != "" for row in csv.DictReader(file)] == [False, True, False]
    with pytest.raises(SystemExit):
        train_few(*options, "seed=5")
    assert "here holds a run; go on with ckpt_path=last, or give another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


class BreakOff(pl.Callback):
    """Ends the run at a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise InputError("broken off")


def test_a_run_that_validates_twice_an_epoch_resumes_as_unbroken(train_few):
    """It ends at step 7 of four steps an epoch: after the validation amid the second."""
    settings = ["+trainer.val_check_interval=0.5", "trainer.max_epochs=3", "data.batch_size=2",
                "model.schedule=null"]  # fmt: skip
    stop = ["+callbacks.stop._target_=test_resuming.BreakOff", "+callbacks.stop.step=7"]
    train_few(*settings, "hydra.run.dir=unbroken")
    with pytest.raises(SystemExit):
        train_few(*settings, *stop, "hydra.run.dir=broken")
    train_few(*settings, "hydra.run.dir=broken", "ckpt_path=last")
    tables, results = [], []
    for folder in (Path("broken"), Path("unbroken")):
        tables.append(read_metrics(folder))
        results.append(json.loads((folder / "result.json").read_text()))
    assert tables[0] == tables[1]
    assert results[0] == results[1]


MODEL = """
model:
  _target_: flukeseg.model.segmenter.SegmentationModule
  encoder: seresnet34
  encoder_weights: imagenet
  start_from: null
  size: [192, 384]
  loss: {_target_: flukeseg.model.losses.BCEDiceLoss}
  optimizer: {_target_: torch.optim.Adam, _partial_: true, lr: 0.001}
  schedule: plateau
"""
FIRST_RUNS = {
    "data=folder data.root=pairs": """
data:
  _target_: flukeseg.data.datamodule.FolderDataModule
  root: pairs
  size: [192, 384]
  mask_threshold: 108
  val_count: 50
  folds: null
  fold: null
  batch_size: 16
  seed: 66
  test_root: null
""",
    "+data.start={_target_:flukeseg.data.start_size.StartSize,size:[96,192],epochs:10,then:[]}": """
data:
  _target_: flukeseg.data.datamodule.RenderedDataModule
  size: [192, 384]
  train_count: 400
  val_count: 50
  test_count: 100
  without: []
  batch_size: 16
  seed: 66
  test_root: null
  start: {_target_: flukeseg.data.dataset.Start, size: [96, 192], epochs: 10}
""",
    "data=mixed": """
data:
  _target_: flukeseg.data.mixture.MixedDataModule
  sources:
    rendered:
      _target_: flukeseg.data.mixture.Rendered
      share: 1
      augmentation: {_target_: flukeseg.data.augmentation.Augmentation, strength: 1.0}
  size: [192, 384]
  start: null
  train_count: 400
  batch_size: 16
  seed: 66
  test_root: null
""",
}
"""Sections `data` of the first runs of each kind, by the options that make such a run today."""


@pytest.mark.parametrize("options", FIRST_RUNS)
def test_the_first_runs_of_each_kind_can_be_resumed(tmp_path, options):
    """A key that is new is one that these lack: `provenance` says what they did."""
    augmentation = {"_target_": "flukeseg.data.augmentation.Augmentation", "strength": 1.0}
    cfg = yaml.safe_load(FIRST_RUNS[options] + MODEL)
    if "sources" not in cfg["data"]:
        cfg["data"]["augmentation"] = augmentation
    cfg |= {"name": "train", "seed": 66, "augmentation": augmentation}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(cfg))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        now = compose("train", [*options.split(), "folder=x"])
        other = compose("train", [*options.split(), "folder=x", "model.loss.dice_over=photo"])
    refuse_changes(now, tmp_path)
    with pytest.raises(InputError, match="dice_over=batch \\(now photo"):
        refuse_changes(other, tmp_path)


def test_a_resumed_run_says_what_its_first_part_was_made_with(tmp_path):
    cfg, path = OmegaConf.create({"seed": 1}), tmp_path / "provenance.json"
    write_provenance(cfg, tmp_path)
    now = json.loads(path.read_text())
    write_provenance(cfg, tmp_path, is_resumed=True)
    assert json.loads(path.read_text()) == now
    old = {**now, "git_revision": "abc", "packages": {"torch": "1.0"}}
    path.write_text(json.dumps(old))
    for _ in range(2):
        write_provenance(cfg, tmp_path, is_resumed=True)
        assert json.loads(path.read_text()) == {**now, "before": [old]}
    write_provenance(cfg, tmp_path)  # anew
    assert json.loads(path.read_text()) == now
    path.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        write_provenance(cfg, tmp_path, is_resumed=True)
