"""Train on photos without masks: `python -m flukeseg.selftrain checkpoint=RUN source=PHOTOS`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.data.mixture import MixedDataModule
from flukeseg.data.mixture_sources import NoFlukeSource, RenderedSource
from flukeseg.data.pseudo_labels import read_labels
from flukeseg.errors import InputError, require_int, require_size
from flukeseg.evaluate import mask_settings, predictor, refuse_parts
from flukeseg.evaluation.labelled import render_pairs
from flukeseg.evaluation.pairing import find_true_masks, predict_and_pair
from flukeseg.evaluation.results import judge_pairs
from flukeseg.installation import CONF
from flukeseg.model.checkpoint_files import find_checkpoint, has_masks_of, learnt_from
from flukeseg.model.checkpoints import load_module
from flukeseg.model.exported import SUFFIXES
from flukeseg.model_config import build_module
from flukeseg.predict import predict
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import find_inputs, write_list
from flukeseg.train import train
from flukeseg.training import provenance
from flukeseg.training.archives import unpack, unpacked_folder
from flukeseg.training.label_selection import Gate, least_confidence, select_labels
from flukeseg.training.run_folder import read_result
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

MAY_CHANGE = (*provenance.MAY_CHANGE, "output", "rounds", "num_workers", "batch_size")
"""Keys that may differ when a command is resumed."""

OF_TRAINING = (
    "name", "seed", "folder", "ckpt_path",
    "data", "augmentation", "model", "trainer", "callbacks", "logger",
)  # fmt: skip
"""Keys of the configuration that a student is trained with."""


def selftrain(cfg: DictConfig) -> Path:
    """Train a student on a teacher's masks, make it the teacher, and repeat.

    Each round has a folder in `cfg.output` with the teacher's masks, which of them were accepted,
    and the student's run. A command that is started again continues where it was.

    Returns:
        The last student's checkpoint.

    Raises:
        InputError: something in the configuration or the photos cannot be used.
    """
    for key in ("checkpoint", "source", "output"):
        if cfg[key] is None or cfg[key] == []:
            raise InputError(f"{key}={cfg[key]} must not be empty")
    refuse_parts(cfg, "flukeseg.selftrain")
    rounds = require_int("rounds", cfg.rounds)
    require_int("trainer.max_epochs", cfg.trainer.max_epochs)
    gate = hydra.utils.instantiate(cfg.gate)
    output = Path(cfg.output)
    if (output / "config.yaml").exists():
        provenance.refuse_changes(cfg, output, MAY_CHANGE, "give another output")
    teacher = cfg.checkpoint
    first = find_checkpoint(command_line.several(teacher)[0])
    if first.suffix.lower() in SUFFIXES:
        raise InputError(f"checkpoint={first} is exported and cannot be fine-tuned; give a .ckpt")
    built = load_module(first, command_line.several(cfg.network or [])).hparams
    if built["in_channels"] != 3:
        raise InputError(f"checkpoint={first} takes photos with masks; give one for photos alone")
    network = {key: built[key] for key in ("encoder", "architecture", "decoder")}
    network["network"] = {"_target_": built.get("network"), **built.get("network_options", {})}
    refuse_unread(cfg, network)
    sources = list_photos(cfg, output)
    for number in range(1, rounds + 1):
        folder = output / f"round-{number}"
        labels = folder / "labels.csv"
        own = OmegaConf.merge(cfg, {"checkpoint": teacher})
        student = folder / "student"
        if not labels.exists():
            check_student(student_config(own, labels, student, network, None))
            make_labels(own, sources, folder, gate, number)
        refuse_other_photos(labels, sources)
        if not (output / "config.yaml").exists():  # not before: a mistake can be tried again
            provenance.write_provenance(cfg, output)
        teacher = train_student(own, labels, student, network)
        log.info("round %d has a student: %s", number, teacher)
    log.info("to use it: python -m flukeseg.predict checkpoint=%s source=… output=…", teacher)
    return Path(teacher)


def refuse_unread(cfg: DictConfig, network: Mapping[str, Any]) -> None:
    """Refuse options of a network, as a student has its teacher's.

    Raises:
        InputError: one is neither the teacher's nor the usual one.
    """
    usual = OmegaConf.load(CONF / "model" / "unet.yaml")
    for key in (*network, "start_from"):
        if (given := cfg.model[key]) not in (usual[key], network.get(key)):
            raise InputError(f"model.{key}={given}: a student has its teacher's; leave it out")


def check_student(cfg: DictConfig) -> None:
    """Build what trains a student, so that a mistake in its options is found before labelling.

    Raises:
        InputError: something in the configuration cannot be used.
    """
    is_mixed = issubclass(hydra.utils.get_class(cfg.data._target_), MixedDataModule)
    if not is_mixed or cfg.model.in_channels != 3:
        raise InputError("students learn from data=mixed, photos alone; leave both options out")
    hydra.utils.instantiate(cfg.data, _convert_="all")
    build_module(cfg)


def list_photos(cfg: DictConfig, output: Path) -> Path:
    """List the photos of `cfg.source`; archives are unpacked first.

    Returns:
        A text file with their paths, at most `cfg.most` of each source, evenly spread.
    """
    chosen: list[str] = []
    for source in command_line.several(cfg.source):
        path = Path(source)
        if path.suffix.lower() in (".tar", ".tgz", ".gz"):
            unpacked = unpacked_folder(path, output)
            if not unpacked.exists():
                unpack(path, unpacked)
            source = str(unpacked)
        found = find_inputs(source, leave_out=cfg.output)
        if cfg.most is not None and len(found) > require_int("most", cfg.most):
            spread = np.linspace(0, len(found) - 1, cfg.most).round().astype(int)
            found = [found[i] for i in spread]
        chosen += found
    listed = output / "photos.txt"
    write_list(listed, chosen)
    return listed


def make_labels(cfg: DictConfig, sources: Path, folder: Path, gate: Gate, number: int) -> None:
    """Let the teacher predict every photo, and write those masks that are good enough as labels."""
    folder.mkdir(parents=True, exist_ok=True)
    confidence = calibrate(cfg, folder / "calibration", gate)
    asked = {"source": str(sources), "output": str(folder / "teacher")}
    products = ["mask", "probability", "uncertainty"]
    predict(OmegaConf.merge(cfg, {**asked, "products": products}))
    asked_for = set(find_inputs(sources))  # absolute, as `list_photos` lists them
    teacher = PredictionFolder(folder / "teacher")
    must_validate = not others_validate(cfg)
    tally = select_labels(
        teacher, folder, gate, confidence, cfg.max_pixels, asked_for, must_validate
    )
    kinds = ", ".join(f"{count} {kind}" for kind, count in tally.most_common())
    log.info("round %d: masks from a confidence of %.3f: %s", number, confidence, kinds)
    log.info("pictures: %s and %s", folder / "taken", folder / "refused")


def others_validate(cfg: DictConfig) -> bool:
    """Tell whether a student may validate on photos of another source than its own labels."""
    others = [part for name, part in cfg.data.sources.items() if part and name != "pseudo_labelled"]
    never = (RenderedSource, NoFlukeSource)
    return any(
        hydra.utils.get_class(part._target_) not in never and part.get("validates", True)
        for part in others
    )


def refuse_other_photos(labels: Path, sources: Path) -> None:
    """Check that a list of labels, which may be somebody else's, names photos of a list only.

    Raises:
        InputError: it names another.
    """
    own = {Path(path).resolve() for path in find_inputs(sources)}
    for label in read_labels(labels):
        if label.photo not in own:
            raise InputError(
                f"{labels} names {label.photo}, which is not in source=; give another output"
            )


def calibrate(cfg: DictConfig, folder: Path, gate: Gate) -> float:
    """Return the confidence from which this teacher's masks are good, on photos with true masks."""
    root = cfg.calibrate_on
    if root is None:
        size = require_size("photo_size", cfg.photo_size)
        count = require_int("calibrate_count", cfg.calibrate_count)
        root = render_pairs(folder / "rendered", count, size, cfg.seed)
    truths = find_true_masks(root, key="calibrate_on")
    pairs = predict_and_pair(predictor(cfg), mask_settings(cfg), truths, folder / "teacher")
    rows = [
        row
        for row in judge_pairs("teacher", pairs, cfg.max_pixels).rows
        if row["predicted_coverage"] > 0
    ]
    confidence = least_confidence(
        gate, [row["confidence"] for row in rows], [row["dice"] for row in rows]
    )
    kept = sum(row["confidence"] >= confidence for row in rows)
    log.info("calibrated on %s: %d of %d masks kept", root, kept, len(rows))
    return confidence


def train_student(cfg: DictConfig, labels: Path, folder: Path, network: dict[str, Any]) -> str:
    """Train the student of a round, or resume it; return its best checkpoint."""
    if read_result(folder) is None:
        last = "last" if (folder / "checkpoints" / "last.ckpt").exists() else None
        train(student_config(cfg, labels, folder, network, last))
    return str(find_checkpoint(folder))


def student_config(
    cfg: DictConfig, labels: Path, folder: Path, network: dict[str, Any], last: str | None
) -> DictConfig:
    """Return a student's configuration: it fine-tunes the first teacher's network."""
    first = find_checkpoint(command_line.several(cfg.checkpoint)[0])
    changes: dict[str, Any] = {
        "folder": str(folder),
        "ckpt_path": last,
        "data": {"sources": {"pseudo_labelled": {"labels": str(labels)}}},
        "model": {
            "start_from": str(first),
            **network,
        },
    }
    resolved = OmegaConf.to_container(OmegaConf.merge(cfg, changes), resolve=True)
    if all(has_masks_of(str(one), "rendered") for one in command_line.several(cfg.checkpoint)):
        resolved["model"]["learnt_from"] = learnt_from("rendered")
    return OmegaConf.create({key: resolved[key] for key in OF_TRAINING if key in resolved})


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="selftrain")
def main(cfg: DictConfig) -> None:
    """Self-train from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        selftrain(cfg)


if __name__ == "__main__":
    command_line.run(main)
