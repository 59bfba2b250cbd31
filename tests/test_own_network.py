"""A network of one's own: trained, stored, and built again only where its class is named again."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY, predict_with, run_job, write_rgb

from flukeseg import Segmenter, evaluate, export, predict, train
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module, load_predictor
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import FlukeNetwork
from flukeseg.model.weights import IMAGENET
from flukeseg.rendering import render

NETWORK = """
from pathlib import Path

import pytorch_lightning
import torch

from flukeseg.data.cache import CachedPhotos
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.rendered_pictures import RenderedFlukes

Path("imported").touch()


class Small(torch.nn.Module):
    def __init__(self, width=4, outputs=1):
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, width, 3, padding=1)
        self.head = torch.nn.Conv2d(width, outputs, 1)

    def forward(self, image):
        return self.head(self.encoder(image).relu())


class LabPhotos(FlukeDataModule):
    def setup(self, stage=None):
        photos = RenderedFlukes(6, self.size, 1).cached()
        names, (height, width) = photos.names, self.size
        assert photos.photos.shape == (6, height, width, 3)
        known, held = slice(2, None), slice(2)
        self.train_set = self._training_set(
            CachedPhotos(names[known], photos.photos[known].numpy(), photos.masks[known].numpy())
        )
        self.val_set = self._validation_set(
            CachedPhotos(names[held], photos.photos[held].numpy(), photos.masks[held].numpy())
        )


class LargestError(pytorch_lightning.Callback):
    def on_validation_batch_end(self, trainer, module, outputs, batch, *_):
        wrong = (outputs["predicted"] != (batch["mask"][:, 0] > 0.5)).float().mean((1, 2))
        module.log("val/largest_error", wrong.max(), reduce_fx="max", batch_size=len(wrong))


class Pair(Small):
    def forward(self, image):
        return super().forward(image), image
"""
NAMED = "model.network._target_=lab_networks.Small"
DATA = (
    "data.train_count=4",
    "data.val_count=2",
    "data.test_count=1",
    *TINY,
    "trainer.max_epochs=1",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with a module of somebody's own and a run of its network."""
    root = tmp_path_factory.mktemp("lab")
    (root / "lab_networks.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(root)
        run_job(
            train, *DATA, NAMED, "+model.network.width=6", "model.encoder_lr_scale=0.5",
            "callbacks=freeze", "hydra.run.dir=run",
        )  # fmt: skip
        write_rgb(root / "photo.png", render((1, 1), (40, 70)).image)
    return root


@pytest.fixture
def here(lab, monkeypatch):
    """The folder as a new process finds it: nothing of it is imported."""
    monkeypatch.chdir(lab)
    monkeypatch.syspath_prepend(lab)
    monkeypatch.delitem(sys.modules, "lab_networks", raising=False)
    Path("imported").unlink(missing_ok=True)
    return lab


JOBS = {
    "predict": (predict, "source=photo.png", "num_workers=0", "trainer.accelerator=cpu",
                "runtime=torch"),
    "evaluate": (evaluate, "data=synthetic", "data.test_count=1", "photo_size=[40,70]",
                 "num_workers=0", "trainer.accelerator=cpu", "runtime=torch"),
    "export": (export, "format=torchscript"),
}  # fmt: skip


@pytest.mark.parametrize("job", JOBS)
def test_a_checkpoint_runs_only_a_class_that_is_named_again(here, capsys, job):
    run, *options = JOBS[job]
    output = f"output={job}.pt"
    for others in ([], ["network=lab_networks.Pair"]):
        with pytest.raises(SystemExit):
            run_job(run, "checkpoint=run", output, *options, *others)
        said = capsys.readouterr().err
        assert "lab_networks.Small" in said
        assert "name the class again with network=" in said
        assert not Path("imported").exists()
    run_job(run, "checkpoint=run", output, *options, "network=lab_networks.Small")
    assert Path(f"{job}.pt").exists()


def test_weights_options_and_size_come_from_the_checkpoint(here, tiny_runs):
    path = find_checkpoint("run")
    module = load_module(path, ["lab_networks.Small"])
    assert module.network.unet.head.weight.shape == (1, 6, 1, 1)
    # of ImageNet, whatever the encoder is that takes no part
    other = FlukeNetwork("tf_efficientnet_lite0", own=torch.nn.Identity)
    assert other.mean.flatten().tolist() == pytest.approx(IMAGENET[0])
    assert module.network.std.flatten().tolist() == pytest.approx(IMAGENET[1])
    own = type(module.network.unet)
    assert load_module(path, [own]).size == (32, 64)
    both = load_predictor([path, find_checkpoint(tiny_runs[0])], classes=[own])
    assert both(torch.rand(1, 3, 30, 50)).probability.shape == (1, 1, 30, 50)
    segmenter = Segmenter.from_checkpoint("run", networks=[own], runtime="torch")
    assert segmenter("photo.png").size == (40, 70)
    start = {"network": own, "network_options": {"width": 6}, "start_from": str(path)}
    again = SegmentationModule(size=(32, 64), **start).eval()
    image = torch.rand(1, 3, 32, 64)
    assert torch.equal(again(image), module(image))


def test_a_checkpoint_loaded_by_lightning_imports_nothing(here):
    with pytest.raises(InputError, match="must be a class"):
        SegmentationModule.load_from_checkpoint(find_checkpoint("run"), weights_only=True)
    assert not Path("imported").exists()


def test_options_of_a_checkpoint_are_plain(here, tmp_path):
    content = torch.load(find_checkpoint("run"), weights_only=True)
    content["hyper_parameters"]["network_options"] = {"width": {"_target_": "os.getcwd"}}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"model\.network\.width"):
        load_module(tmp_path / "other.ckpt", ["lab_networks.Small"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["model.network._target_=lab_networks.Pair"], "must give logits"),
        ([NAMED, "+model.network.outputs=2"], "must give logits"),
        ([NAMED, "+model.network.depth=2"], "cannot be built"),
        (["model.network._target_=lab_networks.None"], "cannot be imported"),
        (["model.network._target_=pathlib.Path"], "subclass of torch.nn.Module"),
        (["model.network=lab_networks.Small"], "given as model.network._target_="),
        (["+model.network.width=2"], "is an option of no class"),
    ],
    ids=str,
)
def test_what_is_no_such_network_is_a_sentence(here, capsys, options, sentence):
    with pytest.raises(SystemExit):
        run_job(train, *DATA, *options)
    assert sentence in capsys.readouterr().err


def test_data_and_metric_of_ones_own(here):
    run_job(
        train, *TINY, "data=synthetic", "data._target_=lab_networks.LabPhotos",
        "trainer.max_epochs=1",
        "~data.train_count", "~data.val_count", "~data.test_count", "~data.without",
        "~data.not_flukes", "~data.species", "~data.framing", "~data.keep", "~data.keep_count",
        "+callbacks.largest._target_=lab_networks.LargestError", "hydra.run.dir=recipes",
        "callbacks.best.monitor=val/largest_error", "callbacks.best.mode=min",
    )  # fmt: skip
    (row,) = csv.DictReader(Path("recipes/metrics.csv").read_text().splitlines())
    assert 0 <= float(row["val/largest_error"]) <= 1


def test_an_encoder_that_is_not_there_is_a_sentence(tiny_runs):
    module = SegmentationModule(
        size=(32, 64), network=torch.nn.Conv2d, encoder_lr_scale=0.1,
        network_options={"in_channels": 3, "out_channels": 1, "kernel_size": 1},
    )  # fmt: skip
    with pytest.raises(InputError, match="no part called encoder"):
        module.configure_optimizers()


def test_a_resumed_run_goes_on(here):
    predict_with("checkpoint=run", "network=lab_networks.Small", "source=photo.png", "output=m")
    run_job(
        train, *DATA, NAMED, "+model.network.width=6", "model.encoder_lr_scale=0.5",
        "callbacks=freeze", "hydra.run.dir=run", "trainer.max_epochs=2", "ckpt_path=last",
    )  # fmt: skip
    assert len(Path("run/metrics.csv").read_text().splitlines()) == 3
