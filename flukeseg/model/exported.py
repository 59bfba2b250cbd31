"""Networks for runtimes other than torch: exported files, and compiled ones that are kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flukeseg.errors import InputError, require_size
from flukeseg.file_cache import digest_file, read_cached, remove_cached, write_cached
from flukeseg.installation import PACKAGE
from flukeseg.model.precision import choose_precision, processor_flags
from flukeseg.model.runtimes import (
    KEY,
    Compute,
    compute_onnx,
    compute_openvino,
    onnx_session,
    openvino_core,
    openvino_settings,
)

log = logging.getLogger(__name__)

SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt": "torchscript"}
"""Formats of exported files by suffix."""

FORMATS = {form: suffix for suffix, form in SUFFIXES.items()}

PACKAGES = ("openvino", "onnx", "onnxruntime", "torch", "timm", "segmentation-models-pytorch")
"""What has a say in how a network is converted and compiled."""

# the operators of torch that name files, custom classes, and operators of other libraries (those of
# torchvision write files)
FORBIDDEN = re.compile(r"\b(?:from_file|save|load|classes|ops\.(?!prim\b)\w+)\b")

LARGEST = 50_000_000
"""Bytes of source in a TorchScript file; that of a network is under a million."""


class Facts(NamedTuple):
    """Metadata of an exported file: (height, width) of training, encoder, threshold, checkpoint,
    the channels of photos, whether most layers compute in 8 bits, and whose masks were learnt.
    """

    size: tuple[int, int]
    encoder: str
    threshold: float = 0.5
    name: str = ""
    in_channels: int = 3
    int8: bool = False
    learnt_from: str = ""

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
            size = require_size("size", facts.size)
            channels, int8 = int(facts.in_channels), bool(facts.int8)
            return facts._replace(size=size, in_channels=channels, int8=int8)
        except (TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"checkpoint={path} has no metadata of flukeseg; export it again with "
                "python -m flukeseg.export"
            ) from error


def load_exported(path: Path, runtime: str, precision: str | int = "auto") -> tuple[Compute, Facts]:
    """Load an exported file.

    Args:
        path: `.onnx`, `.xml` or `.pt`.
        runtime: as `choose_runtime` gives it.
        precision: see `openvino_settings`.

    Raises:
        InputError: the file cannot be loaded, or flukeseg did not write it.
    """
    try:
        if runtime == "openvino":
            return load_kept(path, runtime, precision, partial(_read_openvino, path))
        if runtime == "onnx":
            session = onnx_session(path.read_bytes())
            facts = session.get_modelmeta().custom_metadata_map.get(KEY)
            return compute_onnx(session), Facts.read(path, facts)
        return _load_torchscript(path)
    except InputError:
        raise
    except Exception as error:  # each runtime raises its own on bytes that are no network
        reason = " ".join(str(error).split())[:150]
        raise InputError(
            f"checkpoint={path} cannot be loaded ({reason}); export it again with python -m "
            "flukeseg.export"
        ) from error


def load_kept(
    path: Path,
    runtime: str,
    precision: str | int,
    make: Callable[[], tuple[Any, Facts]],
    keep: bool = True,
) -> tuple[Compute, Facts]:
    """Load a network as it was kept the last time, see `flukeseg.file_cache`, or make and keep it.

    Args:
        path: what it is made of, a checkpoint or an exported file.
        runtime: `openvino`, where what is kept is compiled already, or `onnx`.
        precision: see `openvino_settings`.
        make: gives OpenVINO's model, or the bytes of ONNX, and its metadata.
        keep: whether `path` alone decides what is made.

    Raises:
        InputError: what `make` raises.
    """
    key = ""
    if keep:
        with suppress(OSError):  # `make` says what is wrong with the file
            key = _key(path, runtime, precision)
    if key and (content := read_cached(key)) is not None:
        written, _, kept = content.partition(b"\n")
        try:
            facts = Facts.read(path, written.decode())
            if runtime == "onnx":
                return compute_onnx(onnx_session(kept)), facts
            compiled = openvino_core().import_model(kept, "CPU", openvino_settings(precision))
            return compute_openvino(compiled), facts
        except Exception as error:  # each runtime raises its own on bytes that are no network
            log.debug("%s was kept, but cannot be loaded: %s", path, error)
            remove_cached(key)
    network, facts = make()
    if runtime == "onnx":
        compute, write = compute_onnx(onnx_session(network)), lambda: network
    else:
        compiled = openvino_core().compile_model(network, "CPU", openvino_settings(precision))
        compute, write = compute_openvino(compiled), lambda: compiled.export_model().getvalue()
    try:
        if key:
            write_cached(key, facts.written().encode() + b"\n" + write())
    except RuntimeError as error:  # OpenVINO does not write every network that it computes
        log.debug("%s is not kept: %s", path, error)
    return compute, facts


def check_torchscript(path: Path) -> None:
    """Check that a TorchScript file, a program, computes only; to load it already runs some of it.

    Raises:
        InputError: it calls anything that reads or writes files, or that is not torch's.
        zipfile.BadZipFile: it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        sources = [entry for entry in entries if entry.filename.lower().endswith(".py")]
        names = {entry.filename.lower() for entry in entries}
        if len(names) < len(entries) or sum(entry.file_size for entry in sources) > LARGEST:
            raise zipfile.BadZipFile("it is not as torch writes it")
        for entry in sources:
            if found := FORBIDDEN.search(archive.read(entry).decode("latin-1")):
                raise InputError(
                    f"checkpoint={path} is a program that calls {found[0]}, which no network does; "
                    "give a file that flukeseg.export wrote"
                )


def _read_openvino(path: Path) -> tuple[Any, Facts]:
    model = openvino_core().read_model(path)
    place = ["framework", KEY] if path.suffix == ".onnx" else [KEY]
    facts = model.get_rt_info(place).value if model.has_rt_info(place) else None
    return model, Facts.read(path, facts)


def _load_torchscript(path: Path) -> tuple[Compute, Facts]:
    import torch  # only what torch computes needs it

    check_torchscript(path)
    extra = {KEY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated
        script = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)

    @torch.inference_mode()
    def compute(image: np.ndarray) -> np.ndarray:
        return script(torch.from_numpy(image)).numpy()

    return compute, Facts.read(path, extra[KEY])


def _key(path: Path, runtime: str, precision: str | int) -> str:
    """Return a name for what a runtime makes of a file: another where anything might differ."""
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    parts = [runtime, choose_precision(precision, "cpu"), *map(digest_file, files), *_versions()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def _versions() -> list[str]:
    """Return what converts and compiles: libraries, this package's own code, the processor."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(package)
    code = [digest_file(file) for file in sorted((PACKAGE / "model").rglob("*.py"))]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    machine = [platform.machine(), platform.processor(), limit, *sorted(processor_flags())]
    return [*found, *code, *machine]
