"""Exported networks, and the runtimes that compute networks: torch, OpenVINO or ONNX Runtime."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.model.conversion import KEY, lacking, openvino_core, to_onnx, to_openvino
from flukeseg.model.network import FlukeNetwork
from flukeseg.model.precision import choose_precision
from flukeseg.model.torchscript import check_torchscript

RUNTIMES = ("auto", "torch", "openvino", "onnx")
SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt": "torchscript"}
"""Formats of exported files by suffix."""

FORMATS = {form: suffix for suffix, form in SUFFIXES.items()}

PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}
Compute = Callable[[np.ndarray], np.ndarray]


class Facts(NamedTuple):
    """Metadata of an exported file: (height, width) of training, encoder, threshold, checkpoint,
    and the channels of photos.
    """

    size: tuple[int, int]
    encoder: str
    threshold: float = 0.5
    name: str = ""
    in_channels: int = 3

    def written(self) -> str:
        """Return it as text to store in a file."""
        return json.dumps(self._asdict())

    @classmethod
    def read(cls, path: Path, text: str | None) -> Facts:
        """Read what `written` wrote.

        Raises:
            InputError: the file has no such metadata.
        """
        try:
            facts = cls(**json.loads(text or ""))
            size = (int(facts.size[0]), int(facts.size[1]))
            return facts._replace(size=size, in_channels=int(facts.in_channels))
        except (TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"checkpoint={path} has no metadata of flukeseg; export it again with "
                "python -m flukeseg.export"
            ) from error


class RuntimeNetwork(nn.Module):
    """A network that a runtime other than torch computes, on the CPU.

    Args:
        compute: from images N×3×H×W float32 to probabilities N×1×H×W float32.
    """

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities N×1×H×W of images N×3×H×W, RGB in 0..1."""
        return torch.from_numpy(self.compute(image.float().cpu().numpy()))


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
    if "torch" in installed and torch.cuda.is_available():
        return "torch"
    fast = choose_precision("auto", "cpu") == "bf16-mixed"
    order = ("openvino", "torch", "onnx") if fast else ("openvino", "onnx", "torch")
    return next(name for name in order if name in installed)


def compute_network(network: FlukeNetwork, runtime: str, precision: str = "auto") -> Compute:
    """Convert a torch network for another runtime, in memory.

    Args:
        network: in eval mode.
        runtime: `openvino` or `onnx`.
        precision: `auto` is bf16 where that is faster, else `32-true`.
    """
    if runtime == "openvino":
        return _openvino(to_openvino(network), precision)
    return partial(_by_onnx, _session(to_onnx(network)))


def load_exported(path: Path, runtime: str, precision: str = "auto") -> tuple[Compute, Facts]:
    """Load an exported file.

    Args:
        path: `.onnx`, `.xml` or `.pt`.
        runtime: as `choose_runtime` gives it.
        precision: see `compute_network`.

    Raises:
        InputError: the file cannot be loaded, or flukeseg did not write it.
    """
    try:
        if runtime == "openvino":
            model = openvino_core().read_model(path)
            place = ["framework", KEY] if path.suffix == ".onnx" else [KEY]
            facts = model.get_rt_info(place).value if model.has_rt_info(place) else None
            return _openvino(model, precision), Facts.read(path, facts)
        if runtime == "onnx":
            session = _session(path.read_bytes())
            facts = session.get_modelmeta().custom_metadata_map.get(KEY)
            return partial(_by_onnx, session), Facts.read(path, facts)
        check_torchscript(path)
        extra = {KEY: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated
            script = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
        return partial(_by_torch, script), Facts.read(path, extra[KEY])
    except InputError:
        raise
    except Exception as error:  # each runtime raises its own on bytes that are no network
        reason = " ".join(str(error).split())[:150]
        raise InputError(
            f"checkpoint={path} cannot be loaded ({reason}); export it again with python -m "
            "flukeseg.export"
        ) from error


def _openvino(model: Any, precision: str) -> Compute:
    settings = {
        "INFERENCE_PRECISION_HINT": (
            "bf16" if choose_precision(precision, "cpu") == "bf16-mixed" else "f32"
        ),
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return partial(_by_openvino, openvino_core().compile_model(model, "CPU", settings))


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _by_openvino(compiled: Any, image: np.ndarray) -> np.ndarray:
    # a copy: the next inference overwrites the result
    return np.array(compiled(image)[0])


def _by_onnx(session: Any, image: np.ndarray) -> np.ndarray:
    return session.run(None, {"image": image})[0]


def _by_torch(script: torch.jit.ScriptModule, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return script(torch.from_numpy(image)).numpy()
