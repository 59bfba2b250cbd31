"""What makes training on a processor faster must change no result."""

import copy
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import Conv2dSame
from torch import nn

from flukeseg.model.layers.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, train_faster
from flukeseg.model.network import FlukeNetwork

ROUNDING = 0.01
"""Relative error of sums of products in bf16, whose numbers have 8 bits."""


def error(found, true):
    return float((found.float() - true.float()).norm() / true.float().norm())


def gradients(conv, image, of_output):
    """Result of a convolution, and its gradients with respect to image and kernel, in bf16."""
    image = image.clone().requires_grad_()
    conv.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        output = conv(image)
    output.backward(of_output.to(output.dtype))
    return output.detach(), image.grad, conv.weight.grad.clone()


def all_gradients(network, image):
    """Gradients of a network's parameters, in one row."""
    network.zero_grad()
    torch.nn.functional.softplus(network(image).float()).mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    channels=st.integers(2, 9),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    height=st.integers(7, 19),
    width=st.integers(7, 19),
    same=st.booleans(),
)
def test_gradients_of_depthwise_convolutions(data, channels, kernel, stride, height, width, same):
    padding = (0, 0) if same else tuple(data.draw(st.integers(0, side - 1)) for side in kernel)
    kind = Conv2dSame if same else nn.Conv2d
    torch.manual_seed(channels)
    conv = kind(channels, channels, kernel, stride, padding=padding, groups=channels, bias=False)
    image = torch.rand(2, channels, height, width).to(memory_format=torch.channels_last)
    of_output = torch.rand_like(conv(image))
    of_output = of_output.bfloat16().float()
    exact = copy.deepcopy(conv).double()
    leaf = image.bfloat16().double().requires_grad_()
    with torch.no_grad():
        exact.weight.copy_(conv.weight.bfloat16())
    exact(leaf).backward(of_output.double())
    train_faster(conv)
    assert type(conv) is (DepthwiseConv2dSame if same else DepthwiseConv2d)
    output, of_image, of_weight = gradients(conv, image, of_output)
    assert output.dtype == torch.bfloat16
    assert of_image.dtype == of_weight.dtype == torch.float32
    assert error(output, exact(leaf).detach()) < ROUNDING
    assert error(of_image, leaf.grad) < ROUNDING
    assert error(of_weight, exact.weight.grad) < ROUNDING


def test_other_convolutions_stay_as_they_are():
    others = (
        nn.Conv2d(4, 8, 3, groups=4, bias=False),  # two channels of each
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, padding=3, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="reflect", bias=False),
        nn.Conv2d(4, 4, 3, groups=4, padding="same", bias=False),
        nn.BatchNorm2d(4),
    )
    for module in others:
        kind = type(module)
        train_faster(module)
        assert type(module) is kind


def test_it_computes_as_before_but_for_training_in_bf16():
    conv = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    plain = copy.deepcopy(conv)
    train_faster(conv)
    image = torch.rand(1, 4, 9, 9)
    assert torch.equal(conv(image), plain(image))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv(image), plain(image))
    assert torch.equal(conv.double()(image.double()), plain.double()(image.double()))


def test_the_network_that_ships_trains_as_before():
    torch.manual_seed(0)
    network = FlukeNetwork("tf_efficientnet_lite0").eval()  # statistics as they are
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(DepthwiseConv2d) == 12
    assert kinds.count(DepthwiseConv2dSame) == 4
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, DepthwiseConv2d | DepthwiseConv2dSame):
            same = isinstance(module, DepthwiseConv2dSame)
            module.__class__ = Conv2dSame if same else nn.Conv2d
    assert [*plain.state_dict()] == [*network.state_dict()]
    image = torch.rand(4, 3, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        assert error(all_gradients(network, image), all_gradients(plain, image)) < ROUNDING


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has it")
def test_freed_memory_is_kept_for_a_while():
    code = """
from pathlib import Path
import numpy as np
from flukeseg.training.freed_memory import keep_freed_memory

def freed():
    before = megabytes()
    for block in range(3):
        values = np.ones(40_000_000)
        del values
    return megabytes() - before

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

print(freed())
with keep_freed_memory() as kept:
    assert kept
    print(freed())
start = megabytes()
print(freed(), start)
"""
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    before, within, after, left = map(float, found)
    assert before < 50
    assert within > 300
    assert after < 50
    assert left < 200
