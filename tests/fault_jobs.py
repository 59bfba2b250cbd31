"""The jobs that `tests/faults.py` breaks: their commands, what they save, and what they come to."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
import torch
from conftest import write_pairs

from flukeseg import predict, selftrain, train
from flukeseg.model.module import SegmentationModule

PHOTOS = 10
OUT = Path("out")
"""Of every command, in a working folder of its own, so that no result depends on its place."""

TINY = ("batch_size=2", "runtime=torch", "trainer.accelerator=cpu", "trainer.precision=32")
CHANNELS = [16, 16, 8, 8, 8]
LEARN = ("data.size=[32,64]", "model.encoder=test_resnet", "model.encoder_weights=null",
         "data.batch_size=4", "callbacks.early_stopping=null", "trainer.max_epochs=2",
         f"+model.decoder.decoder_channels={CHANNELS}")  # fmt: skip
GATE = ("calibrate_count=5", "photo_size=[64,128]", "gate.good=0", "gate.precision=0.5",
        "gate.disagreement=1", "gate.sure=0.5", "gate.val_count=2", "data.train_count=8",
        "tta=none", "cleaning.min_coverage=0.001")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A job and what a fault must not take.

    `options`: of the command; `workers`: those that set the number of loading processes. `photos`:
    folder of the input, of which one may be removed. `results`: what a run comes to, without
    clocks. `saved`: by name, what a run has finished, with its clock, so that work done twice is
    noticed. `resumed`: options of the command that goes on. `prepare`: what the job needs in `OUT`.
    """

    module: ModuleType
    options: tuple[str, ...]
    photos: Path
    results: Callable[[], dict[str, Any]]
    saved: Callable[[], dict[str, str]]
    workers: tuple[str, ...] = ("num_workers",)
    resumed: Callable[[], tuple[str, ...]] = tuple
    prepare: Callable[[], object] = tuple

    def command(self, workers: int, *more: str) -> list[str]:
        """Return the command's options."""
        return [*self.options, *(f"{key}={workers}" for key in self.workers), *more]


def make_jobs(root: Path) -> dict[str, Job]:
    """Write the input of all jobs to a folder, and return them."""
    write_pairs(root, PHOTOS, (40, 80))
    photos = root / "images"
    checkpoint = f"checkpoint={write_checkpoint(root / 'teacher/checkpoints/last.ckpt')}"
    own = (checkpoint, f"source={photos}", f"output={OUT}", "size=[32,64]", *TINY)
    summaries = "products=[overlay,coco,gallery]"
    return {
        "predict": Job(predict, (*own, summaries), photos, files, saved_photos),
        "train": Job(
            train,
            ("data=folder", f"data.root={root}", "data.val_count=4", f"hydra.run.dir={OUT}",
             *LEARN, *TINY[2:]),
            photos, files, partial(saved_epochs, OUT), ("data.num_workers",),
            partial(go_on, OUT),
        ),
        "selftrain": Job(
            selftrain, (*own, *LEARN, *GATE), photos, partial(files, ["index.html"]), saved_rounds,
            ("num_workers", "data.num_workers"),
        ),
        "merge": Job(
            predict, (*own, summaries, "shard=merge"), photos, files, saved_photos,
            prepare=partial(shutil.copytree, root.parent / "shards", OUT, dirs_exist_ok=True),
        ),
    }  # fmt: skip


def write_checkpoint(path: Path) -> Path:
    """Write a network that has learnt nothing; its masks are as good as any to be compared."""
    torch.manual_seed(1)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    decoder = {"decoder_channels": CHANNELS}
    trainer.strategy.connect(SegmentationModule("test_resnet", size=(32, 64), decoder=decoder))
    trainer.save_checkpoint(path)
    return path


def go_on(run: Path) -> tuple[str, ...]:
    return ("ckpt_path=last",) if (run / "checkpoints/last.ckpt").exists() else ()


# What has been saved


def saved_photos(folder: Path = OUT) -> dict[str, str]:
    """The line of each photo that is done; of several the last, which has another time."""
    found = {}
    for journal in sorted(folder.glob(".flukeseg/journal-*.jsonl")):
        for line in journal.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and not (row := json.loads(line))["status"].startswith("unr"):
                found[row["key"]] = str(row["written"])
    return found


def saved_epochs(run: Path) -> dict[str, str]:
    """The row of each epoch in the newest checkpoint, with its seconds."""
    try:
        content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    except FileNotFoundError:
        return {}
    (rows,) = (state["rows"] for state in content["callbacks"].values() if "rows" in state)
    return {f"{run} {row['epoch']}": f"{row['seconds']} {row['train/loss']}" for row in rows}


def saved_rounds() -> dict[str, str]:
    """Of a self-training: photos of the teacher, its labels, and the student's epochs."""
    found = saved_photos(OUT / "round-1/teacher") | saved_epochs(OUT / "round-1/student")
    if (labels := OUT / "round-1/labels.csv").exists():
        found["labels"] = str(labels.stat().st_mtime_ns)
    return found


# What a run comes to


def files(leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """All files of a run but for logs and the program's own, byte for byte, without clocks.

    Photos that could not be read are left out of tables.
    """
    return {
        path.as_posix(): content_of(path)
        for path in OUT.rglob("*")
        if path.is_file() and not {".flukeseg", ".hydra"} & {*path.parts}
        if path.suffix != ".log" and path.name not in (".lock", "provenance.json", *leave_out)
    }


def content_of(path: Path) -> Any:
    if path.suffix == ".ckpt":
        return digest(torch.load(path, weights_only=True))
    if path.suffix == ".csv":
        rows = csv.DictReader(path.read_text().replace(str(Path.cwd()), "").splitlines())
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows
                if "unreadable" not in str(row)]  # fmt: skip
    content = path.read_bytes().replace(os.fsencode(Path.cwd()), b"")
    if path.name == "config.yaml":  # says with what it was resumed
        changes = (b"ckpt_path:", b"num_workers:")
        return [line for line in content.splitlines() if not line.strip().startswith(changes)]
    return hashlib.sha256(content).hexdigest()


def digest(value: Any) -> Any:
    """Return what a checkpoint holds, tensors as hashes of their bytes, without the clock."""
    if isinstance(value, torch.Tensor):
        return value.shape, hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {digest(key): digest(one) for key, one in value.items() if key != "seconds"}
    if isinstance(value, list | tuple):
        return [digest(one) for one in value]
    return value.replace(str(Path.cwd()), "") if isinstance(value, str) else value
