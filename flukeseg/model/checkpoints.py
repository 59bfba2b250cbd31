"""Checkpoint files -> what predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from flukeseg.errors import InputError
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import ProbabilityNetwork
from flukeseg.model.predictor import Predictor
from flukeseg.model.runtimes import (
    SUFFIXES,
    RuntimeNetwork,
    choose_runtime,
    compute_network,
    load_exported,
)
from flukeseg.model.tta import PLAIN, View


def load_predictor(
    paths: Sequence[Path],
    views: Sequence[View] = (PLAIN,),
    size: tuple[int, int] | None = None,
    runtime: str = "torch",
    precision: str | int = "auto",
) -> Predictor:
    """Load checkpoints or exported files; the predictions of several are averaged.

    Args:
        paths: at least one checkpoint or exported file.
        views: of test-time augmentation.
        size: (height, width) that photos are resized to; None is the size of training.
        runtime: what computes the networks, see `choose_runtime`.
        precision: of a runtime other than torch; torch's is the trainer's.

    Raises:
        InputError: a file cannot be loaded, the training sizes differ, or the runtime cannot
            compute the files.
    """
    forms = [SUFFIXES.get(path.suffix.lower(), "torch") for path in paths]
    names = {choose_runtime(runtime, form) for form in forms}
    if len(names) > 1:
        raise InputError(
            f"checkpoint={[str(path) for path in paths]} needs {' and '.join(sorted(names))}; "
            "average files that one runtime computes"
        )
    (name,) = names
    networks, sizes = zip(*(_load_network(path, name, precision) for path in paths), strict=True)
    for path, other in zip(paths, sizes, strict=True):
        if other != sizes[0]:
            raise InputError(
                f"checkpoint={path} was trained at {_format(other)}, {paths[0]} at "
                f"{_format(sizes[0])}; average checkpoints of one size"
            )
    return Predictor(networks, size or sizes[0], views, name)


def load_module(path: Path) -> SegmentationModule:
    """Load a checkpoint, in eval mode.

    Only tensors and plain values are loaded: a file with code in it is refused.

    Raises:
        InputError: the file is not a flukeseg checkpoint, or its weights are not finite.
    """
    try:
        module = SegmentationModule.load_from_checkpoint(
            path, map_location="cpu", weights_only=True,
            # in place of what the file says: it may name no function, no other file and no download
            _instantiator=None, start_from=None, encoder_weights=None,
        )  # fmt: skip
    except Exception as error:  # the unpickler raises anything on bytes that are no checkpoint
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError(
            f"checkpoint={path} cannot be loaded as a flukeseg checkpoint of tensors and plain "
            f"values, without code ({reason}); give one that flukeseg.train wrote"
        ) from error
    for name, tensor in module.network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"checkpoint={path} has weights that are not finite (first: {name}): its training "
                "diverged; give an earlier checkpoint, or train with a lower model.optimizer.lr"
            )
    return module.eval()


def _load_network(
    path: Path, runtime: str, precision: str | int
) -> tuple[nn.Module, tuple[int, int]]:
    """Load a file for a runtime, a checkpoint by converting it; return its training size too."""
    if path.suffix.lower() in SUFFIXES:
        compute, facts = load_exported(path, runtime, precision)
        return RuntimeNetwork(compute), facts.size
    module = load_module(path)
    if runtime == "torch":
        return ProbabilityNetwork(module.network), module.size
    return RuntimeNetwork(compute_network(module.network, runtime, precision)), module.size


def _format(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} × {height}"
