"""What data a run was trained on, from the plain values in its `config.yaml`.

A run's folder may be somebody else's. Its configuration names classes and may hold interpolations,
so it is read as YAML of plain types, and of it only the values below, each checked: nothing in it
is resolved, imported or called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.errors import InputError, require_int, require_size
from flukeseg.images.reading import MASK_THRESHOLD
from flukeseg.training.run_folder import read_result

LARGEST = 1_000_000
"""Bytes of a configuration; flukeseg writes a few thousand."""


@dataclass(frozen=True)
class RunData:
    """How a run read its photos, and the pairs that it was trained and validated on, of which
    `root` is the folder; see `FolderDataModule`. Rendered flukes and mixtures have no `root`.

    Raises:
        InputError: a value is of another type or out of range.
    """

    root: str | None = None
    size: tuple[int, int] = (192, 384)
    mask_threshold: int = MASK_THRESHOLD
    val_count: int = 50
    folds: int | None = None
    fold: int | None = None
    seed: int = 0
    in_channels: int = 3

    def __post_init__(self) -> None:
        root = self.root
        if root is not None and (not isinstance(root, str) or not root or "\0" in root):
            raise InputError(f"data.root={self.root!r} must be the path of a folder")
        object.__setattr__(self, "size", require_size("data.size", self.size))
        require_int("data.mask_threshold", self.mask_threshold, least=0, most=254)
        require_int("data.val_count", self.val_count)
        require_int("data.in_channels", self.in_channels, least=3, most=4)
        require_int("data.seed", self.seed, least=0, most=2**32 - 1)
        if self.folds is not None:
            require_int("data.folds", self.folds, least=2)
        if self.fold is not None:
            require_int("data.fold", self.fold, least=0)

    def validation_names(self) -> list[str]:
        """Draw the split again from what lies in the folder today; return the validation names.

        Raises:
            InputError: the folder of pairs is missing, or has a problem.
        """
        return validation_names(
            FolderDataModule(
                self.root,  # type: ignore[arg-type]  # None is refused there
                val_count=self.val_count,
                folds=self.folds,
                fold=self.fold,
                size=self.size,
                mask_threshold=self.mask_threshold,
                seed=self.seed,
                in_channels=self.in_channels,
                num_workers=0,
            )
        )


def validation_names(data: FlukeDataModule) -> list[str]:
    """Return the names of the photos that a data module validates on."""
    data.setup()
    return list(data.val_set.source.names)


def read_run_data(run: Path) -> RunData | None:
    """Read what data a run was trained on; None where its folder has no configuration of data.

    Args:
        run: the run's folder, of any version of flukeseg.

    Raises:
        InputError: its `config.yaml` is no configuration of a run.
    """
    path = run / "config.yaml"
    if not path.is_file():
        return None
    data = _read(path).get("data")
    if not isinstance(data, Mapping):
        return None
    known = {name: data[name] for name in RunData.__dataclass_fields__ if name in data}
    try:
        return RunData(**known)
    except InputError as error:
        raise InputError(f"{path}: {error}; give the folder of a run of flukeseg.train") from error


def is_finished(run: Path) -> bool:
    """Return whether a run has come to its end and left its metrics."""
    return "figures" in (read_result(run) or {})


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, Mapping):
            raise ValueError("it holds no options")
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path} is not the configuration of a run ({reason}); give the folder of a run of "
            "flukeseg.train"
        ) from error
    return config
