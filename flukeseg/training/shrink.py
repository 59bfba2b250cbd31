"""Halve a run's checkpoint into this folder: `python -m flukeseg.training.shrink RUN NAME`."""

import hashlib
import sys
from pathlib import Path

import torch

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.pretrained import FOLDER, NETWORKS

KEPT = ("hyper_parameters", "hparams_name", "pytorch-lightning_version")


def halve(checkpoint: Path, path: Path) -> int:
    """Write the network of a checkpoint in half precision, without what only training needs.

    Returns:
        The file's size in bytes.
    """
    given = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in given["state_dict"].items()
        if name.startswith("network.")
    }
    torch.save({"state_dict": network, **{key: given[key] for key in KEPT if key in given}}, path)
    return path.stat().st_size


if __name__ == "__main__":
    with command_line.report_user_errors():
        if len(sys.argv) != 3 or sys.argv[2] not in NETWORKS:
            raise InputError(f"give a run's folder and one of {', '.join(NETWORKS)}")
        run, path = sys.argv[1], FOLDER / NETWORKS[sys.argv[2]].file
        print(f"{path}: {halve(find_checkpoint(run), path) / 1e6:.1f} MB")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"its checksum, for flukeseg/pretrained/__init__.py: {digest}")
