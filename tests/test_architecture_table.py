"""Every architecture with three encoders, as a table.

FLUKESEG_TABLE=table.md pytest -m slow tests/test_architecture_table.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from flukeseg.errors import InputError
from flukeseg.export import export
from flukeseg.model.architectures import ARCHITECTURES
from flukeseg.model.checkpoints import load_predictor
from flukeseg.model.module import SegmentationModule

ENCODERS = ("resnet18", "mobilenetv3_small_100", "mit_b0", "vit_tiny_patch16_224")
"""A CNN, a MobileNet, a pyramid transformer and a plain one; the last is for dpt alone."""

CELLS = [
    (architecture, encoder)
    for architecture in ARCHITECTURES
    for encoder in ENCODERS
    if architecture == "dpt" or not encoder.startswith("vit")
]


@pytest.fixture(scope="module")
def table():
    """What came of each cell; written at the end where FLUKESEG_TABLE names a file."""
    found: dict[tuple[str, str], str] = {}
    yield found
    if path := os.environ.get("FLUKESEG_TABLE"):
        lines = ["| | " + " | ".join(ENCODERS) + " |", "|---" * (len(ENCODERS) + 1) + "|"]
        for architecture in ARCHITECTURES:
            row = [found.get((architecture, encoder), "") for encoder in ENCODERS]
            lines.append(f"| `{architecture}` | {' | '.join(row)} |")
        Path(path).write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of tracing, and of networks that tests do not choose
@pytest.mark.parametrize(("architecture", "encoder"), CELLS)
def test_network_trains_predicts_and_exports_or_says_why_not(
    table, architecture, encoder, tmp_path
):
    torch.manual_seed(0)
    # pan takes no side below 128, and what is exported is compared at half the height too
    size = (256, 128) if architecture == "pan" else (64, 128)
    stage = "trains"
    try:
        # or it takes the size of its weights only
        decoder = {"dynamic_img_size": True} if encoder.startswith("vit") else {}
        module = SegmentationModule(encoder, size=size, architecture=architecture, decoder=decoder)
        optimizer = module.configure_optimizers()["optimizer"]
        for _ in range(2):
            logits = module(torch.rand(2, 3, *size))
            loss = module.loss(logits, torch.zeros_like(logits))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)
        trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        stage = "predicts"
        predictor = load_predictor([tmp_path / "a.ckpt"])
        with torch.inference_mode():
            assert predictor(torch.rand(1, 3, *size)).probability.shape == (1, 1, *size)
        stage = "ONNX"
        options = {"checkpoint": str(tmp_path / "a.ckpt"), "format": "onnx", "threshold": 0.5}
        export(OmegaConf.create({**options, "output": str(tmp_path / "a.onnx"), "network": None}))
        table[architecture, encoder] = "all"
    except InputError as error:  # a sentence, and at a stage where a network may have one
        table[architecture, encoder] = {"trains": "no", "ONNX": "all but ONNX"}[stage]
        print(f"{architecture} {encoder}: {stage}: {error}")
