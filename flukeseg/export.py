"""A checkpoint for other runtimes: `python -m flukeseg.export checkpoint=RUN format=onnx`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import hydra
import numpy as np
import torch
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.data.photos import read_photo, resize_photo
from flukeseg.data.sources import find_sources
from flukeseg.data.synthetic import render
from flukeseg.errors import InputError, whole
from flukeseg.model.checkpoints import find_checkpoint, load_checkpoints, name_checkpoint
from flukeseg.model.conversion import Probability, save
from flukeseg.model.runtimes import FORMATS, Compute, Facts, load_exported
from flukeseg.model.segmenter import SegmentationModule

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-3
"""Of probabilities between a file and torch, both in float32."""

LEAST_DICE = 0.998
"""Mean, between the masks of 8-bit integers and of torch."""


def export(cfg: DictConfig) -> Path:
    """Write a checkpoint's network with normalisation and sigmoid inside, and see that it agrees.

    Returns:
        The file; OpenVINO's weights are in a `.bin` beside it.

    Raises:
        InputError: something in the configuration cannot be used, or the file does not give the
            probabilities that torch gives; it is then removed.
    """
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} must be one of {', '.join(FORMATS)}")
    checkpoint = find_checkpoint(cfg.checkpoint)
    module = load_checkpoints([checkpoint])
    if not isinstance(module, SegmentationModule):
        raise InputError(f"checkpoint={cfg.checkpoint} is exported already; give a .ckpt")
    path = Path(cfg.output or checkpoint.with_suffix(FORMATS[cfg.format]))
    if path.suffix != FORMATS[cfg.format]:
        raise InputError(f"output={path} must end in {FORMATS[cfg.format]}")
    facts = Facts(
        module.size, module.hparams["encoder"], float(cfg.threshold), name_checkpoint(checkpoint)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = None if cfg.int8 is None else calibration(cfg, module.size)
    save(module.network, path, cfg.format, facts.written(), photos)
    runtime = {"openvino": "openvino", "onnx": "onnx", "torchscript": "torch"}[cfg.format]
    compute, _ = load_exported(path, runtime, "32-true")
    if photos is None:
        difference = parity(module, compute)
        told = f"probabilities within {difference:.1e} of torch's on rendered flukes"
        agrees = difference <= LARGEST_DIFFERENCE
    else:
        dice = agreement(module, compute, photos)
        told = f"masks with a mean Dice of {dice:.4f} with torch's on {len(photos)} photos"
        agrees = dice >= LEAST_DICE
    if not agrees:
        for part in (path, path.with_suffix(".bin")):
            part.unlink(missing_ok=True)
        raise InputError(
            f"{path} gave {told}, which is too far off; it was removed. "
            + ("Leave int8 out" if cfg.int8 else f"Please report the encoder {facts.encoder}")
        )
    log.info("%s: %s", path, told)
    return path


def calibration(cfg: DictConfig, size: tuple[int, int]) -> list[np.ndarray]:
    """Return up to `cfg.calibrate_count` of the photos of `cfg.int8`, 1×3×H×W float32 in 0..1.

    Raises:
        InputError: there are none, or the format has no form of 8-bit integers here.
    """
    if cfg.format != "openvino":
        raise InputError(f"int8 is for format=openvino, not {cfg.format}")
    found = find_sources(cfg.int8)
    count = min(len(found), whole("calibrate_count", cfg.calibrate_count))
    chosen = np.linspace(0, len(found) - 1, count).round().astype(int)
    return [
        resize_photo(read_photo(found[i]), size).transpose(2, 0, 1)[None].astype(np.float32) / 255
        for i in chosen
    ]


def agreement(module: SegmentationModule, compute: Compute, photos: Sequence[np.ndarray]) -> float:
    """Return the mean Dice between the masks of torch in float32 and of a file."""
    reference = Probability(module.network.eval())
    each = []
    for photo in photos:
        with torch.inference_mode():
            expected = reference(torch.from_numpy(photo)).numpy() > 0.5
        found = compute(photo) > 0.5
        total = np.count_nonzero(expected) + np.count_nonzero(found)
        each.append(2 * np.count_nonzero(expected & found) / total if total else 1.0)
    return float(np.mean(each))


def parity(module: SegmentationModule, compute: Compute) -> float:
    """Return the largest difference from torch in float32, for other batches and sizes too."""
    height, width = module.size
    reference = Probability(module.network.eval())
    worst = 0.0
    for number, size in enumerate(((height, width), (height // 2, width), (height + 5, width + 9))):
        batch = np.stack([render((7, number, i), size).image for i in range(number + 1)])
        image = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            expected = reference(image).numpy()
        worst = max(worst, float(np.abs(compute(image.numpy()) - expected).max()))
    return worst


@hydra.main(version_base="1.3", config_path=str(command_line.CONF), config_name="export")
def main(cfg: DictConfig) -> None:
    """Export from the command line."""
    with command_line.told_in_a_sentence(), command_line.quiet_lightning():
        export(cfg)


if __name__ == "__main__":
    command_line.run(main)
