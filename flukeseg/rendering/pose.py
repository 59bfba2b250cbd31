"""Pose of a fluke: how it is held, and from where the camera sees it.

Camera coordinates: x right, y down, z away from the viewer; the unit is the half-span.
"""

from dataclasses import dataclass

import numpy as np

FROM_SIDE, ARCHED, LOW = 0.15, 0.08, 0.12
"""Shares of raised flukes that are turned aside, arched or low instead: of these the lobes hang,
mostly into the water. Networks that learn what fins and backs are would take such flukes for them
otherwise."""


@dataclass(frozen=True)
class Pose:
    """Angles (radians) and lengths (half-spans) of a pose.

    With all angles zero the underside faces the viewer, trailing edge up, peduncle straight down.
    """

    pitch: float  # trailing edge tilted towards the viewer (> 0) or away (< 0)
    yaw: float  # rotation about the vertical
    roll: float  # rotation within the picture
    droop: tuple[float, float]  # left, right lobe at the root: bent dorsally (> 0) or ventrally
    curl: tuple[float, float]  # left, right lobe: further bend from root to tip
    arch: float  # bend along the body: trailing edge bent dorsally (> 0)
    distance: float  # of the camera from the fluke
    peduncle_turn: float  # length over which the peduncle turns downwards
    peduncle_growth: float  # widening of the peduncle per half-span of its length
    lean: float  # sideways lean of the peduncle where it enters the water


def rotation_matrix(pose: Pose) -> np.ndarray:
    """3 × 3 rotation; columns are the plane's x, its y and the ventral normal in camera space."""
    sp, cp = np.sin(pose.pitch), np.cos(pose.pitch)
    sy, cy = np.sin(pose.yaw), np.cos(pose.yaw)
    sr, cr = np.sin(pose.roll), np.cos(pose.roll)
    frame = np.array([[1, 0, 0], [0, -cp, sp], [0, -sp, -cp]], float)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ frame


def peduncle_in_front(pose: Pose) -> bool:
    """Whether the peduncle hides part of the lobes, rather than the other way round."""
    return bool(rotation_matrix(pose)[2, 1] > 0)


def _draw_from_mixture(rng: np.random.Generator, *parts: tuple[float, float, float]) -> float:
    """Draw uniformly from one of the (weight, low, high) ranges."""
    weights = np.array([p[0] for p in parts])
    _, low, high = parts[rng.choice(len(parts), p=weights / weights.sum())]
    return float(rng.uniform(low, high))


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose: mostly a raised fluke from behind, sometimes from its side, level or arched."""
    (odd,) = rng.spawn(1)  # so that the poses of the others stay as they are
    kind = rng.choice(["raised", "level", "arched"], p=[0.8, 0.12, 0.08])
    from_side = kind == "raised" and odd.uniform() < FROM_SIDE
    if kind == "raised" and not from_side and odd.uniform() < ARCHED:
        kind = "arched"
    low = kind == "raised" and not from_side and odd.uniform() < LOW
    both = {
        "raised": _draw_from_mixture(rng, (0.7, -0.35, 0.35), (0.3, -1.1, 0.8)),
        "level": _draw_from_mixture(rng, (0.7, 0.0, 0.9), (0.3, -0.5, 0.2)),
        "arched": rng.uniform(0.2, 0.9),
    }[kind]
    bend = rng.normal(both, 0.1, 2)
    split = rng.uniform(0.3, 0.7)
    # sometimes a single lobe is folded
    if rng.uniform() < 0.08:
        bend[rng.integers(2)] += rng.uniform(-1.2, 0.8)
    pitch, yaw = {
        "raised": (
            _draw_from_mixture(rng, (0.65, -0.9, 0.5), (0.35, -1.35, 1.1)),
            rng.normal(0, 0.38),
        ),
        "level": (rng.choice([-1, 1]) * rng.uniform(1.2, 1.5), rng.normal(0, 0.5)),
        "arched": (rng.uniform(1.2, 2.1), rng.choice([-1, 1]) * rng.uniform(0.5, 1.4)),
    }[kind]
    if from_side:
        yaw = odd.choice([-1, 1]) * odd.uniform(0.7, 1.35)
    elif low:
        pitch, yaw = odd.uniform(-1.15, -0.85), odd.normal(0, 0.3)
        bend = odd.normal(odd.uniform(0.4, 1.0), 0.08, 2)
    return Pose(
        pitch=float(pitch),
        yaw=float(np.clip(yaw, -1.4, 1.4)),
        roll=float(rng.normal(0, 0.1)),
        droop=(float(bend[0] * (1 - split)), float(bend[1] * (1 - split))),
        curl=(float(bend[0] * split), float(bend[1] * split)),
        arch=float({"raised": rng.normal(0.1, 0.35), "level": rng.normal(0.5, 0.4)}.get(kind, 0.4)),
        distance=float(np.exp(rng.uniform(np.log(5), np.log(40)))),
        peduncle_turn=float(rng.uniform(0.5, 1.0) if kind != "arched" else rng.uniform(0.8, 1.8)),
        peduncle_growth=float(rng.uniform(0.2, 0.6) if kind != "arched" else rng.uniform(0.9, 2.2)),
        lean=float(rng.normal(0, 0.15)),
    )
