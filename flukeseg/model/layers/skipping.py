"""Convolutions of single pixels with a stride, which oneDNN computes wrongly on processors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SkippingConv2d(nn.Conv2d):
    """A strided convolution of single pixels that on CPUs is given only the pixels that it uses.

    The result is the same. Without, oneDNN 3.12 writes outside its memory where it computes the
    gradient of one with few input channels, in channels-last layout; MobileOne's first one is such.
    Only on some processors does that end the program. See
    https://github.com/uxlfoundation/oneDNN/issues/6035.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Return what the convolution returns."""
        if image.device.type != "cpu":
            return super().forward(image)
        down, across = self.stride
        return F.conv2d(image[..., ::down, ::across], self.weight, self.bias, groups=self.groups)


def skip_rather_than_stride(module: nn.Module) -> None:
    """Make a convolution that oneDNN's fault concerns a `SkippingConv2d`."""
    affected = (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.padding == (0, 0)
        and module.in_channels < 16
    )
    if affected:
        module.__class__ = SkippingConv2d
