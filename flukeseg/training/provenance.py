"""What a run was made with: configuration, versions, seed, revision."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import flukeseg
from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.installation import PACKAGE
from flukeseg.model.precision import processor_name

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pillow",
    "torchmetrics",
    "hydra-core",
)

MAY_CHANGE = ("ckpt_path", "folder", "data.num_workers", "trainer.", "callbacks.", "logger")
"""Keys that may differ in a resumed run: they change where and how long it trains, not on what."""


RENAMED_CLASSES = {
    "Start": "StartSize",
    "Rendered": "RenderedSource",
    "Labelled": "LabelledSource",
    "Taught": "PseudoLabelledSource",
}
"""Classes whose names changed since there were runs, by their names then."""

RENAMED_KEYS = {"data.sources.taught.": "data.sources.pseudo_labelled."}
"""Beginnings of keys that changed since there were runs."""

ADDED_KEYS = {
    "model.architecture": "unet",
    "model.loss.bce_weight": 1.0,
    "model.loss.dice_weight": 1.0,
    "model.loss.smooth": 1.0,
    "model.encoder_lr_scale": 1.0,
    "model.encoder_lr_decay": 1.0,
    "model.schedule_interval": "epoch",
    "model.optimizer._partial_": True,
    "model.network._target_": None,
    "model.in_channels": 3,
    "model.mask_dropout": 0.5,
    "data.in_channels": 3,
    "data.keep_count": 20000,
    "model.loss.dice_over": "batch",
    "model.optimizer.fused": True,  # a checkpoint keeps how its optimiser computes, and goes on so
}
"""Keys that some runs lack, and what these did."""

WITHOUT_EFFECT = (".extra", ".extra_first", ".keep", ".not_flukes", ".then", ".without")
"""Ends of keys that some runs lack, and that do nothing where they are empty or zero."""


def write_provenance(cfg: DictConfig, folder: Path, is_resumed: bool = False) -> None:
    """Write `config.yaml`, resolved, and `provenance.json` to a run's folder.

    Of a resumed run, `before` lists what its earlier parts were made with, where that differs.

    Raises:
        InputError: the `provenance.json` of a resumed run is damaged.
    """
    path = folder / "provenance.json"
    before = _earlier(path) if is_resumed and path.is_file() else []
    with atomic_write(folder / "config.yaml") as partial:  # other processes may be reading it
        OmegaConf.save(cfg, partial, resolve=True)
    record: dict[str, Any] = {
        "flukeseg": flukeseg.__version__,
        "git_revision": git_revision(),
        "seed": cfg.seed,
        "python": platform.python_version(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {package: version(package) for package in PACKAGES},
    }
    if before and before[-1] == record:
        before.pop()
    if before:
        record["before"] = before
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _earlier(path: Path) -> list[dict[str, Any]]:
    """Return the records in a run's file, the oldest first."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return [*record.pop("before", []), record]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged; delete it to go on without it") from error


def refuse_changes(
    cfg: DictConfig,
    folder: Path,
    may_change: tuple[str, ...] = MAY_CHANGE,
    otherwise: str = "leave ckpt_path=last out to start anew",
) -> None:
    """Check that a run is resumed with the configuration it was started with.

    Another seed or fold would validate on photos that it has trained on. Of our own `_target_`s
    only the class name counts, so that runs can be resumed after the code was rearranged.

    Args:
        cfg: the configuration.
        folder: where `config.yaml` is.
        may_change: beginnings of keys whose values may differ.
        otherwise: what to do for a run with other options.

    Raises:
        InputError: an option differs; names those that do.
    """
    before = _comparable(OmegaConf.load(folder / "config.yaml"))
    now = _comparable(cfg, resolve=True)
    changed = [
        f"{key}={before.get(key)} (now {now.get(key)})"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_change)
    ]
    if changed:
        raise InputError(
            f"{folder} was started with {', '.join(changed)}; go on with the same options, or "
            f"{otherwise}"
        )


def _comparable(cfg: DictConfig, resolve: bool = False) -> dict[str, Any]:
    found = {}
    for key, value in _flat(OmegaConf.to_container(cfg, resolve=resolve)):
        for earlier, later in RENAMED_KEYS.items():
            if key.startswith(earlier):
                key = later + key.removeprefix(earlier)
        if key.endswith("_target_") and str(value).startswith("flukeseg."):
            name = value.rpartition(".")[2]
            value = RENAMED_CLASSES.get(name, name)
        if key.endswith(WITHOUT_EFFECT) and not value:
            continue
        found[key] = value
    return {**ADDED_KEYS, **found}


def git_revision() -> str | None:
    """Revision of the code, with `-dirty` where it was changed since; None outside a clone."""
    clone = PACKAGE.parent
    top = _git("rev-parse", "--show-toplevel")
    # an environment may lie in a repository of somebody else
    if top is None or Path(top) != clone or not (clone / "pyproject.toml").is_file():
        return None
    revision = _git("rev-parse", "HEAD")
    return f"{revision}-dirty" if revision and _git("status", "--porcelain") else revision


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node
