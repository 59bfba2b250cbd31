"""Write a checkpoint for other runtimes: `python -m flukeseg.export checkpoint=RUN format=onnx`."""

from __future__ import annotations

import logging
from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.model.checkpoint_files import find_checkpoint, name_checkpoint
from flukeseg.model.checkpoints import AnyPredictor, load_module, load_predictor
from flukeseg.model.conversion import save
from flukeseg.model.exported import FORMATS, SUFFIXES, Facts
from flukeseg.model.network import ProbabilityNetwork
from flukeseg.model.predictor import Predictor
from flukeseg.pretrained import NETWORKS
from flukeseg.rendering import render
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-3
"""Of probabilities between a file and torch, both in float32."""


def export(cfg: DictConfig) -> Path:
    """Write a checkpoint's network, with normalisation and sigmoid, and check that it agrees.

    Returns:
        The file; OpenVINO's weights are in a `.bin` beside it.

    Raises:
        InputError: something in the configuration cannot be used, or the file's probabilities
            differ from torch's; it is then removed.
    """
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} must be one of {', '.join(FORMATS)}")
    checkpoint = find_checkpoint(cfg.checkpoint)
    if checkpoint.suffix.lower() in SUFFIXES:
        raise InputError(f"checkpoint={cfg.checkpoint} is exported already; give a .ckpt")
    module = load_module(checkpoint, command_line.several(cfg.network or []))
    beside = Path(checkpoint.name) if cfg.checkpoint in NETWORKS else checkpoint
    path = Path(cfg.output or beside.with_suffix(FORMATS[cfg.format]))
    if path.suffix != FORMATS[cfg.format]:
        raise InputError(f"output={path} must end in {FORMATS[cfg.format]}")
    facts = Facts(
        module.size,
        module.hparams.get("network") or module.hparams["encoder"],
        MaskSettings(cfg.threshold).threshold,
        name_checkpoint(checkpoint),
        module.network.in_channels,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output={path} cannot be written ({error.strerror})") from error
    try:
        save(module.network, path, cfg.format, facts.written())
        runtime = {"openvino": "openvino", "onnx": "onnx", "torchscript": "torch"}[cfg.format]
        exported = load_predictor([path], runtime=runtime, precision="32-true")
        networks, channels = [ProbabilityNetwork(module.network)], module.network.in_channels
        reference = Predictor(networks, module.size, in_channels=channels)
        difference = parity(reference, exported)
    except InputError:
        raise
    except Exception as error:  # tracers and runtimes raise what they like
        _remove(path)
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"format={cfg.format} cannot hold {module.network.description} "
            f"for every size ({reason}); give format=torchscript, or predict with the "
            "checkpoint itself"
        ) from error
    if difference > LARGEST_DIFFERENCE:
        _remove(path)
        raise InputError(
            f"{path} gives probabilities that differ from torch's by {difference:.1e}, too "
            f"much; it was removed: please report {module.network.description}"
        )
    log.info("%s: within %.1e of torch on rendered flukes of three sizes", path, difference)
    return path


def _remove(path: Path) -> None:
    for part in (path, path.with_suffix(".bin")):
        part.unlink(missing_ok=True)


def parity(reference: Predictor, exported: AnyPredictor) -> float:
    """Return the largest difference of probabilities on rendered flukes of three sizes."""
    height, width = reference.size
    worst = 0.0
    for number, size in enumerate(((height, width), (height // 2, width), (height + 5, width + 9))):
        drawn = [render((7, number, i), size) for i in range(number + 1)]
        photos = [np.dstack([one.image, 255 * one.mask]) for one in drawn]
        images = np.moveaxis(np.stack(photos), -1, 1)[:, : reference.in_channels]
        for one, two in zip(exported.see(images), reference.see(images), strict=True):
            worst = max(worst, float(np.abs(one.probability - two.probability).max()))
    return worst


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="export")
def main(cfg: DictConfig) -> None:
    """Export from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        export(cfg)


if __name__ == "__main__":
    command_line.run(main)
