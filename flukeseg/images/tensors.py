"""Photos as the network's input."""

from __future__ import annotations

import numpy as np
import torch


def to_tensor(photos: np.ndarray) -> torch.Tensor:
    """Return one photo or several, …×H×W×3 uint8 RGB, as …×3×H×W float32 in 0..1."""
    channels_first = np.ascontiguousarray(np.moveaxis(photos, -1, -3))
    return torch.from_numpy(channels_first).float().div_(255)


def to_array(photo: torch.Tensor) -> np.ndarray:
    """Return a photo 3×H×W float32 in 0..1, on any device, as H×W×3 uint8 RGB."""
    return (photo * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
