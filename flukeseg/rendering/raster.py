"""From meshes to pixels: the cell under each pixel, and the coverage of each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.mesh import Mesh
from flukeseg.rendering.outline import FINE

SHIFT = 4  # fractional bits of OpenCV's polygon coordinates
ROW = 1024  # pixels in a row of a layer's arrays
MARGIN = 0.3  # cells added beyond the edge, so that pixels half outside get coordinates too


@dataclass(frozen=True)
class Layer:
    """The n pixels that one or two meshes touch.

    `at` and `alpha` have n elements. The attributes for the skin are float32, n elements folded
    into rows of `ROW` (`cv2.remap` does not accept longer ones) and padded at the end.
    """

    at: np.ndarray  # index into the flattened picture
    alpha: np.ndarray  # coverage, 0 … 1
    plane: np.ndarray  # x, y on the flat fluke
    normal: np.ndarray  # x, y, z
    ventral: np.ndarray  # 1 underside, 0 upper side
    edge: np.ndarray  # 0 at the leading, 1 at the trailing edge
    along: np.ndarray  # 0 at the root, 1 at the tip
    peduncle: bool  # the tail peduncle rather than the lobes

    def unfold(self, values: np.ndarray) -> np.ndarray:
        """Turn rows of `ROW` pixels back into n elements."""
        return values.reshape(-1, *values.shape[2:])[: len(self.at)]


def fold(values: np.ndarray) -> np.ndarray:
    """Fold n elements into rows of `ROW` pixels, the last element repeated at the end."""
    return np.pad(values, (0, -len(values) % ROW), "edge").reshape(-1, ROW)


def _map_cells(mesh: Mesh, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Corners, affine map to grid coordinates, and depth of every cell, including the margin."""
    rows = np.r_[-MARGIN, np.arange(points.shape[0]), points.shape[0] - 1 + MARGIN]
    first = points[:1] - MARGIN * (points[1:2] - points[:1])
    last = points[-1:] + MARGIN * (points[-1:] - points[-2:-1])
    grid = np.concatenate([first, points, last])
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    step_i = (b - a + c - d) / 2
    step_j = (d - a + c - b) / 2 / np.diff(rows)[:, None, None]
    det = step_i[..., 0] * step_j[..., 1] - step_i[..., 1] * step_j[..., 0]
    det = np.where(np.abs(det) < 1e-3, np.where(det < 0, -1e-3, 1e-3), det)
    inverse = np.stack(
        [step_j[..., 1] / det, -step_j[..., 0] / det, -step_i[..., 1] / det, step_i[..., 0] / det],
        -1,
    )
    middle = (a + b + c + d) / 4
    at_i = np.broadcast_to(np.arange(points.shape[1] - 1) + 0.5, det.shape)
    at_j = np.broadcast_to(((rows[:-1] + rows[1:]) / 2)[:, None], det.shape)
    off_i = at_i - inverse[..., 0] * middle[..., 0] - inverse[..., 1] * middle[..., 1]
    off_j = at_j - inverse[..., 2] * middle[..., 0] - inverse[..., 3] * middle[..., 1]
    affine = np.concatenate([inverse, np.stack([off_i, off_j, at_i, at_j], -1)], -1)
    deep = mesh.depth[np.clip(np.arange(len(rows) - 1) - 1, 0, len(mesh.depth) - 2)][:, :-1].copy()
    deep[[0, -1]] += 1e3  # the margin lies behind everything else
    corners = np.stack([a, b, c, d], 2)
    return tuple(x.reshape(-1, *x.shape[2:]) for x in (corners, affine, deep))


def _fill_strips(cover: np.ndarray, points: np.ndarray) -> None:
    """Fill the union of a mesh's cells, in strips from edge to edge."""
    h, w = cover.shape
    points = np.clip(points, [-8 * w, -8 * h], [9 * w, 9 * h])
    grid = np.round(points * 2**SHIFT).astype(np.int32)
    strips = np.concatenate([grid[:, :-1], grid[::-1, 1:]]).swapaxes(0, 1).copy()
    for strip in strips:
        cv2.fillPoly(cover, [strip], 255, cv2.LINE_8, SHIFT)


def rasterise(
    meshes: Sequence[Mesh],
    to_pixels: np.ndarray,
    size: tuple[int, int],
    cuts: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    lowest: float = np.inf,
) -> Layer | None:
    """Rasterise meshes of equal shape into one layer; None if they touch no pixel of the picture.

    `to_pixels` is the 2 × 3 affine map from the meshes' points to pixels. `cuts` holds, for each
    mesh, the depth missing at its leading and trailing edges, `FINE` samples in chords; None for
    the peduncle. Rows below `lowest` are left out.
    """
    height, width = size
    placed = [m.points @ to_pixels[:, :2].T + to_pixels[:, 2] for m in meshes]
    everything = np.concatenate([p.reshape(-1, 2) for p in placed])
    low = np.clip(np.floor(everything.min(0)) - 2, 0, [width, height]).astype(int)
    high = np.clip(np.ceil(everything.max(0)) + 3, 0, [width, height]).astype(int)
    high[1] = min(high[1], lowest)
    w, h = high - low
    if w < 1 or h < 1:
        return None
    # pixel centres are at .5 in the picture's continuous coordinates, at integers in OpenCV's
    parts = [_map_cells(m, p - low - 0.5) for m, p in zip(meshes, placed, strict=True)]
    corners, affine, deep = (np.concatenate(x) for x in zip(*parts, strict=True))
    owner = np.repeat(np.arange(len(meshes)), [len(p[0]) for p in parts])
    order = np.argsort(-deep, kind="stable")
    corners, affine, owner = corners[order], affine[order], owner[order]
    # cells outside the box are not filled, but keep their numbers
    # keeps OpenCV's fixed point from overflowing
    cornered = np.clip(corners, -8 * w - 99, 9 * w + 99)
    cell = np.zeros((h, w), np.uint16)
    touching = (corners.max(1) > -1).all(1) & (corners.min(1) < [w, h]).all(1)
    polygons = np.round(cornered * 2**SHIFT).astype(np.int32)
    for number in np.flatnonzero(touching).tolist():
        cv2.fillConvexPoly(cell, polygons[number], number + 1, cv2.LINE_8, SHIFT)
    fine = 3 if width < 800 else 2
    cover = np.zeros((h * fine, w * fine), np.uint8)
    for points in placed:
        _fill_strips(cover, (points - low) * fine - 0.5)
    alpha = cv2.resize(cover, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    # a pixel that only the supersampled cover touches takes its cell from a neighbour
    cell = np.where((cell == 0) & (alpha > 0), cv2.dilate(cell, np.ones((3, 3), np.uint8)), cell)
    # from here on, flat arrays of the touched pixels only
    box_at = np.flatnonzero((cell > 0) & (alpha > 0))
    if not len(box_at):
        return None
    y, x = np.divmod(box_at, w)
    at = (y + low[1]) * width + x + low[0]
    number, alpha = cell.ravel()[box_at].astype(np.int32) - 1, alpha.ravel()[box_at]
    m = affine.astype(np.float32)[number]
    x, y = x.astype(np.float32), y.astype(np.float32)
    i = np.clip(m[:, 0] * x + m[:, 1] * y + m[:, 4], m[:, 6] - 0.65, m[:, 6] + 0.65)
    j = np.clip(m[:, 2] * x + m[:, 3] * y + m[:, 5], m[:, 7] - 0.65, m[:, 7] + 0.65)
    rows, columns = meshes[0].depth.shape
    along = np.clip(i / (columns - 1), 0, 1)
    edge = np.clip(j / (rows - 1), 0, 1)
    whose = owner.astype(np.int32)[number]
    if cuts is not None:
        table = np.stack([np.stack(c) for c in cuts])  # meshes × 2 × FINE
        where = (along * (FINE - 1)).astype(np.int32)
        slope = (rows - 1) / np.maximum(np.hypot(m[:, 2], m[:, 3]), 1e-4)  # pixels per chord
        kept = np.minimum(1 - table[whose, 1, where] - edge, edge - table[whose, 0, where])
        alpha = np.minimum(alpha, np.clip(0.5 + kept * slope, 0, 1))
    map_i, map_j = fold(i), fold(np.clip(j, 0, rows - 1) + rows * whose.astype(np.float32))

    def attribute(name: str) -> np.ndarray:
        atlas = np.concatenate([getattr(mesh, name) for mesh in meshes])
        return cv2.remap(atlas, map_i, map_j, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return Layer(
        at,
        alpha,
        attribute("plane"),
        attribute("normal"),
        attribute("ventral"),
        fold(edge) if cuts is not None else np.full(map_i.shape, 0.5, np.float32),
        fold(along),
        cuts is None,
    )
