"""A torch network -> OpenVINO, ONNX or TorchScript, for any batch and size."""

from __future__ import annotations

import io
import itertools
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils import reparameterize_model
from torch import Tensor

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.model.network import FlukeNetwork, ProbabilityNetwork
from flukeseg.model.runtimes import KEY, lacking, openvino_core

FLOAT_SHARE = 0.12
"""Of a network's multiplications, those of the first layers, which int8 leaves in floating point:
they see the finest detail. With 0.08 the worst mask of `rendered` has a Dice of 0.988 to torch's,
with 0.12 of 0.994 and with 0.2 of 0.992."""


def to_openvino(network: FlukeNetwork) -> Any:
    """Convert a network to OpenVINO, for any batch and size.

    Through ONNX: OpenVINO's own converter sends telemetry.
    """
    return openvino_core().read_model(to_onnx(network))


def to_onnx(network: FlukeNetwork) -> bytes:
    """Convert a network to ONNX, for any batch and size."""
    content = io.BytesIO()
    axes = {0: "batch", 2: "height", 3: "width"}
    with torch.inference_mode(), _quiet():
        # the exporter that uses torch.export takes minutes where sides are padded to a multiple
        torch.onnx.export(
            _plain(network),
            (_example(network.in_channels),),
            content,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["probability"],
            dynamic_axes={"image": axes, "probability": axes},
        )
    return content.getvalue()


def to_torchscript(network: FlukeNetwork) -> torch.jit.ScriptModule:
    """Convert a network to TorchScript, for any batch and size."""
    with torch.inference_mode(), _quiet():
        return torch.jit.trace(_plain(network), _example(network.in_channels))


def quantise(model: Any, photos: np.ndarray) -> Any:
    """Return a network of OpenVINO, for any batch and size, that computes mostly in 8 bits.

    By NNCF: weights to the nearest of 255 values, and each layer's input to one of 256 in the range
    that was seen for it.

    Args:
        model: for any batch and size; it is changed.
        photos: N×C×H×W float32, RGB in 0..1, on which ranges are measured.
    """
    nncf = _import_nncf()
    shape = model.input(0).get_partial_shape()
    # with a dynamic shape NNCF does not know channels behind padding, and masks are useless
    model.reshape([1, *photos.shape[1:]])
    layers = [op for op in model.get_ordered_ops() if "Convolution" in op.get_type_name()]
    # the last three sides of weights are what is multiplied for one value of the output
    work = [np.prod(op.get_output_shape(0)) * np.prod(op.get_input_shape(1)[-3:]) for op in layers]
    is_first = np.cumsum(work) <= FLOAT_SHARE * np.sum(work)
    quantised = nncf.quantize(
        model,
        nncf.Dataset([photo[None] for photo in photos]),
        subset_size=len(photos),
        preset=nncf.QuantizationPreset.MIXED,  # values of both signs get a range of their own
        ignored_scope=nncf.IgnoredScope(
            names=[op.get_friendly_name() for op in itertools.compress(layers, is_first)]
        ),
        # masks lose more with it
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )
    quantised.reshape(shape)
    return quantised


def _import_nncf() -> Any:
    """Import NNCF so that it sends nothing, and logs problems only."""
    name = "openvino_telemetry"
    found = sys.modules.get(name)
    # OpenVINO brings this package, by which NNCF sends its makers what it is used for; without, it
    # sends nothing
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        import nncf
    finally:
        del sys.modules[name]
        if found is not None:
            sys.modules[name] = found
    nncf.set_log_level(logging.WARNING)
    return nncf


def save(
    network: FlukeNetwork,
    path: Path,
    form: str,
    facts: str,
    int8_photos: np.ndarray | None = None,
) -> None:
    """Write a network to a file, with metadata.

    Args:
        network: in eval mode.
        path: of the file.
        form: `onnx`, `openvino` or `torchscript`.
        facts: text to store under `flukeseg`.
        int8_photos: of OpenVINO's, makes it compute mostly in 8 bits, see `quantise`.

    Raises:
        InputError: the package that writes it is not installed.
    """
    needed = {"onnx": ["onnx"], "openvino": ["openvino", "onnx"]}.get(form, [])
    if absent := lacking(*needed):
        raise InputError(f"format={form} needs {' and '.join(absent)}; {how_to_install(form)}")
    if int8_photos is not None and lacking("nncf"):
        raise InputError(f"int8=true needs nncf; {how_to_install('int8')}")
    if form == "torchscript":
        with _quiet():
            torch.jit.save(to_torchscript(network), str(path), _extra_files={KEY: facts})
    elif form == "onnx":
        import onnx

        model = onnx.load_from_string(to_onnx(network))
        onnx.helper.set_model_props(model, {KEY: facts})
        onnx.save(model, str(path))
    else:
        import openvino

        model = to_openvino(network)
        if int8_photos is not None:
            model = quantise(model, int8_photos)
        model.set_rt_info(facts, [KEY])
        openvino.save_model(model, path, compress_to_fp16=False)


def _plain(network: FlukeNetwork) -> ProbabilityNetwork:
    # branches that only training needs, such as MobileOne's, become one convolution
    return ProbabilityNetwork(reparameterize_model(network))


def _example(in_channels: int) -> Tensor:
    # of a size that needs padding, so that padding is traced; pan takes nothing below 128
    return torch.rand(2, in_channels, 132, 260)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide that tracing warns about every size it reads, and the exporter that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
