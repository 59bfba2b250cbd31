"""Fit the outline network to rendered flukes.

`python -m flukeseg.training.small_networks.outlines WEIGHTS.npz` writes it.
The weights of `flukeseg/anatomy/outline_network.npz` were fitted by the default options. On one
core of two, the other busy: 0.08 s for a rendering, 0.16 s for a step.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

from flukeseg.anatomy.outline_network import COARSE, FIRST, LAST, POINTS, POOL, STEM_REACH
from flukeseg.training.small_networks.outline_samples import Sample, described, draw_sample

CHANNELS = 32
FEATURES = 8
SPREAD = 1.2  # points: how far a target reaches about its place
BATCH = 32
RATE = 4e-3


class OutlineNetwork(nn.Module):
    """The network of `flukeseg.anatomy.outline_network`, with the same names, for fitting it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = FIRST + COARSE + LAST
        self.stem = nn.Linear(FEATURES * (2 * STEM_REACH + 1), CHANNELS)
        self.near = nn.ModuleList(nn.Linear(3 * CHANNELS, CHANNELS) for _ in self.steps)
        self.all = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS, bias=False) for _ in self.steps)
        self.out = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in self.steps)
        self.head = nn.Linear(CHANNELS, 4)
        self.nowhere = nn.Sequential(
            nn.Linear(2 * CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, 3)
        )
        for layer in self.out:  # so that the blocks begin as small changes
            nn.init.zeros_(layer.bias)
            layer.weight.data *= 0.3

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of N×`POINTS`×8: N×3×(`POINTS` + 1) of places, and N×`POINTS` of trailing edge."""
        reach = range(STEM_REACH, -STEM_REACH - 1, -1)
        x = self.stem(torch.cat([features.roll(k, 1) for k in reach], 2))
        first, coarse = len(FIRST), len(FIRST + COARSE)
        for number in range(first):
            x = self._block(x, number)
        pooled = x.unflatten(1, (POINTS // POOL, POOL)).mean(2)
        for number in range(first, coarse):
            pooled = self._block(pooled, number)
        x = x + pooled.repeat_interleave(POOL, 1)
        for number in range(coarse, len(self.steps)):
            x = self._block(x, number)
        point = self.head(functional.relu(x))
        pooled = functional.relu(pooled)
        nowhere = self.nowhere(torch.cat([pooled.mean(1), pooled.amax(1)], 1))
        return torch.cat([point[..., :3].mT, nowhere[..., None]], 2), point[..., 3]

    def _block(self, x: torch.Tensor, number: int) -> torch.Tensor:
        step = self.steps[number]
        around = torch.cat([x.roll(step, 1), x, x.roll(-step, 1)], 2)
        mixed = self.near[number](around) + self.all[number](x.mean(1))[:, None]
        return x + self.out[number](functional.relu(mixed))


def targets(places: np.ndarray) -> np.ndarray:
    """Turn N×3 places, NaN where not visible, into N×3×(`POINTS` + 1) float32 probabilities."""
    off = (np.arange(POINTS) - places[..., None] + POINTS / 2) % POINTS - POINTS / 2
    near = np.nan_to_num(np.exp(-((off / SPREAD) ** 2) / 2))
    near /= np.maximum(near.sum(-1, keepdims=True), 1e-9)
    return np.concatenate([near, np.isnan(places)[..., None]], -1).astype(np.float32)


def fit(samples: list[Sample], steps: int, seed: int) -> OutlineNetwork:
    """Fit a network: AdamW, a rate that falls as a cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = OutlineNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.05)
    with trange(steps, unit="step") as bar:
        for _ in bar:
            chosen = rng.integers(len(samples), size=BATCH)
            batch = [described(samples[number], rng) for number in chosen]
            features, places, trailing = (np.stack(values) for values in zip(*batch, strict=True))
            logits, edge = network(torch.from_numpy(features))
            likely = logits.log_softmax(-1)
            loss = -(torch.from_numpy(targets(places)) * likely).sum(-1).mean()
            loss = loss + 2 * functional.binary_cross_entropy_with_logits(
                edge, torch.from_numpy(trailing)
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}")
    return network


def save(network: nn.Module, path: Path, **others: np.ndarray) -> None:
    """Write a network's weights as float16 arrays by name, and other arrays as they are."""
    arrays = {
        name: value.numpy().astype(np.float16) for name, value in network.state_dict().items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays, **others)


def main() -> None:
    """Render, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="npz file to write")
    parser.add_argument("--renderings", type=int, default=15000)
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--seed", type=int, default=771)
    options = parser.parse_args()
    numbers = trange(options.renderings, unit="rendering")
    drawn = (draw_sample((options.seed, number)) for number in numbers)
    samples = [sample for sample in drawn if sample is not None]
    save(fit(samples, options.steps, options.seed), options.path)


if __name__ == "__main__":
    main()
