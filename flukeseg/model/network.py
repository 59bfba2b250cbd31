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

from flukeseg.errors import InputError
from flukeseg.model.architectures import build_architecture
from flukeseg.model.weights import load_encoder_weights, normalisation

ALIASES = {"seresnet34": "legacy_seresnet34"}
"""The reference's encoder: the port of its Keras weights; timm's own seresnet34 has none."""

MENDED_IN: str | None = None
"""First torch whose oneDNN does without `_SkippingConv2d`; 2.14 (oneDNN 3.12) does not."""

STRIDE = 32
"""Five halvings in most encoders: sides that networks take are multiples of it."""


class FlukeNetwork(nn.Module):
    """Network of one output channel that takes photos of any size.

    Input normalisation belongs to the encoder's weights and so to the network: callers pass plain
    RGB. Sides that are not a multiple of `stride` (32 for most encoders) are padded at the right
    and bottom by repeating the border, and the logits are cropped.

    Args:
        encoder: a name of `segmentation_models_pytorch` or of timm, or `seresnet34`.
        encoder_weights: see `load_encoder_weights`; None for random ones.
        architecture: what is built around the encoder, see `build_architecture`.
        decoder: its options.

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
    ) -> None:
        super().__init__()
        name = resolve_encoder(encoder)
        # of any architecture: checkpoints have had this name since all were U-Nets
        self.unet = build_architecture(architecture, name, decoder or {})
        if encoder_weights is not None:
            load_encoder_weights(self.unet.encoder, name, encoder_weights)
        for module in self.unet.encoder.modules():
            _skip_rather_than_stride(module)
        step = int(self.unet.encoder.output_stride)
        # the patches of some transformers do not divide 32
        self.stride = STRIDE if STRIDE % step == 0 else step
        mean, std = normalisation(name, encoder_weights)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits N×1×H×W of images N×3×H×W, RGB in 0..1."""
        height, width = image.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        image = (image - self.mean) / self.std
        # traced for export, the padding depends on the size of the input
        if torch.jit.is_tracing() or any(padding):
            image = F.pad(image, padding, mode="replicate")
        # the layout in which convolutions are fastest, on CPU and GPU alike
        logits = self.unet(image.contiguous(memory_format=torch.channels_last))
        return logits[..., :height, :width]


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


class _SkippingConv2d(nn.Conv2d):
    """A strided convolution of single pixels that on CPUs is given only the pixels that it uses.

    The result is the same. Without, oneDNN writes outside its memory where it computes the gradient
    of one with few input channels, in channels-last layout; MobileOne's first one is such. See
    https://github.com/uxlfoundation/oneDNN/issues/6035.
    """

    def forward(self, image: Tensor) -> Tensor:
        if image.device.type != "cpu":
            return super().forward(image)
        down, across = self.stride
        return F.conv2d(image[..., ::down, ::across], self.weight, self.bias, groups=self.groups)


def _skip_rather_than_stride(module: nn.Module) -> None:
    """Make a convolution that oneDNN's fault concerns a `_SkippingConv2d`."""
    affected = (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.padding == (0, 0)
        and module.in_channels < 16
    )
    if affected and (MENDED_IN is None or torch.__version__ < MENDED_IN):
        module.__class__ = _SkippingConv2d


def fixed_size(encoder: str) -> tuple[int, int] | None:
    """Return the only (height, width) that a transformer of timm takes; None where any will do."""
    name = resolve_encoder(encoder).removeprefix("tu-")
    cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return cfg.input_size[1:] if cfg is not None and cfg.fixed_input_size else None
