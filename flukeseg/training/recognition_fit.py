"""Fit recognition: `python -m flukeseg.training.recognition_fit WEIGHTS.npz --samples FILE.npz`.

`flukeseg/masks/recognition.npz` was fitted by the default options, with the masks that the shipped
network predicts. On one core of two that other work shared: 0.36 s for a rendering, 5 s for an
epoch. Half of the pictures show flukes; a fifth is held out, and calibrates the probability.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.recognition import LAYERS, SIDE, Recognition
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.training.outlines import save
from flukeseg.training.recognition_samples import collect_samples, cut_views, vary

CHANNELS = (3, 16, 32, 48, 64)
HIDDEN = 32
BATCH = 32
RATE = 2e-3
HELD_OUT = 5  # every so many pictures


class RecognitionNetwork(nn.Module):
    """The network of `flukeseg.masks.recognition`, with the same names, for fitting it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(CHANNELS[n], CHANNELS[n + 1], 3, 2, 1) for n in range(LAYERS)
        )
        self.hidden = nn.Linear(CHANNELS[-1] * (SIDE // 2**LAYERS) ** 2, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Logits of N×3×`SIDE`×`SIDE` views in 0..1."""
        x = 2 * views - 1
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
        x = functional.dropout(x.flatten(1), 0.3, self.training)
        return self.last(functional.relu(self.hidden(x)))[:, 0]


def read_samples(path: Path, pictures: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return views, whether each is a fluke, and its picture's number; drawn unless in a file."""
    if not path.exists():
        masks = MaskSettings(recognition=Recognition(remove=0, doubt=0))
        segmenter = Segmenter.from_checkpoint(tta="none", look="once", masks=masks)
        views, flukes, numbers = collect_samples(segmenter, seed, pictures)
        np.savez_compressed(path, views=views, flukes=flukes, numbers=numbers)
    with np.load(path) as arrays:
        return arrays["views"], arrays["flukes"], arrays["numbers"]


def fit(views: np.ndarray, flukes: np.ndarray, epochs: int, seed: int) -> RecognitionNetwork:
    """Fit a network: AdamW, a rate that falls as a cosine; flukes and others count alike."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = RecognitionNetwork()
    steps = max(1, len(views) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * steps, pct_start=0.1)
    weights = _balance(flukes)
    with trange(epochs, unit="epoch") as bar:
        for _ in bar:
            order, total = rng.permutation(len(views)), 0.0
            for step in range(steps):
                chosen = order[step * BATCH : (step + 1) * BATCH]
                loss = _loss(
                    network(_tensor(np.stack([vary(views[number], rng) for number in chosen]))),
                    flukes[chosen],
                    weights[chosen],
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            bar.set_postfix(loss=f"{total / steps:.4f}")
    return network.eval()


def calibrate(logits: np.ndarray, flukes: np.ndarray) -> tuple[float, float]:
    """Return gain and offset of logits by which they are calibrated (Platt 1999)."""
    scale = torch.tensor([1.0, 0.0], requires_grad=True)
    values = torch.from_numpy(logits).float()
    weights = _balance(flukes)
    optimizer = torch.optim.LBFGS([scale], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = _loss(scale[0] * values + scale[1], flukes, weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    gain, offset = scale.detach().tolist()
    return gain, offset


def predict(network: RecognitionNetwork, views: np.ndarray) -> np.ndarray:
    """Logits of stored views, each the mean with its mirror image's."""
    seen = _tensor(cut_views(views))
    with torch.inference_mode():
        return ((network(seen) + network(seen.flip(3))) / 2).numpy()


def print_reliability(probability: np.ndarray, flukes: np.ndarray) -> None:
    """Print how often held-out components are flukes, by their probability."""
    print(f"{'probability':14} components  mean   flukes")
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        own = (probability >= low) & (probability < high)
        if own.any():
            cells = f"{own.sum():10d}  {probability[own].mean():.3f}  {flukes[own].mean():.3f}"
            print(f"{low:.2f} to {min(high, 1):.2f}   {cells}")


def _balance(flukes: np.ndarray) -> np.ndarray:
    share = flukes.mean()
    return np.where(flukes, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)


def _loss(logits: torch.Tensor, flukes: np.ndarray, weights: np.ndarray) -> torch.Tensor:
    truth = torch.from_numpy(flukes.astype(np.float32))
    return functional.binary_cross_entropy_with_logits(logits, truth, torch.from_numpy(weights))


def _tensor(views: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(views).permute(0, 3, 1, 2).contiguous()


def main() -> None:
    """Render, predict, fit, calibrate and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="npz file to write")
    parser.add_argument("--samples", type=Path, required=True, help="npz file of what was drawn")
    parser.add_argument("--pictures", type=int, default=1400)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--seed", type=int, default=772)
    options = parser.parse_args()
    views, flukes, numbers = read_samples(options.samples, options.pictures, options.seed)
    held_out = numbers // 2 % HELD_OUT == 0  # as many with flukes as without
    network = fit(views[~held_out], flukes[~held_out], options.epochs, options.seed)
    logits = predict(network, views[held_out])
    gain, offset = calibrate(logits, flukes[held_out])
    print_reliability(1 / (1 + np.exp(-(gain * logits + offset))), flukes[held_out])
    save(network, options.path, calibration=np.array([gain, offset], np.float32))


if __name__ == "__main__":
    main()
