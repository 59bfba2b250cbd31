"""Segments whale flukes in photographs."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

# albumentations asks the network for its newest release when it is imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from flukeseg.data.mask_dropout import MaskDropout
    from flukeseg.segmenter import Segmenter

__version__ = "0.1.0"
__all__ = ["MaskDropout", "Segmenter"]


def __getattr__(name: str) -> object:
    # torch is imported when it is wanted, so that `import flukeseg` takes no seconds
    rooms = {"MaskDropout": "flukeseg.data.mask_dropout", "Segmenter": "flukeseg.segmenter"}
    if name not in rooms:
        raise AttributeError(f"module 'flukeseg' has no attribute {name!r}")
    return getattr(import_module(rooms[name]), name)
