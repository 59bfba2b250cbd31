"""Checkpoint files -> what predicts.

Torch and what builds networks take seconds to import. A network that was converted for another
runtime before needs neither, so functions that do import them themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from flukeseg.errors import InputError, require_size
from flukeseg.model.checkpoint_files import why_unreadable
from flukeseg.model.exported import SUFFIXES, Facts, load_exported, load_kept
from flukeseg.model.runtimes import Compute, RuntimePredictor, choose_runtime
from flukeseg.model.tta import PLAIN, View

if TYPE_CHECKING:
    from torch import nn

    from flukeseg.model.module import SegmentationModule
    from flukeseg.model.predictor import Predictor

SIZE_ERRORS = (AssertionError, RuntimeError, ValueError)
"""What networks raise at sizes that they do not take."""

Classes: TypeAlias = "Collection[str | type[nn.Module]]"
"""Classes of networks of one's own, or their names."""

AnyPredictor: TypeAlias = "Predictor | RuntimePredictor"


def runtime_of(paths: Sequence[Path], runtime: str) -> str:
    """Return what computes checkpoints or exported files, see `choose_runtime`.

    Raises:
        InputError: it cannot compute the files, or they need different ones.
    """
    forms = [SUFFIXES.get(path.suffix.lower(), "torch") for path in paths]
    names = {choose_runtime(runtime, form) for form in forms}
    if len(names) > 1:
        raise InputError(
            f"checkpoint={[str(path) for path in paths]} needs {' and '.join(sorted(names))}; "
            "average files that one runtime computes"
        )
    return names.pop()


def load_predictor(
    paths: Sequence[Path],
    views: Sequence[View] = (PLAIN,),
    size: tuple[int, int] | None = None,
    runtime: str = "torch",
    precision: str | int = "auto",
    classes: Classes = (),
) -> AnyPredictor:
    """Load checkpoints or exported files; the predictions of several are averaged.

    Args:
        paths: at least one checkpoint or exported file.
        views: of test-time augmentation.
        size: (height, width) that photos are resized to; None is the size of training.
        runtime: what computes the networks, see `choose_runtime`.
        precision: of a runtime other than torch; torch's is the trainer's.
        classes: see `load_module`.

    Raises:
        InputError: a file cannot be loaded, the training sizes or channels differ, the runtime
            cannot compute the files, or a network does not take the size.
    """
    name = runtime_of(paths, runtime)
    load = (
        partial(_load_torch, classes=classes)
        if name == "torch"
        else partial(_load_runtime, runtime=name, precision=precision, classes=classes)
    )
    networks, facts = zip(*map(load, paths), strict=True)
    sizes, channels = [one.size for one in facts], [one.in_channels for one in facts]
    for path, other, count in zip(paths, sizes, channels, strict=True):
        if other != sizes[0]:
            raise InputError(
                f"checkpoint={path} was trained at {_format(other)}, {paths[0]} at "
                f"{_format(sizes[0])}; average checkpoints of one size"
            )
        if count != channels[0]:
            raise InputError(
                f"checkpoint={path} takes photos of {count} channels, {paths[0]} of {channels[0]}; "
                "average checkpoints of the same model.in_channels"
            )
    predictor: AnyPredictor
    if name == "torch":
        from flukeseg.model.predictor import Predictor

        predictor = Predictor(networks, size or sizes[0], views, channels[0])
    else:
        # masks differ a little, so that outputs say it
        name += " int8" if any(one.int8 for one in facts) else ""
        predictor = RuntimePredictor(networks, size or sizes[0], views, name, channels[0])
    if predictor.size != sizes[0] or any(view.name.startswith("large") for view in views):
        _check_size(predictor, sizes[0])
    return predictor


def load_module(path: Path, classes: Classes = ()) -> SegmentationModule:
    """Load a checkpoint, in eval mode.

    Only tensors and plain values are loaded: a file with code in it is refused. So is one whose
    network is of a class that is not named again: a file alone must not decide which code runs.

    Args:
        path: of the checkpoint.
        classes: of networks of one's own, or their names, that may be imported and built.

    Raises:
        InputError: the file is not a flukeseg checkpoint, its network is of a class that is not
            among `classes`, its weights are not finite, or its size is none.
    """
    import torch

    from flukeseg.model.module import SegmentationModule

    own = _own_class(path, classes)
    try:
        module = SegmentationModule.load_from_checkpoint(
            path, map_location="cpu", weights_only=True,
            # in place of what the file says: it may name no function, no other file and no download
            _instantiator=None, start_from=None, encoder_weights=None, network=own,
        )  # fmt: skip
    except Exception as error:  # the unpickler raises anything on bytes that are no checkpoint
        raise InputError(
            f"checkpoint={path} cannot be loaded as a flukeseg checkpoint of tensors and plain "
            f"values, without code ({why_unreadable(error)}); give one that flukeseg.train wrote"
        ) from error
    require_size(f"checkpoint={path}: size", module.size)
    for name, tensor in module.network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"checkpoint={path} has weights that are not finite (first: {name}): its training "
                "diverged; give an earlier checkpoint, or train with a lower model.optimizer.lr"
            )
    return module.eval()


def _check_size(predictor: AnyPredictor, trained: tuple[int, int]) -> None:
    """Compute an empty photo at a size, or in enlarged views, that training did not see."""
    height, width = predictor.size
    try:
        predictor.see(np.zeros((1, predictor.in_channels, height, width), np.uint8))
    except InputError:
        raise
    except SIZE_ERRORS as error:
        reason = " ".join(str(error).split())[:150]
        if predictor.size == trained:
            raise InputError(
                f"tta= has views that enlarge photos, which this network does not take ({reason}); "
                "give tta=flip"
            ) from error
        raise InputError(
            f"size=[{height},{width}] is none that this network takes ({reason}); it takes "
            f"size=[{trained[0]},{trained[1]}], which it was trained at"
        ) from error


def _own_class(path: Path, classes: Classes) -> type[nn.Module] | None:
    """Return the class that a checkpoint's network is of, if it is one's own and may be used."""
    import torch

    from flukeseg.model.architectures import import_network

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        name = content["hyper_parameters"].get("network")
    except Exception:  # `load_module` says what is wrong with the file
        return None
    if name is None:
        return None
    for given in [classes] if isinstance(classes, str) else classes:
        if isinstance(given, str) and given == name:
            return import_network(given, "network")
        if isinstance(given, type) and f"{given.__module__}.{given.__qualname__}" == name:
            return given
    raise InputError(
        f"checkpoint={path} is of the class {str(name)[:100]}, whose code would run: if you trust "
        "that code and have it here, name the class again with network="
    )


def _load_torch(path: Path, classes: Classes) -> tuple[nn.Module, Facts]:
    """Return a network that torch computes."""
    from flukeseg.model.network import ProbabilityNetwork
    from flukeseg.model.predictor import ScriptNetwork

    if path.suffix.lower() in SUFFIXES:
        compute, facts = load_exported(path, "torch")
        return ScriptNetwork(compute), facts
    module = load_module(path, classes)
    return ProbabilityNetwork(module.network), _facts(module, path)


def _load_runtime(
    path: Path, runtime: str, precision: str | int, classes: Classes
) -> tuple[Compute, Facts]:
    """Do as `_load_torch` for another runtime, for which a checkpoint is converted."""
    if path.suffix.lower() in SUFFIXES:
        return load_exported(path, runtime, precision)
    convert = partial(_convert, path, runtime, classes)
    # the code of a class of one's own may change
    return load_kept(path, runtime, precision, convert, keep=not classes)


def _convert(path: Path, runtime: str, classes: Classes) -> tuple[Any, Facts]:
    """Return a checkpoint as OpenVINO's model or as the bytes of ONNX, and its metadata."""
    from flukeseg.model.conversion import to_onnx, to_openvino

    module = load_module(path, classes)
    convert = {"openvino": to_openvino, "onnx": to_onnx}[runtime]
    return convert(module.network), _facts(module, path)


def _facts(module: SegmentationModule, path: Path) -> Facts:
    encoder = str(module.hparams.get("network") or module.hparams["encoder"])
    return Facts(module.size, encoder, name=path.name, in_channels=module.network.in_channels)


def _format(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} × {height}"
