"""Write a checkpoint for other runtimes: `python -m flukeseg.export checkpoint=RUN format=onnx`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import InputError, require_bool
from flukeseg.installation import CONF
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.metrics import dice
from flukeseg.masks.second_look import overview_size, second_size
from flukeseg.model.checkpoint_files import find_checkpoint, name_checkpoint
from flukeseg.model.checkpoints import AnyPredictor, load_module, load_predictor
from flukeseg.model.conversion import save
from flukeseg.model.exported import FORMATS, SUFFIXES, Facts
from flukeseg.model.network import ProbabilityNetwork
from flukeseg.model.predictor import Predictor
from flukeseg.pretrained import NETWORKS
from flukeseg.rendering import Rendering, render, render_not_fluke
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-3
"""Of probabilities between a file and torch, both in float32."""

CALIBRATION_PHOTOS = (20, 4)
"""Renderings with and without a fluke on which the ranges of an int8 file's layers are measured."""

CHECK_PHOTOS = 12
"""Other renderings, of each size, on which the masks of an int8 file are compared with torch's."""

LEAST_FOUND = 0.9
"""Dice of torch's mask with the drawn one, of renderings that count. Where torch misses the fluke,
its probabilities are near the threshold, and the smallest change makes another mask."""

LEAST_MEAN, LEAST_WORST = 0.998, 0.99
"""Dice of an int8 file's masks with torch's: mean over renderings, and of each."""


def export(cfg: DictConfig) -> Path:
    """Write a checkpoint's network, with normalisation and sigmoid, and check that it agrees.

    Returns:
        The file; OpenVINO's weights are in a `.bin` beside it.

    Raises:
        InputError: something in the configuration cannot be used, or the file's probabilities, or
            masks of an int8 file, differ from torch's; it is then removed.
    """
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} must be one of {', '.join(FORMATS)}")
    if require_bool("int8", cfg.int8) and cfg.format != "openvino":
        raise InputError(f"int8=true does not go with format={cfg.format}; give format=openvino")
    checkpoint = find_checkpoint(cfg.checkpoint)
    if checkpoint.suffix.lower() in SUFFIXES:
        raise InputError(f"checkpoint={cfg.checkpoint} is exported already; give a .ckpt")
    module = load_module(checkpoint, command_line.several(cfg.network or []))
    beside = Path(checkpoint.name) if cfg.checkpoint in NETWORKS else checkpoint
    ending = "-int8" if cfg.int8 else ""
    path = Path(cfg.output or beside.with_name(beside.stem + ending + FORMATS[cfg.format]))
    if path.suffix != FORMATS[cfg.format]:
        raise InputError(f"output={path} must end in {FORMATS[cfg.format]}")
    facts = Facts(
        module.size,
        module.hparams.get("network") or module.hparams["encoder"],
        MaskSettings(cfg.threshold).threshold,
        name_checkpoint(checkpoint),
        module.network.in_channels,
        cfg.int8,
        module.hparams.get("learnt_from", ""),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output={path} cannot be written ({error.strerror})") from error
    channels = module.network.in_channels
    try:
        photos = None
        if cfg.int8:
            drawn = [
                *draw((1,), CALIBRATION_PHOTOS[0], module.size, channels),
                *draw((1,), CALIBRATION_PHOTOS[1], module.size, channels, render_not_fluke),
            ]
            photos = np.stack([photo for photo, _ in drawn]).astype(np.float32) / 255
        save(module.network, path, cfg.format, facts.written(), photos)
        runtime = {"openvino": "openvino", "onnx": "onnx", "torchscript": "torch"}[cfg.format]
        exported = load_predictor([path], runtime=runtime, precision="32-true")
        networks = [ProbabilityNetwork(module.network)]
        reference = Predictor(networks, module.size, in_channels=channels)
        if cfg.int8:
            found, wrong = compare_masks(reference, exported, facts.threshold)
        else:
            found, wrong = compare_probabilities(reference, exported)
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
    if wrong:
        _remove(path)
        raise InputError(f"{path} {found}, {wrong}")
    log.info("%s %s", path, found)
    return path


def _remove(path: Path) -> None:
    for part in (path, path.with_suffix(".bin")):
        part.unlink(missing_ok=True)


def compare_probabilities(reference: Predictor, exported: AnyPredictor) -> tuple[str, str]:
    """Return how a file's probabilities differ from torch's, and, where too much, what to do."""
    height, width = reference.size
    worst = 0.0
    for number, size in enumerate(((height, width), (height // 2, width), (height + 5, width + 9))):
        drawn = draw((7, number), number + 1, size, reference.in_channels)
        images = np.stack([photo for photo, _ in drawn])
        for one, two in zip(exported.see(images), reference.see(images), strict=True):
            worst = max(worst, float(np.abs(one.probability - two.probability).max()))
    found = f"differs from torch by {worst:.1e} on rendered flukes of three sizes"
    if worst <= LARGEST_DIFFERENCE:
        return found, ""
    return found, "too much; it was removed: please report it, with the encoder and architecture"


def compare_masks(
    reference: Predictor, exported: AnyPredictor, threshold: float
) -> tuple[str, str]:
    """Do as `compare_probabilities` by masks, at the sizes of first and second looks."""
    close = second_size(reference.size)
    values = []
    for number, size in enumerate((reference.size, close, overview_size(close))):
        for photo, mask in draw((8, number), CHECK_PHOTOS, size, reference.in_channels):
            one, two = (
                predictor.see(photo[None])[0].probability > threshold
                for predictor in (exported, reference)
            )
            if dice(two, mask) >= LEAST_FOUND:
                values.append(dice(one, two))
    if not values:
        return "cannot be checked", (
            "as the network finds no rendered fluke; it was removed: export it without int8=true"
        )
    found = (
        f"has masks with a Dice of {np.mean(values):.4f} to torch's, {min(values):.4f} at worst, "
        f"on {len(values)} rendered flukes of three sizes"
    )
    if np.mean(values) >= LEAST_MEAN and min(values) >= LEAST_WORST:
        return found, ""
    return found, (
        f"less than {LEAST_MEAN} or {LEAST_WORST}; it was removed: export it without int8=true"
    )


def draw(
    seed: tuple[int, ...],
    count: int,
    size: tuple[int, int],
    in_channels: int,
    renderer: Callable[..., Rendering] = render,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rendered photos C×H×W uint8, with their mask as a fourth channel, and masks H×W."""
    for number in range(count):
        drawn = renderer((*seed, number), size)
        photo = np.dstack([drawn.image, 255 * drawn.mask])
        yield np.moveaxis(photo, -1, 0)[:in_channels], drawn.mask > 0


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="export")
def main(cfg: DictConfig) -> None:
    """Export from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        export(cfg)


if __name__ == "__main__":
    command_line.run(main)
