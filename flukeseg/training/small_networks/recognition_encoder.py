"""Write the encoder of recognition.

`python -m flukeseg.training.small_networks.recognition_encoder FILE.onnx` writes it;
`flukeseg/masks/recognition_encoder.onnx` is that of `rendered` at revision ae0472f. ONNX Runtime
folds what is constant, as OpenCV 4 reads no other graph; weights are stored in half precision.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from flukeseg.masks.recognition_features import CROP, STAGES
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.model.network import FlukeNetwork

OPSET = 17


class Encoder(nn.Module):
    """The last stages of a network's encoder, of images N×3×H×W, RGB in 0..1."""

    def __init__(self, network: FlukeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return features N×C×h×w of each of `STAGES`."""
        buffers = self.network.get_buffer
        normalised = (image - buffers("mean")) / buffers("std")
        return tuple(self.network.encoder()(normalised)[-len(STAGES) :])


def to_halved_onnx(encoder: Encoder) -> onnx.ModelProto:
    """Convert an encoder for one image of `CROP`×`CROP`, its weights in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        model = _fold(encoder, Path(folder))
    halved, casts = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4:
            name = f"{tensor.name} halved"
            halved.append(numpy_helper.from_array(values.astype(np.float16), name))
            casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        else:
            halved.append(tensor)
    graph = helper.make_graph(
        [*casts, *model.graph.node], "encoder", model.graph.input, model.graph.output, halved
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def _fold(encoder: Encoder, folder: Path) -> onnx.ModelProto:
    """Convert, compute what is constant, and join convolutions with the normalisation after."""
    whole, folded = folder / "whole.onnx", folder / "folded.onnx"
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the exporter is deprecated, and traces sizes
        torch.onnx.export(
            encoder,
            (torch.rand(1, 3, CROP, CROP),),
            whole,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(STAGES),
        )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(whole), options, providers=["CPUExecutionProvider"])
    return onnx.load(folded)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="onnx file to write")
    parser.add_argument("--checkpoint", default="rendered")
    options = parser.parse_args()
    network = load_module(find_checkpoint(options.checkpoint)).network
    onnx.save(to_halved_onnx(Encoder(network).eval()), options.path)


if __name__ == "__main__":
    main()
