"""Pictures rendered on the spot, and the job run as from the command line."""

from __future__ import annotations

import csv
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, settings
from torch import nn

from flukeseg import command_line, evaluate, export, predict, train
from flukeseg.images.reading import find_photos, read_mask, read_photo
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.model.module import SegmentationModule
from flukeseg.rendering import render

# networks this small lose more to threads than they gain, above all on a busy machine; and the
# programs that tests start must add up in the same order
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["FLUKESEG_CACHE_MB"] = "0"  # nothing is left in the home of whoever runs the tests

# absl, which tensorboard imports, closes the stream that was stderr then as soon as Hydra sets up
# logging, unless it is stderr still: under pytest, the file that captures every later test's
with suppress(ImportError):
    import absl.logging

    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

# a busy machine is no failure
settings.register_profile("default", deadline=None)
settings.load_profile("default")
# of tests/test_fuzz.py: pytest tests/test_fuzz.py --hypothesis-profile=long
settings.register_profile(
    "long", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck)
)

ROOT = Path(__file__).parent.parent
SIZE = (64, 128)
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml"))

TINY = [
    "data.size=[32,64]",
    "data.num_workers=0",
    "data.batch_size=4",
    "model.encoder=test_resnet",
    "model.encoder_weights=null",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
]
"""Overrides that make any experiment a matter of seconds."""


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = {path.name for path in ROOT.iterdir()}
    yield
    assert {path.name for path in ROOT.iterdir()} <= before | {".hypothesis", ".pytest_cache"}


def write_rgb(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_pairs(root: Path, count: int, size: tuple[int, int] = SIZE, seed: int = 99) -> list[str]:
    """Write rendered pairs named fluke_00, fluke_01, …; return their stems."""
    stems = [f"fluke_{i:02d}" for i in range(count)]
    for i, stem in enumerate(stems):
        picture = render((seed, i), size)
        write_rgb(root / "images" / f"{stem}.jpg", picture.image)
        write_rgb(root / "masks" / f"{stem}.png", picture.mask * 255)
    return stems


@pytest.fixture(scope="session")
def shared_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pairs, to be read only."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 12)
    return root


def run_job(job: ModuleType, *overrides: str) -> None:
    """Run a job's module as from the command line, in the current directory."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [job.__name__, *overrides])
        try:
            command_line.run(job.main)
        finally:
            close_logs()


def close_logs() -> None:
    """Close what Hydra logs to: a later test would open it anew, in a folder that is deleted."""
    for handler in [*logging.getLogger().handlers]:
        if isinstance(handler, logging.FileHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()


@pytest.fixture
def run_train(tmp_path, monkeypatch):
    """Run the training job with command-line overrides, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    return partial(run_job, train)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Rows of a run's metrics.csv, without the clock."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory, shared_pairs: Path) -> tuple[Path, Path]:
    """Two run folders, each with a network that has seen a few flukes; to be read only."""
    pairs = [
        (
            resize_photo(read_photo(photo), (32, 64)),
            resize_mask(read_mask(shared_pairs / "masks" / f"{photo.stem}.png"), (32, 64)),
        )
        for photo in find_photos(shared_pairs / "images")[:8]
    ]
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2) / 255
    targets = torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None].float()
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = SegmentationModule("test_resnet", size=(32, 64))
        optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
        for _ in range(30):
            optimizer.zero_grad()
            module.loss(module(images), targets)["loss"].backward()
            optimizer.step()
        trainer.strategy.connect(module)
        runs.append(tmp_path_factory.mktemp("run"))
        trainer.save_checkpoint(runs[-1] / f"checkpoints/epoch=00{seed}-dice=0.9000.ckpt")
        # whoever takes this one instead of the best will not get far
        (runs[-1] / "checkpoints/last.ckpt").write_text("no checkpoint")
    return runs[0], runs[1]


class DarkIsFluke(nn.Module):
    """Finds what is darker than grey: on every machine the same, as no trained network is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return -12 * image.mean(1, keepdim=True)


@pytest.fixture(scope="session")
def dark_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript file of `DarkIsFluke`, and beside it one for ONNX Runtime."""
    root = tmp_path_factory.mktemp("dark")
    module = SegmentationModule(network=DarkIsFluke, size=(64, 128))
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(root / "dark.ckpt")
    given = f"checkpoint={root}/dark.ckpt", "network=conftest.DarkIsFluke"
    for kind, name in (("torchscript", "dark.pt"), ("onnx", "dark.onnx")):
        run_job(export, *given, f"format={kind}", f"output={root / name}")
    return root / "dark.pt"


def silhouette(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A rendered fluke, dark on a bright sea."""
    mask = render((99, seed), size).mask
    return np.repeat(np.where(mask > 0, 40, 200).astype(np.uint8)[..., None], 3, axis=2)


def frame_with_a_small_fluke(seed: int) -> np.ndarray:
    """A photo of which a silhouette fills a quarter of the width: worth a second look."""
    frame = np.full((256, 512, 3), 200, np.uint8)
    frame[100:164, 150:278] = silhouette(seed, (64, 128))
    return frame


def predict_with(*overrides: str) -> None:
    """Run the prediction job with command-line overrides, in the current directory."""
    run_job(predict, "num_workers=0", "trainer.accelerator=cpu", "runtime=torch", *overrides)


@pytest.fixture
def run_predict(tmp_path, monkeypatch):
    """Run the prediction job with command-line overrides, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return predict_with


@pytest.fixture
def run_evaluate(tmp_path, monkeypatch):
    """Run the evaluation job with command-line overrides, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    return partial(run_job, evaluate, "runtime=torch")
