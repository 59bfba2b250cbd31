"""Names and weights -> a network that returns logits, or probabilities."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flukeseg.errors import InputError, require_int
from flukeseg.model.architectures import build_architecture, build_own
from flukeseg.model.layers.depthwise import train_faster
from flukeseg.model.layers.skipping import skip_rather_than_stride
from flukeseg.model.weights import IMAGENET, load_encoder_weights, normalisation

ALIASES = {"seresnet34": "legacy_seresnet34"}
"""The reference's encoder: the port of its Keras weights; timm's own seresnet34 has none."""

STRIDE = 32
"""Five halvings in most encoders: sides that networks take are multiples of it."""


class FlukeNetwork(nn.Module):
    """Network of one output channel that takes photos of any size.

    Input normalisation belongs to the encoder's weights and so to the network: callers pass plain
    RGB. Sides that are not a multiple of `stride` (32 for most encoders) are padded at the right
    and bottom by repeating the border, and the logits are cropped.

    A fourth channel, a mask, is 0 or 1 as it comes.

    Args:
        encoder: a name of `segmentation_models_pytorch` or of timm, or `seresnet34`.
        encoder_weights: see `load_encoder_weights`; None for random ones.
        architecture: what is built around the encoder, see `build_architecture`.
        decoder: its options.
        in_channels: 3, or 4 for photos with a mask as a fourth channel. Weights of networks for
            photos fit: those of the mask are 0 to begin with.
        own: class of a network of one's own, in place of encoder and architecture. It gets photos
            with ImageNet's normalisation, whose sides are multiples of its attribute `stride` or
            else 32, and gives logits N×1×H×W.
        own_options: its arguments, see `build_own`.

    Raises:
        InputError: there is no such encoder or architecture, or its weights are not available or
            do not fit.
    """

    def __init__(
        self,
        encoder: str = "seresnet34",
        encoder_weights: str | None = None,
        architecture: str = "unet",
        decoder: Mapping[str, Any] | None = None,
        in_channels: int = 3,
        own: type[nn.Module] | None = None,
        own_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = require_int("model.in_channels", in_channels, least=3, most=4)
        # of any architecture: checkpoints have had this name since all were U-Nets
        if own is not None:
            self.unet, self.description = build_own(own, own_options or {}), own.__qualname__
            stated = getattr(self.unet, "stride", 1)
            step = stated if isinstance(stated, int) else 1  # a convolution has one for each side
            mean, std = IMAGENET
        else:
            name = resolve_encoder(encoder)
            self.unet = build_architecture(architecture, name, decoder or {}, in_channels)
            self.description = f"{architecture} with {encoder}"
            step = int(self.unet.encoder.output_stride)
            if encoder_weights is not None:
                load_encoder_weights(self.unet.encoder, name, encoder_weights)
            mean, std = normalisation(name, encoder_weights)
        for module in self.unet.modules():
            skip_rather_than_stride(module)
            train_faster(module)
        # the patches of some transformers do not divide 32
        self.stride = STRIDE if STRIDE % step == 0 else step
        mask = in_channels - 3
        self.register_buffer("mean", torch.tensor([*mean, *mask * [0.0]]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([*std, *mask * [1.0]]).view(1, -1, 1, 1))

    def encoder(self) -> nn.Module:
        """Return the encoder; a network of one's own has one if it calls a part so.

        Raises:
            InputError: it does not.
        """
        found = getattr(self.unet, "encoder", None)
        if not isinstance(found, nn.Module):
            raise InputError(
                f"{self.description} has no part called encoder; leave model.encoder_lr_scale and "
                "callbacks=freeze out"
            )
        return found

    def encoder_layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the encoder's layers, in the order of its definition.

        A layer is a part of it, or of a sequence in it, such as `stem`, `layer1.0`, `layer1.1`.
        """
        layers: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.encoder().named_parameters():
            first, *rest = name.removeprefix("model.").split(".")
            number = f".{rest[0]}" if rest and rest[0].isdigit() else ""
            layers.setdefault(first + number, []).append(parameter)
        return [*layers.values()]

    def forward(self, image: Tensor) -> Tensor:
        """Return logits N×1×H×W of images N×3×H×W, RGB in 0..1, or N×4×H×W.

        Raises:
            InputError: the network is for other channels, or gives something else, or normalises
                pooled photos and there is only one to train on.
        """
        if image.shape[1] != self.in_channels:
            raise InputError(
                "the network takes photos with a mask as a fourth channel: give files of the "
                "product rgbm"
                if self.in_channels == 4
                else "the network takes photos without a mask as a fourth channel"
            )
        height, width = image.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        image = (image - self.mean) / self.std
        # traced for export, the padding depends on the size of the input
        if torch.jit.is_tracing() or any(padding):
            image = F.pad(image, padding, mode="replicate")
        # the layout in which convolutions are fastest, on CPU and GPU alike
        try:
            logits = self.unet(image.contiguous(memory_format=torch.channels_last))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                f"{self.description} cannot train on a batch of one photo; choose a "
                "data.batch_size that leaves no single photo at the end of an epoch"
            ) from error
        if not torch.jit.is_tracing() and _shape(logits) != (len(image), 1, *image.shape[-2:]):
            raise InputError(
                f"{self.description} must give logits N×1×H×W, {(len(image), 1, *image.shape[-2:])}"
                f" here, not {_shape(logits)}"
            )
        return logits[..., :height, :width]


def _shape(logits: Any) -> Any:
    return tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__


class ProbabilityNetwork(nn.Module):
    """A network with its sigmoid: what predicts, and what is exported.

    Args:
        network: gives logits.
    """

    def __init__(self, network: FlukeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities N×1×H×W float32 of images N×3×H×W, RGB in 0..1."""
        return torch.sigmoid(self.network(image).float())


def resolve_encoder(encoder: str) -> str:
    """Return smp's name for an encoder; it prefixes timm's with `tu-`.

    Raises:
        InputError: neither library has it; similar names are suggested.
    """
    if not isinstance(encoder, str):
        raise InputError(f"model.encoder={encoder} must be a name")
    name = ALIASES.get(encoder, encoder)
    if name in smp.encoders.encoders:
        return name
    name = name.removeprefix("tu-")
    if timm.is_model(name):
        return f"tu-{name}"
    known = {*ALIASES, *smp.encoders.encoders, *timm.list_models()}
    near = difflib.get_close_matches(encoder, sorted(known), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "give a name that smp or timm has"
    raise InputError(f"model.encoder={encoder} is not known; {hint}")


def fixed_size(encoder: str) -> tuple[int, int] | None:
    """Return the only (height, width) that a transformer of timm takes; None where any will do."""
    name = resolve_encoder(encoder).removeprefix("tu-")
    cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return cfg.input_size[1:] if cfg is not None and cfg.fixed_input_size else None
