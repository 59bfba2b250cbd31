"""Runtimes other than torch: which computes what, and networks that they compute.

Torch takes seconds to import, and is not imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.masks.probability import PhotoProbability
from flukeseg.model.precision import choose_precision, has_gpu
from flukeseg.model.tta import PLAIN, BatchProbability, View, average_views, split_batch

RUNTIMES = ("auto", "torch", "openvino", "onnx")

KEY = "flukeseg"
"""Key of the metadata in an exported file."""

PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}
Compute = Callable[[np.ndarray], np.ndarray]
"""From images N×3×H×W float32 to probabilities N×1×H×W float32."""


class RuntimePredictor:
    """Averages probabilities over networks and views as `Predictor` does, without torch.

    Args:
        networks: each from images N×3×H×W float32, RGB in 0..1, to probabilities N×1×H×W float32.
        size: (height, width) that photos are resized to.
        views: of test-time augmentation, see `flukeseg.model.tta.TTA`.
        runtime: name of what computes the networks.
        in_channels: of photos, 4 with a mask.
    """

    def __init__(
        self,
        networks: Sequence[Compute],
        size: tuple[int, int],
        views: Sequence[View] = (PLAIN,),
        runtime: str = "openvino",
        in_channels: int = 3,
    ) -> None:
        self.networks = list(networks)
        self.size, self.views, self.runtime = size, tuple(views), runtime
        self.in_channels = in_channels

    def __call__(self, image: np.ndarray) -> BatchProbability:
        """Return the averaged probabilities of images N×C×H×W, uint8 or float32 RGB in 0..1.

        Raises:
            InputError: a network gives values that are not finite.
        """
        if image.dtype == np.uint8:
            image = image.astype(np.float32) / np.float32(255)
        return average_views(self.networks, image, self.views)

    def see(self, images: np.ndarray) -> list[PhotoProbability]:
        """Return the averaged probabilities of each image.

        One after the other, which takes a processor no longer: how a library adds up may depend on
        the size of a batch, and a mask must not depend on which photos are predicted with it.
        """
        return [split_batch(self(images[i : i + 1]))[0] for i in range(len(images))]


def choose_runtime(runtime: str, form: str) -> str:
    """Return what computes a file of a format; `torch` is the format of checkpoints.

    Of the installed runtimes that can, `auto` takes the fastest: torch where there is a GPU, else
    OpenVINO, else ONNX Runtime where the processor has no fast bf16, else torch.

    Raises:
        InputError: there is no such runtime, it is not installed, or it cannot compute the format.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"runtime={runtime} must be one of {', '.join(RUNTIMES)}")
    able = {
        "torch": ("torch", "openvino", "onnx"),
        "onnx": ("openvino", "onnx"),
        "openvino": ("openvino",),
        "torchscript": ("torch",),
    }[form]
    # networks of torch reach the others through ONNX
    converter = ["onnx"] if form == "torch" else []
    absent = {name: lacking(PACKAGES[name], *converter) for name in able if name != "torch"}
    installed = [name for name in able if not absent.get(name)]
    if runtime != "auto":
        if runtime not in able:
            raise InputError(
                f"runtime={runtime} cannot compute a {form} file; give auto or {' or '.join(able)}"
            )
        if runtime not in installed:
            raise InputError(
                f"runtime={runtime} is not installed; {how_to_install(runtime)}, or give auto"
            )
        return runtime
    if not installed:
        packages = " or ".join(PACKAGES[name] for name in able)
        raise InputError(f"a {form} file needs {packages}; {how_to_install(form)}")
    if "torch" in installed and has_gpu():
        return "torch"
    fast = choose_precision("auto", "cpu") == "bf16-mixed"
    order = ("openvino", "torch", "onnx") if fast else ("openvino", "onnx", "torch")
    return next(name for name in order if name in installed)


def lacking(*packages: str) -> list[str]:
    """Return the packages that are not installed."""
    return [package for package in packages if not find_spec(package)]


@cache
def openvino_core() -> Any:
    """Return OpenVINO's core, one for the process: compiled networks must not outlive it."""
    import openvino

    return openvino.Core()


def openvino_settings(precision: str | int) -> dict[str, Any]:
    """Return how OpenVINO compiles; precision `auto` is bf16 where that is faster."""
    in_bf16 = choose_precision(precision, "cpu") == "bf16-mixed"
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    return settings | ({"INFERENCE_NUM_THREADS": _threads()} if _threads() else {})


def compute_openvino(compiled: Any) -> Compute:
    """Return what computes by a compiled model of OpenVINO."""

    def compute(image: np.ndarray) -> np.ndarray:
        # a copy: the next inference overwrites the result
        return np.array(compiled(np.ascontiguousarray(image))[0])

    return compute


def onnx_session(content: bytes) -> Any:
    """Return a session of ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def compute_onnx(session: Any) -> Compute:
    """Return what computes by a session of ONNX Runtime."""
    return lambda image: session.run(None, {"image": np.ascontiguousarray(image)})[0]


def _threads() -> int:
    """Return how many threads were asked for; 0 leaves it to the runtime."""
    if torch := sys.modules.get("torch"):  # a program that uses torch sets them there
        return torch.get_num_threads()
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0
