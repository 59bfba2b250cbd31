"""Depthwise convolutions whose gradients are computed quickly on processors, in bf16.

Encoders made for small machines, such as EfficientNet-Lite, consist of them. In oneDNN 3.12, which
computes for torch 2.14, two of their gradients in bf16 take many times as long as the convolution
itself: with respect to kernels of 5 × 5, and with respect to the input where there is a stride.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional as F

FAST_KERNEL = 3
"""Largest side of a kernel whose gradient is fast in bf16; that of larger ones is in float32."""


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that `_Gradients` trains, on a processor in bf16."""

    def forward(self, image: Tensor) -> Tensor:
        """Return N×C×H×W of N×C×H×W."""
        if not _trains_in_bf16(image):
            return super().forward(image)
        return _convolve(self, image, cast(tuple[int, int], self.padding))


class DepthwiseConv2dSame(Conv2dSame):
    """The same for convolutions that pad as TensorFlow does."""

    def forward(self, image: Tensor) -> Tensor:
        """Return N×C×H×W of N×C×H×W."""
        if not _trains_in_bf16(image):
            return super().forward(image)
        return _convolve(self, pad_same(image, [*self.kernel_size], [*self.stride]), (0, 0))


def train_faster(module: nn.Module) -> None:
    """Make a depthwise convolution one of this file, in place; its weights stay as they are."""
    kinds = {nn.Conv2d: DepthwiseConv2d, Conv2dSame: DepthwiseConv2dSame}
    if (
        isinstance(module, nn.Conv2d)
        and type(module) in kinds
        and module.groups == module.in_channels == module.out_channels > 1
        and module.bias is None
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and all(pad < side for pad, side in zip(module.padding, module.kernel_size, strict=True))
    ):
        module.__class__ = kinds[type(module)]


def _trains_in_bf16(image: Tensor) -> bool:
    return (
        image.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not torch.jit.is_tracing()
    )


def _convolve(conv: nn.Conv2d, image: Tensor, padding: tuple[int, int]) -> Tensor:
    weight = conv.weight.to(torch.bfloat16)
    return _Gradients.apply(image.to(torch.bfloat16), weight, conv.stride, padding)


class _Gradients(torch.autograd.Function):
    """A depthwise convolution with gradients of its own, equal up to rounding."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(image, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_image = of_weight = None
        if ctx.needs_input_grad[0]:
            of_image = _spread(gradient, weight, image.shape, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            dtype = weight.dtype if max(weight.shape[2:]) <= FAST_KERNEL else torch.float32
            of_weight = torch.ops.aten.convolution_backward(
                gradient.to(dtype), image.to(dtype), weight.to(dtype), None, ctx.stride,
                ctx.padding, (1, 1), False, (0, 0), len(weight), (False, True, False),
            )[1].to(weight.dtype)  # fmt: skip
        return of_image, of_weight, None, None


def _spread(
    gradient: Tensor,
    weight: Tensor,
    shape: torch.Size,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """Return the gradient of the input: convolve that of the output with the turned kernel."""
    kernel = weight.shape[2:]
    if stride != (1, 1):
        # zeros between its pixels, and for pixels of the input that no kernel reached
        sides = [
            wanted + 2 * pad - side + 1
            for wanted, pad, side in zip(shape[2:], padding, kernel, strict=True)
        ]
        spread = torch.empty(
            (*gradient.shape[:2], *sides),
            dtype=gradient.dtype,
            memory_format=torch.channels_last,
        ).zero_()
        rows, columns = (
            (n - 1) * step + 1 for n, step in zip(gradient.shape[2:], stride, strict=True)
        )
        spread[..., : rows : stride[0], : columns : stride[1]] = gradient
        gradient = spread
    around = tuple(side - 1 - pad for side, pad in zip(kernel, padding, strict=True))
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, around, groups=len(weight))
