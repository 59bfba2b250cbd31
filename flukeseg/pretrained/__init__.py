"""The network that comes with flukeseg; what it is and is not good for: README.md beside it."""

from pathlib import Path

FOLDER = Path(__file__).parent

NAMES = {"rendered": FOLDER / "rendered.ckpt"}
"""What `checkpoint=` may be instead of a path."""
