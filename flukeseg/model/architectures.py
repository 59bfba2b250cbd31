"""Names and plain options -> a network of smp, or of a class of one's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
from hydra.utils import get_class
from torch import nn

from flukeseg.errors import InputError

ARCHITECTURES = tuple(smp.MODEL_ARCHITECTURES_MAPPING)

RESERVED = frozenset({
    "self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation",
    "aux_params", "kwargs",
})  # fmt: skip
"""Arguments of smp's networks that flukeseg sets or that change what a network gives."""

OF_ENCODERS = {"dpt": ("dynamic_img_size",)}
"""Options that an architecture passes on to its encoder: a ViT then takes any size."""

LARGEST_OPTION = 4096
"""Numbers above it are no option of a network; checkpoints of others are built from theirs."""


def build_architecture(
    architecture: str, encoder: str, decoder: Mapping[str, Any], in_channels: int = 3
) -> nn.Module:
    """Build a network of one output channel with random weights.

    Names are looked up in smp's and timm's registries and options are plain values: a checkpoint
    that somebody else wrote names no code.

    Args:
        architecture: one of `ARCHITECTURES`.
        encoder: smp's name of an encoder, see `resolve_encoder`.
        decoder: options of the architecture, by smp's names: texts, numbers, None or lists of them.
        in_channels: of the photos.

    Raises:
        InputError: there is no such architecture or option, or the encoder does not go with it.
    """
    if architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(str(architecture), ARCHITECTURES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"model.architecture={architecture} is not known; {hint}choose "
            f"{', '.join(ARCHITECTURES)}"
        )
    _check_options(architecture, decoder)
    try:
        return smp.create_model(
            architecture,
            encoder,
            encoder_weights=None,
            in_channels=in_channels,
            classes=1,
            **decoder,
        )
    except Exception as error:  # smp and timm raise anything on encoders that do not fit
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        which = "a ViT of timm" if architecture == "dpt" else "a CNN"
        raise InputError(
            f"model.architecture={architecture} cannot be built with "
            f"model.encoder={encoder.removeprefix('tu-')} and model.decoder={dict(decoder)} "
            f"({reason}); give {which} as the encoder, or other options"
        ) from error


def _check_options(architecture: str, decoder: Mapping[str, Any]) -> None:
    if not isinstance(decoder, Mapping):
        raise InputError(
            f"model.decoder={decoder} must be options of {architecture}, such as "
            "model.decoder={decoder_channels:[64,32,16,8,8]}; model.architecture=NAME chooses one"
        )
    taken = inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[architecture].__init__).parameters
    known = [name for name in taken if name not in RESERVED]
    known += OF_ENCODERS.get(architecture, ())
    for name in decoder:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(
                f"model.decoder.{name} is no option of {architecture}; {hint}it has "
                f"{', '.join(known)}"
            )
    _check_plain("model.decoder", decoder)


def _check_plain(key: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            plain = item is None or isinstance(item, bool | str)
            if not plain and not (isinstance(item, int | float) and abs(item) <= LARGEST_OPTION):
                raise InputError(
                    f"{key}.{name}={value} must be a text, a number of at most "
                    f"{LARGEST_OPTION}, or a list of them"
                )


def import_network(target: str, key: str = "model.network._target_") -> type[nn.Module]:
    """Import a class of one's own, whose code runs when it is imported and built.

    Args:
        target: such as `package.module.Class`; a name that the user gave, never one out of a file.
        key: the option that it was given by, for errors.

    Raises:
        InputError: there is no such class, or it is no network.
    """
    try:
        found = get_class(target)
    except Exception as error:  # whatever importing a module of somebody else raises
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{key}={target} cannot be imported ({reason})") from error
    if not issubclass(found, nn.Module):
        raise InputError(f"{key}={target} must be a subclass of torch.nn.Module")
    return found


def build_own(network: type[nn.Module], options: Mapping[str, Any]) -> nn.Module:
    """Build a network of a class of one's own, from plain values as in `build_architecture`.

    Raises:
        InputError: an option is not plain, or the class does not take it.
    """
    if not isinstance(network, type):  # the name in a checkpoint, which is not to be imported
        raise InputError(f"model.network={network} must be a class; load_module takes it")
    _check_plain("model.network", options)
    try:
        return network(**options)
    except Exception as error:  # it is somebody else's code
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"model.network: {network.__qualname__} cannot be built with {dict(options)} ({reason})"
        ) from error
