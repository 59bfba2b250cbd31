"""Halve a run's checkpoint into flukeseg: `python -m flukeseg.training.shrink RUN NAME [SHARE]`.

With a share below 1, weights are averaged with those of the network that is there, from which the
run was fine-tuned: it keeps more of what that one knew (Wortsman et al. 2022, "Robust fine-tuning
of zero-shot models").
"""

import hashlib
import sys
from pathlib import Path

import torch

from flukeseg import command_line
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.pretrained import FOLDER, NETWORKS

KEPT = ("hyper_parameters", "hparams_name", "pytorch-lightning_version")


def halve(checkpoint: Path, path: Path, share: float = 1) -> int:
    """Write the network of a checkpoint in half precision, without what only training needs.

    Args:
        checkpoint: of a run.
        path: of the file.
        share: of the checkpoint's weights; the others are those that the file has.

    Returns:
        The file's size in bytes.
    """
    given = torch.load(checkpoint, map_location="cpu", weights_only=True)
    before = (
        {} if share == 1 else torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    )
    network = {
        name: tensor for name, tensor in given["state_dict"].items() if name.startswith("network.")
    }
    for name, tensor in network.items():
        if tensor.is_floating_point():
            mixed = torch.lerp(before[name].float(), tensor.float(), share) if before else tensor
            network[name] = mixed.half()
    torch.save({"state_dict": network, **{key: given[key] for key in KEPT if key in given}}, path)
    return path.stat().st_size


if __name__ == "__main__":
    with command_line.report_user_errors():
        if len(sys.argv) not in (3, 4) or sys.argv[2] not in NETWORKS:
            raise InputError(f"give a run's folder, one of {', '.join(NETWORKS)}, maybe a share")
        run, path = sys.argv[1], FOLDER / NETWORKS[sys.argv[2]].file
        share = float(sys.argv[3]) if len(sys.argv) == 4 else 1
        print(f"{path}: {halve(find_checkpoint(run), path, share) / 1e6:.1f} MB")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"its checksum, for flukeseg/pretrained/__init__.py: {digest}")
