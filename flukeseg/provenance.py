"""What a run was made with: configuration, versions, seed, revision."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

import flukeseg

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pillow",
    "torchmetrics",
    "hydra-core",
)


def write_provenance(cfg: DictConfig, folder: Path) -> None:
    """Leave `config.yaml`, resolved, and `provenance.json` in a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    record = {
        "flukeseg": flukeseg.__version__,
        "git_revision": git_revision(),
        "seed": cfg.seed,
        "python": platform.python_version(),
        "processor": torch.cpu.get_capabilities().get("cpu_name") or platform.processor(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {package: version(package) for package in PACKAGES},
    }
    (folder / "provenance.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def git_revision() -> str | None:
    """Revision of the code, with `-dirty` where it was changed since; None outside a clone."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
