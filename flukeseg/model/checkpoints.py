"""Checkpoint files -> the module to predict with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flukeseg.errors import InputError
from flukeseg.model.module import SegmentationModule
from flukeseg.model.runtimes import (
    SUFFIXES,
    Compute,
    ExportedModule,
    choose_runtime,
    compute_network,
    load_exported,
)


def load_checkpoints(
    paths: Sequence[Path], runtime: str = "torch", precision: str = "auto"
) -> SegmentationModule | ExportedModule:
    """Load one module; further checkpoints are averaged in.

    Only tensors and plain values are loaded: a file that would run code is refused.

    Args:
        paths: of checkpoints, or of what `flukeseg.export` wrote.
        runtime: what computes them, see `choose_runtime`.
        precision: of a runtime other than torch; torch's is the trainer's.

    Raises:
        InputError: a file is none of flukeseg's, their sizes differ, or the runtime cannot
            compute them.
    """
    forms = [SUFFIXES.get(path.suffix.lower(), "torch") for path in paths]
    chosen = {(choose_runtime(runtime, form), form == "torch") for form in forms}
    if len({name for name, _ in chosen}) > 1 or {("torch", True), ("torch", False)} <= chosen:
        raise InputError(
            f"checkpoint={[str(path) for path in paths]} are of formats that do not mix; average "
            "checkpoints, or files of one format"
        )
    if chosen == {("torch", True)}:
        first, *others = modules = [_load(path) for path in paths]
        _check_one_size(paths, [module.size for module in modules])
        first.companions.extend(other.network for other in others)
        return first.eval()
    ((runtime, _), *_) = chosen
    loaded = [_computed(path, runtime, precision) for path in paths]
    _check_one_size(paths, [size for _, size in loaded])
    return ExportedModule([compute for compute, _ in loaded], loaded[0][1], runtime)


def _computed(path: Path, runtime: str, precision: str) -> tuple[Compute, tuple[int, int]]:
    """Load a file for a runtime, a checkpoint by converting it."""
    if path.suffix.lower() in SUFFIXES:
        compute, facts = load_exported(path, runtime, precision)
        return compute, facts.size
    module = _load(path).eval()
    return compute_network(module.network, runtime, precision), module.size


def _check_one_size(paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"checkpoint={path} learnt at {_size(size)}, {paths[0]} at {_size(sizes[0])}; "
                "average checkpoints of one size"
            )


def _load(path: Path) -> SegmentationModule:
    try:
        return SegmentationModule.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler fails in any way it likes on bytes that are no file
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError(
            f"checkpoint={path} cannot be loaded as a flukeseg checkpoint that holds tensors and "
            f"nothing that would run ({reason}); give one that flukeseg.train wrote"
        ) from None


def _size(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width} × {height}"
