"""The fluke in space: flat sheet and stock bent, turned and seen through a pinhole camera."""

from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.outline import Lobe, Outline
from flukeseg.rendering.pose import Pose, rotation

RINGS = 24  # cells along the stock
GIRTH = 4  # cells across it
RIDGE = 0.4  # the stock begins as a ridge this far from notch to root


@dataclass(frozen=True)
class Mesh:
    """A sheet of cells as the camera sees it; arrays are rows × columns × …, float32."""

    points: np.ndarray  # x, y in the picture, in half-spans at the fluke's distance
    depth: np.ndarray
    plane: np.ndarray  # x, y on the flat skin, for its pattern
    normal: np.ndarray  # x, y, z, unit length, towards the viewer
    ventral: np.ndarray  # 1 where the underside is seen, 0 where the back is


def _bend(plane: np.ndarray, droop: float, curl: float, arch: float, root: float) -> np.ndarray:
    """Bend the flat sheet without stretching it: once across (the lobe), once along the body."""
    x, y = plane[..., 0], plane[..., 1]
    if abs(curl) < 1e-3:
        curl = 1e-3
    reach = (np.sin(droop + curl * x) - np.sin(droop)) / curl
    lift = (np.cos(droop) - np.cos(droop + curl * x)) / curl
    if abs(arch) < 1e-3:
        arch = 1e-3
    lag = y + root / 2
    along = np.sin(arch * lag) / arch - root / 2
    lift = lift + (1 - np.cos(arch * lag)) / arch
    return np.stack([reach, along, -lift], -1)


def _project(space: np.ndarray, distance: float) -> np.ndarray:
    return space[..., :2] / np.maximum(1 + space[..., 2:] / distance, 0.2)


def _normals(space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals turned towards the viewer, and the sign of that turn."""
    cross = np.cross(np.gradient(space, axis=1), np.gradient(space, axis=0))
    cross /= np.maximum(np.linalg.norm(cross, axis=-1, keepdims=True), 1e-9)
    sign = np.where(cross[..., 2] > 0, -1.0, 1.0)
    return cross * sign[..., None], sign


@dataclass(frozen=True)
class _Spine:
    """The stock's midline: from the fluke straight on, then turning down into the sea."""

    at: np.ndarray  # n, distance from its begin
    centre: np.ndarray  # n × 3
    heading: np.ndarray  # n × 3, unit length
    shift: np.ndarray  # n × 3, away from a spine that never turns


def _spine(outline: Outline, pose: Pose, length: float) -> _Spine:
    turned = rotation(pose)
    at = np.linspace(0, length, 4 * RINGS + 1)
    # the fluke itself is stiff; the bend is behind it
    turn = np.clip((at - 0.3 * outline.root) / max(pose.stock_turn, 1e-3), 0, 1)[:, None]
    turn = turn * turn * (3 - 2 * turn)
    down = np.array([np.sin(pose.lean), np.cos(pose.lean), 0.25])
    straight = -turned[:, 1]
    heading = (1 - turn) * straight + turn * down
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
    steps = np.vstack([np.zeros(3), (heading[1:] + heading[:-1]) / 2 * at[1]])
    centre = turned @ np.array([0, -RIDGE * outline.root, -0.02]) + np.cumsum(steps, 0)
    return _Spine(at, centre, heading, centre - centre[0] - at[:, None] * straight)


def _lobe_mesh(lobe: Lobe, side: int, outline: Outline, pose: Pose, spine: _Spine) -> Mesh:
    which = 0 if side < 0 else 1
    bent = _bend(lobe.sheet, pose.droop[which], pose.curl[which], pose.arch, outline.root)
    bent[..., 0] *= side
    space = bent @ rotation(pose).T
    # where the sheet runs out into the stock it goes the stock's way
    behind = -lobe.sheet[..., 1] - RIDGE * outline.root
    for axis in range(3):
        space[..., axis] += np.interp(behind, spine.at, spine.shift[:, axis])
    normal, sign = _normals(space)
    plane = lobe.sheet * np.array([side, 1], np.float32)
    return Mesh(
        _project(space, pose.distance).astype(np.float32),
        space[..., 2].astype(np.float32),
        plane,
        normal.astype(np.float32),
        (sign * side > 0).astype(np.float32),
    )


def _stock_mesh(outline: Outline, pose: Pose, spine: _Spine) -> Mesh:
    """The tail stock: a tube about the spine."""
    s, centre, heading = spine.at[::4], spine.centre[::4], spine.heading[::4]
    across = np.stack([-heading[:, 1], heading[:, 0]], 1)
    size = np.linalg.norm(across, axis=1, keepdims=True)
    across = across / np.maximum(size, 0.15)
    end = (1 - RIDGE) * outline.root  # where the lobes end, along the stock
    below = np.maximum(s - end, 0)
    # narrowest where the lobes end, then ever wider: the fillet on one side, the body on the other
    width = outline.stock * (1 + pose.stock_growth * below) + 0.25 * outline.stock * np.exp(
        -(((s - end) / 0.12) ** 2)
    )
    # it begins as a rounded ridge on the fluke
    width *= np.sqrt(np.clip(1 - (1 - s / (0.9 * end)) ** 2 * (s < 0.9 * end), 0, 1))
    c = np.linspace(-1, 1, GIRTH + 1)
    flat = _project(centre, pose.distance)
    points = flat[None] + c[:, None, None] * (width[:, None] * across)[None]
    # round behind the fluke, flat where it merges into it
    round_there = c[:, None] * np.clip(s / (2 * end), 0, 1)
    normal = round_there[..., None] * np.c_[across, np.zeros(len(s))]
    normal[..., 2] = -np.sqrt(1 - round_there**2)
    along = np.broadcast_to(-RIDGE * outline.root - s, points.shape[:2])
    plane = np.stack([c[:, None] * width[None], along], -1)
    depth = np.broadcast_to(centre[:, 2], points.shape[:2])
    # the pale of the underside ends soon behind the fluke
    pale = (pose.pitch < 0.9) * np.exp(-((below / 0.3) ** 2))
    ventral = np.broadcast_to(pale, points.shape[:2])
    return Mesh(*(a.astype(np.float32) for a in (points, depth, plane, normal, ventral)))


def meshes(outline: Outline, pose: Pose, length: float) -> tuple[Mesh, Mesh, Mesh]:
    """Left lobe, right lobe and stock (of `length` half-spans) as the camera sees them."""
    spine = _spine(outline, pose, length)
    return (
        _lobe_mesh(outline.left, -1, outline, pose, spine),
        _lobe_mesh(outline.right, 1, outline, pose, spine),
        _stock_mesh(outline, pose, spine),
    )
