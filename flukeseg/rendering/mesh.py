"""The fluke in space: lobes and peduncle, bent, rotated and projected by a pinhole camera."""

from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.outline import Lobe, Outline
from flukeseg.rendering.pose import Pose, rotation_matrix

RINGS = 24  # cells along the peduncle
GIRTH = 4  # cells across it
RIDGE = 0.4  # the peduncle starts as a ridge, at this share of the way from notch to root


@dataclass(frozen=True)
class Mesh:
    """A projected grid of quadrilateral cells; arrays are rows × columns × …, float32."""

    points: np.ndarray  # x, y in the picture, in half-spans at the distance of the fluke
    depth: np.ndarray
    plane: np.ndarray  # x, y on the flat fluke, where the skin pattern is defined
    normal: np.ndarray  # x, y, z, unit length, towards the viewer
    ventral: np.ndarray  # 1 where the underside is visible, 0 where the upper side is


def _bend(plane: np.ndarray, droop: float, curl: float, arch: float, root: float) -> np.ndarray:
    """Bend the flat sheet without stretching it, across (along the lobe) and along the body."""
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


def _compute_normals(space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals flipped to face the viewer, and the sign of each flip."""
    cross = np.cross(np.gradient(space, axis=1), np.gradient(space, axis=0))
    cross /= np.maximum(np.linalg.norm(cross, axis=-1, keepdims=True), 1e-9)
    sign = np.where(cross[..., 2] > 0, -1.0, 1.0)
    return cross * sign[..., None], sign


@dataclass(frozen=True)
class _Spine:
    """Midline of the peduncle: straight on from the fluke, then turning down into the sea."""

    at: np.ndarray  # n, distance from its start
    centre: np.ndarray  # n × 3
    heading: np.ndarray  # n × 3, unit length
    shift: np.ndarray  # n × 3, offset from a straight midline


def _build_spine(outline: Outline, pose: Pose, length: float) -> _Spine:
    turned = rotation_matrix(pose)
    at = np.linspace(0, length, 4 * RINGS + 1)
    # the fluke itself is stiff; the peduncle bends behind it
    turn = np.clip((at - 0.3 * outline.root) / max(pose.peduncle_turn, 1e-3), 0, 1)[:, None]
    turn = turn * turn * (3 - 2 * turn)
    down = np.array([np.sin(pose.lean), np.cos(pose.lean), 0.25])
    straight = -turned[:, 1]
    heading = (1 - turn) * straight + turn * down
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
    steps = np.vstack([np.zeros(3), (heading[1:] + heading[:-1]) / 2 * at[1]])
    centre = turned @ np.array([0, -RIDGE * outline.root, -0.02]) + np.cumsum(steps, 0)
    return _Spine(at, centre, heading, centre - centre[0] - at[:, None] * straight)


def _build_lobe(lobe: Lobe, side: int, outline: Outline, pose: Pose, spine: _Spine) -> Mesh:
    which = 0 if side < 0 else 1
    bent = _bend(lobe.sheet, pose.droop[which], pose.curl[which], pose.arch, outline.root)
    bent[..., 0] *= side
    space = bent @ rotation_matrix(pose).T
    # where the lobe merges into the peduncle it follows its midline
    behind = -lobe.sheet[..., 1] - RIDGE * outline.root
    for axis in range(3):
        space[..., axis] += np.interp(behind, spine.at, spine.shift[:, axis])
    normal, sign = _compute_normals(space)
    plane = lobe.sheet * np.array([side, 1], np.float32)
    return Mesh(
        _project(space, pose.distance).astype(np.float32),
        space[..., 2].astype(np.float32),
        plane,
        normal.astype(np.float32),
        (sign * side > 0).astype(np.float32),
    )


def _build_peduncle(outline: Outline, pose: Pose, spine: _Spine) -> Mesh:
    """Build the peduncle as a tube around its midline."""
    s, centre, heading = spine.at[::4], spine.centre[::4], spine.heading[::4]
    across = np.stack([-heading[:, 1], heading[:, 0]], 1)
    size = np.linalg.norm(across, axis=1, keepdims=True)
    across = across / np.maximum(size, 0.15)
    end = (1 - RIDGE) * outline.root  # where the lobes end, along the peduncle
    below = np.maximum(s - end, 0)
    # narrowest where the lobes end: a fillet on one side, widening towards the body on the other
    fillet = 0.25 * outline.peduncle * np.exp(-(((s - end) / 0.12) ** 2))
    width = outline.peduncle * (1 + pose.peduncle_growth * below) + fillet
    # it starts as a rounded ridge on the fluke
    width *= np.sqrt(np.clip(1 - (1 - s / (0.9 * end)) ** 2 * (s < 0.9 * end), 0, 1))
    c = np.linspace(-1, 1, GIRTH + 1)
    flat = _project(centre, pose.distance)
    points = flat[None] + c[:, None, None] * (width[:, None] * across)[None]
    # round behind the fluke, flat where the two merge
    round_there = c[:, None] * np.clip(s / (2 * end), 0, 1)
    normal = round_there[..., None] * np.c_[across, np.zeros(len(s))]
    normal[..., 2] = -np.sqrt(1 - round_there**2)
    along = np.broadcast_to(-RIDGE * outline.root - s, points.shape[:2])
    plane = np.stack([c[:, None] * width[None], along], -1)
    depth = np.broadcast_to(centre[:, 2], points.shape[:2])
    # the pale pigment of the underside fades out just behind the fluke
    pale = (pose.pitch < 0.9) * np.exp(-((below / 0.3) ** 2))
    ventral = np.broadcast_to(pale, points.shape[:2])
    return Mesh(*(a.astype(np.float32) for a in (points, depth, plane, normal, ventral)))


def build_meshes(outline: Outline, pose: Pose, length: float) -> tuple[Mesh, Mesh, Mesh]:
    """Build left lobe, right lobe and peduncle (`length` half-spans long), projected."""
    spine = _build_spine(outline, pose, length)
    return (
        _build_lobe(outline.left, -1, outline, pose, spine),
        _build_lobe(outline.right, 1, outline, pose, spine),
        _build_peduncle(outline, pose, spine),
    )
