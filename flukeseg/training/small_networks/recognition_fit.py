"""Fit recognition to what `recognition_samples` has drawn.

`python -m flukeseg.training.small_networks.recognition_fit WEIGHTS.npz --samples ONE.npz TWO.npz`:
`flukeseg/masks/recognition.npz` was fitted to 2,700 pictures each of the seeds 772 and 773, of
which the network that was `rendered` at revision ae0472f predicted the masks, and 1,800 each of 774
and 775, by that of 887c7f8: it had seen no fins, and so finds more of what is no fluke. Half of
the pictures show flukes; a fifth is held out, and calibrates the probability.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

from flukeseg.masks.recognition import LAYERS, SIDE
from flukeseg.training.small_networks.outlines import save
from flukeseg.training.small_networks.recognition_samples import (
    Samples,
    cut_views,
    vary,
)

CHANNELS = (3, 16, 32, 48, 64)
HIDDEN = 32
BATCH = 32
RATE = 2e-3
LOOK_HIDDEN = 64
LOOK_BATCH = 64
LOOK_EPOCHS = 25
LOOK_FITS = 4
"""Networks on features that are fitted; the mean of their answers counts."""

HELD_OUT = 5  # every so many pictures


class RecognitionNetwork(nn.Module):
    """The network of `flukeseg.masks.recognition` on shapes, with its names, for fitting it."""

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


class LookNetwork(nn.Module):
    """The network of `flukeseg.masks.recognition` on features, for fitting it.

    Args:
        features: N×F, which are normalised as these are.
    """

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", 1 / (features.std(0) + 1e-3))
        self.hidden = nn.Linear(features.shape[1], LOOK_HIDDEN)
        self.last = nn.Linear(LOOK_HIDDEN, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of N×F features."""
        x = (features - self.get_buffer("mean")) * self.get_buffer("scale")
        if self.training:
            x = functional.dropout(x + 0.1 * torch.randn_like(x), 0.5)
        x = functional.relu(self.hidden(x))
        return self.last(functional.dropout(x, 0.3, self.training))[:, 0]


def fit_look(samples: Samples, seed: int) -> LookNetwork:
    """Fit a network on features; the means of several are taken by joining their hidden layers."""
    features = torch.from_numpy(samples.features.astype(np.float32))
    flukes, weights = samples.flukes, _balance(samples.flukes)
    fitted = []
    for number in range(LOOK_FITS):
        torch.manual_seed(seed + number)
        network = LookNetwork(features.flatten(0, 1))
        steps = len(features) // LOOK_BATCH
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, LOOK_EPOCHS * steps)
        for _ in range(LOOK_EPOCHS):
            order = torch.randperm(len(features))
            for chosen in order[: steps * LOOK_BATCH].view(steps, LOOK_BATCH):
                mirrored = torch.randint(2, (LOOK_BATCH,))
                rows = chosen.numpy()
                loss = _loss(network(features[chosen, mirrored]), flukes[rows], weights[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        fitted.append(network)
    return _mean_of(fitted).eval()


def _mean_of(networks: list[LookNetwork]) -> LookNetwork:
    joined = networks[0]
    hidden, last = [one.hidden for one in networks], [one.last for one in networks]
    joined.hidden = nn.Linear(joined.hidden.in_features, LOOK_HIDDEN * len(networks))
    joined.last = nn.Linear(LOOK_HIDDEN * len(networks), 1)
    with torch.no_grad():
        joined.hidden.weight.copy_(torch.cat([one.weight for one in hidden]))
        joined.hidden.bias.copy_(torch.cat([one.bias for one in hidden]))
        joined.last.weight.copy_(torch.cat([one.weight for one in last], 1) / len(networks))
        joined.last.bias.copy_(torch.stack([one.bias for one in last]).mean(0))
    return joined


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


def calibrate(logits: np.ndarray, flukes: np.ndarray) -> tuple[float, ...]:
    """Return a factor for each kind of logits N×K, and an offset, by which their sum is calibrated.

    Logistic regression, of one kind Platt's (1999).
    """
    scale = torch.tensor([1.0] * logits.shape[1] + [0.0], requires_grad=True)
    values = torch.from_numpy(logits).float()
    weights = _balance(flukes)
    optimizer = torch.optim.LBFGS([scale], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = _loss(values @ scale[:-1] + scale[-1], flukes, weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    return tuple(scale.detach().tolist())


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
    """Fit, calibrate and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="npz file to write")
    parser.add_argument("--samples", type=Path, nargs="+", required=True, help="npz files of them")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=772)
    options = parser.parse_args()
    samples = Samples.read(options.samples)
    is_held_out = samples.numbers // 2 % HELD_OUT == 0  # as many with flukes as without
    own, held_out = samples.choose(~is_held_out), samples.choose(is_held_out)
    shape = fit(own.views, own.flukes, options.epochs, options.seed)
    look = fit_look(own, options.seed)
    features = torch.from_numpy(held_out.features[:, 0].astype(np.float32))
    with torch.inference_mode():
        by_look = look(features).numpy()
    logits = np.column_stack([predict(shape, held_out.views), by_look])
    calibration = np.array(calibrate(logits, held_out.flukes), np.float32)
    sums = logits @ calibration[:-1] + calibration[-1]
    print_reliability(1 / (1 + np.exp(-sums)), held_out.flukes)
    networks = nn.ModuleDict({"look": look, **dict(shape.named_children())})
    save(networks, options.path, calibration=calibration)


if __name__ == "__main__":
    main()
