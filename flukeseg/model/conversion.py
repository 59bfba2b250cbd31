"""A torch network -> OpenVINO, ONNX or TorchScript, for any batch and size."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from timm.utils import reparameterize_model
from torch import Tensor

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.model.network import FlukeNetwork, ProbabilityNetwork
from flukeseg.model.runtimes import KEY, lacking, openvino_core


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


def save(network: FlukeNetwork, path: Path, form: str, facts: str) -> None:
    """Write a network to a file, with metadata.

    Args:
        network: in eval mode.
        path: of the file.
        form: `onnx`, `openvino` or `torchscript`.
        facts: text to store under `flukeseg`.

    Raises:
        InputError: the package that writes it is not installed.
    """
    needed = {"onnx": ["onnx"], "openvino": ["openvino", "onnx"]}.get(form, [])
    if absent := lacking(*needed):
        raise InputError(f"format={form} needs {' and '.join(absent)}; {how_to_install(form)}")
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
