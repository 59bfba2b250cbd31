"""Rendered flukes with exact masks: any number of pictures, each from a seed.

They replace photographs that may not be distributed, for training and in the tests. Nothing in
them is copied from a photograph. README.md in this folder says what each file draws.
"""

from flukeseg.rendering.layout import FRAMING
from flukeseg.rendering.not_flukes import render_not_fluke
from flukeseg.rendering.outline import SPECIES
from flukeseg.rendering.scene import PARTS, Rendering, check_parts, render
from flukeseg.rendering.shares import check_shares

__all__ = [
    "FRAMING",
    "PARTS",
    "SPECIES",
    "Rendering",
    "check_parts",
    "check_shares",
    "render",
    "render_not_fluke",
]
