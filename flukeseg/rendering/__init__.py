"""Rendered flukes with exact masks: any number of pictures from nothing but a seed.

The pictures stand in for photographs that may not be passed on: networks learn from them where
there are no photos, and they are all that the tests see. Nothing in them is copied from one.

From the animal to the file: `outline` (one individual), `pose` and `mesh` (held and bent in space),
`raster` (which pixels), `skin` and `light` (their colour), `whale` (all of these together);
`layout` and `frame` (the crop), `sea`, `backdrop`, `company`, `splash` (all about it); `camera` and
`mount` (the photograph); `noise` and `blend` (what the rest is made with); `scene` (the whole).
"""

from flukeseg.rendering.scene import PARTS, Rendering, check_parts, render

__all__ = ["PARTS", "Rendering", "check_parts", "render"]
