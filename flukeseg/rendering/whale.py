"""One animal: drawn, posed, placed in the water and rasterised."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.frame import Frame
from flukeseg.rendering.mesh import Mesh, build_meshes
from flukeseg.rendering.outline import SPECIES, Outline, draw_outline
from flukeseg.rendering.pose import Pose, draw_pose, peduncle_in_front
from flukeseg.rendering.raster import Layer, rasterise
from flukeseg.rendering.skin import Skin, draw_skin

PEDUNCLE = 3.2  # length in half-spans, long enough to reach any waterline
EDGE = 257  # points of a trailing edge from notch to tip
TIP_NOTCH_TIP = (0, EDGE - 1, 2 * EDGE - 2)
"""Indices of tip, notch and tip in a trailing edge."""


@dataclass(frozen=True)
class Whale:
    """One animal: shape, pose and skin, and its depth in the water."""

    outline: Outline
    pose: Pose
    skin: Skin
    parts: tuple[Mesh, Mesh, Mesh]
    water: float  # y of the water's level, in half-spans
    box: np.ndarray  # x0, y0, x1, y1 of what is above the water, in half-spans


def draw_whale(
    rng: np.random.Generator,
    outline: Outline | None = None,
    species: Mapping[str, float] = SPECIES,
) -> Whale:
    """Draw an animal and its depth in the water: mostly with the peduncle under water.

    With `outline` it is that individual, in a pose that the generator draws. `species` are shares,
    see `draw_outline`.
    """
    shape, hold, look, sink = rng.spawn(4)
    if outline is None:
        outline = draw_outline(shape, species)
    pose = draw_pose(hold)
    parts = build_meshes(outline, pose, PEDUNCLE)
    # the lobes without the part that merges into the peduncle
    lobes = np.concatenate([m.points[m.plane[..., 1] > -outline.root] for m in parts[:2]])
    top, bottom = lobes[:, 1].min(), lobes[:, 1].max()
    tall = bottom - top
    if abs(pose.pitch) > 1.15:
        water = bottom + sink.uniform(-0.02, 0.5)
    elif sink.uniform() < 0.72:
        water = bottom - tall * sink.uniform(-0.04, 0.42)
    else:
        water = bottom + sink.uniform(0, 0.45)
    shown = np.concatenate([m.points.reshape(-1, 2) for m in parts])
    shown = shown[shown[:, 1] < water]
    box = np.r_[lobes[:, 0].min(), shown[:, 1].min(), lobes[:, 0].max(), water]
    return Whale(outline, pose, draw_skin(look, outline.species), parts, float(water), box)


def _pixel_transform(whale: Whale, frame: Frame) -> np.ndarray:
    """2 × 3 affine map from half-spans to pixels."""
    sx, sy = frame.scale
    scale = frame.half_span
    middle = (whale.box[0] + whale.box[2]) / 2
    off_x = frame.contact[0] - middle * scale
    off_y = frame.contact[1] - whale.water * scale
    return np.array([[scale * sx, 0, off_x * sx], [0, scale * sy, off_y * sy]])


def build_layers(whale: Whale, frame: Frame) -> list[Layer]:
    """Rasterise the whale into layers, the most distant first."""
    to_pixels = _pixel_transform(whale, frame)
    # water hides everything below the lowest possible waterline
    dip = (0.2 + 1.3 * abs(np.sin(frame.slope))) * frame.half_span
    lowest = int((frame.contact[1] + dip) * frame.scale[1]) + 2
    cuts = [(b.leading_cut, b.trailing_cut) for b in (whale.outline.left, whale.outline.right)]
    left, right, peduncle = whale.parts
    if left.points[..., 0].max() - right.points[..., 0].min() > 0.15:
        # one lobe hides part of the other: separate layers, the nearer last
        pair = sorted(zip((left, right), cuts, strict=True), key=lambda p: -p[0].depth.mean())
        lobes = [rasterise([mesh], to_pixels, frame.size, [cut], lowest) for mesh, cut in pair]
    else:
        lobes = [rasterise([left, right], to_pixels, frame.size, cuts, lowest)]
    tube = rasterise([peduncle], to_pixels, frame.size, None, lowest)
    order = [*lobes, tube] if peduncle_in_front(whale.pose) else [tube, *lobes]
    return [layer for layer in order if layer is not None]


def trace_trailing_edge(whale: Whale, frame: Frame) -> np.ndarray:
    """Trailing edge from tip to tip, the notch in its middle, also where it leaves the picture.

    Returns (2 `EDGE` − 1)×2 float32, x and y in pixels.
    """
    matrix = _pixel_transform(whale, frame)
    halves = []
    for lobe, mesh in zip((whale.outline.left, whale.outline.right), whale.parts[:2], strict=True):
        u = np.linspace(0, 1, EDGE)
        column = u * (mesh.points.shape[1] - 1)
        at = np.arange(mesh.points.shape[1])
        rows = mesh.points.shape[0] - 1
        cut = np.interp(u, np.linspace(0, 1, len(lobe.trailing_cut)), lobe.trailing_cut) * rows
        last = np.stack([np.interp(column, at, mesh.points[-1, :, k]) for k in (0, 1)], 1)
        inner = np.stack([np.interp(column, at, mesh.points[-2, :, k]) for k in (0, 1)], 1)
        halves.append(last + cut[:, None] * (inner - last))
    path = np.concatenate([halves[0][::-1], halves[1][1:]])
    return (path @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
