"""Rendered flukes with exact masks: any number of pictures from nothing but a seed."""

from flukeseg.data.synthetic.scene import Rendering, render

__all__ = ["Rendering", "render"]
