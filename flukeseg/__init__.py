"""Segments whale flukes in photographs."""

import os

# albumentations asks the network for its newest release when it is imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
