"""The network that comes with flukeseg; README.md beside it says what it is good for."""

from pathlib import Path

FOLDER = Path(__file__).parent

NAMES = {"rendered": FOLDER / "rendered.ckpt"}
"""Names that `checkpoint=` takes instead of a path."""
