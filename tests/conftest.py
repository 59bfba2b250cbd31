"""Pictures rendered on the spot, and the job's own configuration."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import flukeseg.train  # noqa: F401  registers the run_dir resolver
from flukeseg.data.synthetic import render

ROOT = Path(__file__).parent.parent
SIZE = (64, 128)

TINY = [
    "data.size=[32,64]",
    "data.num_workers=0",
    "data.batch_size=4",
    "model.encoder=test_resnet",
    "model.encoder_weights=null",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
]
"""Overrides that make any experiment a matter of seconds."""


def write_rgb(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_pairs(root: Path, count: int, size: tuple[int, int] = SIZE) -> list[str]:
    """Write rendered pairs named fluke_00, fluke_01, …; return their stems."""
    stems = [f"fluke_{i:02d}" for i in range(count)]
    for i, stem in enumerate(stems):
        picture = render((99, i), size)
        write_rgb(root / "images" / f"{stem}.jpg", picture.image)
        write_rgb(root / "masks" / f"{stem}.png", picture.mask * 255)
    return stems


@pytest.fixture(scope="session")
def shared_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten pairs, to be read only."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 10)
    return root


def configure(overrides: list[str], folder: Path) -> DictConfig:
    """Compose the training configuration as the command line would, for a run in `folder`."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides, return_hydra_config=True)
    cfg.hydra.runtime.output_dir = str(folder)
    OmegaConf.set_readonly(cfg.hydra, False)
    resolved = OmegaConf.to_container(cfg, resolve=False)
    hydra_node = resolved.pop("hydra")
    text = OmegaConf.to_yaml(OmegaConf.create(resolved))
    del hydra_node
    return OmegaConf.create(text.replace("${hydra:runtime.output_dir}", str(folder)))
