"""How checkpoints are written and read while training."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import why_unreadable


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint complete or not at all, and reads plain types only.

    Lightning 2.6 writes to the system's folder for temporary files and moves the file from there,
    which is a copy where that is another disk: a full disk then cuts the checkpoint that was good.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            InputError: it cannot be written; the one that was there is kept.
        """
        content = io.BytesIO()  # torch's own writer reports a full disk as a bug of its own
        torch.save(checkpoint, content)
        with atomic_write(Path(path), sync=True) as partial:
            partial.write_bytes(content.getbuffer())

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file; Lightning 2.6 would remove folders too, and what lies at an address."""
        Path(path).unlink(missing_ok=True)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = "cpu",
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            InputError: it is damaged; names the others beside it.
        """
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        # torch raises whatever its reader of archives and pickles does
        except Exception as error:
            others = sorted(p.name for p in Path(path).parent.glob("*.ckpt") if p != Path(path))
            instead = (
                f"copy {' or '.join(others)} over it to go on from there, or " if others else ""
            )
            raise InputError(
                f"{path} cannot be read ({why_unreadable(error)}); {instead}leave ckpt_path=last "
                "out to start anew"
            ) from error
