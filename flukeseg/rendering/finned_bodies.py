"""Shapes of dolphins and killer whales at the surface: a fin on a back, or from head to fin."""

from __future__ import annotations

import numpy as np

from flukeseg.rendering.bodies import Body, ellipse, make_body
from flukeseg.rendering.dorsal_fins import back_line, close_below, draw_fin, put_on_back, turn


def draw_dolphin(rng: np.random.Generator) -> Body:
    """A falcate, rounded or triangular dorsal fin on a back."""
    height = rng.uniform(0.7, 1.3)
    base = height * rng.uniform(0.7, 1.7)
    fin = draw_fin(rng, height, base, base * rng.uniform(0.1, 0.75), rng.uniform(-0.1, 1.0))
    tone = _dolphin_tone(rng)
    return _with_back(rng, fin, height, base, tone, (), pale_flank=0.4)


def _dolphin_tone(rng: np.random.Generator) -> np.ndarray:
    tone = rng.uniform(0.03, 0.45) + rng.normal(0, 0.015, 3)
    return np.clip(tone, 0.01, 1).astype(np.float32)


def draw_killer_whale(rng: np.random.Generator) -> Body:
    """A killer whale's upright or falcate fin, with its saddle patch, sometimes an eye patch."""
    height = rng.uniform(0.8, 1.6)
    is_male = rng.uniform() < 0.6
    base = height * (rng.uniform(0.4, 0.75) if is_male else rng.uniform(0.7, 1.1))
    lean = base * (rng.uniform(-0.15, 0.3) if is_male else rng.uniform(0.2, 0.6))
    fin = draw_fin(
        rng, height, base, lean, rng.uniform(-0.25, 0.3) if is_male else rng.uniform(0, 0.9)
    )
    tone = np.full(3, rng.uniform(0.01, 0.14), np.float32)
    x = base * rng.uniform(0.3, 1.0)
    saddle = ellipse(base * rng.uniform(0.3, 0.9), height * rng.uniform(0.08, 0.25))
    saddle = turn(saddle, rng.uniform(-0.3, 0.5)) + np.array([x, 0.12 * height])
    patches = [(saddle, rng.uniform(0.2, 0.8))]
    if rng.uniform() < 0.35:
        eye = turn(ellipse(0.28, 0.1), rng.uniform(-0.4, 0.2)) * height
        patches.append((eye - [base * rng.uniform(1.2, 2.2), -0.3 * height], 0.95))
    return _with_back(rng, fin, height, base, tone, tuple(patches), pale_flank=0.2)


def _with_back(
    rng: np.random.Generator,
    fin: np.ndarray,
    height: float,
    base: float,
    tone: np.ndarray,
    patches: tuple[tuple[np.ndarray, float], ...],
    pale_flank: float,
) -> Body:
    """Put a fin on a back, in the middle or to its rear; patches are relative to the fin's foot.

    `pale_flank` is the chance that the back is paler below, as most dolphins are.
    """
    sides = rng.spawn(1)[0]
    length = max(base * 1.1, height * rng.uniform(1.2, 7))
    back = back_line(
        length, height * rng.uniform(0.03, 0.9), rng.uniform(1.6, 3), rng.uniform(-0.4, 0.4)
    )
    at = rng.uniform(-0.2, 0.25) * (length - base)
    rise = float(np.interp(at, back[:, 0], back[:, 1]))
    pitch = rng.normal(0, 0.1)
    parts = [turn(part, pitch) for part in (close_below(back), put_on_back(fin, back, at))]
    shown = rng.uniform(0, 1) ** 1.5  # how much of the back beside the fin is in the picture
    x0 = at - base / 2 - shown * max(at - base / 2 + length / 2, 0)
    x1 = at + max(base / 2, fin[:, 0].max()) + shown * max(length / 2 - at - base / 2, 0)
    marks = tuple((turn(patch + np.array([at, rise]), pitch), shade) for patch, shade in patches)
    if sides.uniform() < pale_flank:
        flank = back * [1.0, sides.uniform(0.2, 0.85)]
        marks += ((turn(close_below(flank), pitch), sides.uniform(0.3, 0.9)),)
    box = np.array([x0, parts[1][:, 1].min(), x1, rng.uniform(-0.1, 0.15)])
    # a dolphin's fin is about 0.25 m high, a killer whale's 0.6 to 1.8
    return Body(tuple(parts), box, height / rng.uniform(0.2, 1.2), tone, marks)


def draw_surfacing(rng: np.random.Generator) -> Body:
    """A killer whale or dolphin from its head to its fin, which is at the rear of what it shows."""
    is_killer = rng.uniform() < 0.55
    height = rng.uniform(0.25, 0.65)
    front = rng.uniform(0.05, 0.55)  # from the snout to the crest, of the length: blunt or slender
    back = back_line(2, 1, rng.uniform(1.8, 4), 2 * front - 1, rng.uniform(1.2, 2.5))
    back[:, 1] = -height * (-back[:, 1]) ** rng.uniform(0.5, 1)
    fin_height = rng.uniform(0.25, 1.1) if is_killer else rng.uniform(0.2, 0.5)
    base = fin_height * rng.uniform(0.45, 1.3)
    fin = draw_fin(rng, fin_height, base, base * rng.uniform(-0.1, 0.7), rng.uniform(-0.1, 0.9))
    parts = [close_below(back), put_on_back(fin, back, rng.uniform(0.0, 0.9))]
    patches = []
    if is_killer:
        tone = np.full(3, rng.uniform(0.01, 0.12), np.float32)
        eye = ellipse(rng.uniform(0.07, 0.16), rng.uniform(0.03, 0.08))
        at = [2 * front * rng.uniform(0.5, 1.1) - 1, -height * rng.uniform(0.15, 0.6)]
        patches.append((turn(eye, rng.uniform(-0.2, 0.5)) + at, rng.uniform(0.8, 1)))
        chin = ellipse(rng.uniform(0.2, 0.6), height * rng.uniform(0.1, 0.45))
        patches.append((chin + np.array([rng.uniform(-1, -0.6), 0]), rng.uniform(0.7, 1)))
    else:
        tone = _dolphin_tone(rng)
        flank = back * [1.0, rng.uniform(0.2, 0.85)]
        if rng.uniform() < 0.5:
            patches.append((close_below(flank), rng.uniform(0.3, 0.9)))
        if rng.uniform() < 0.5:
            beak = ellipse(rng.uniform(0.08, 0.2), rng.uniform(0.03, 0.07))
            snout = np.array([-1 - rng.uniform(0, 0.08), -height * rng.uniform(0, 0.3)])
            parts.append(beak + snout)
    pitch, sunk = rng.normal(0, 0.15), rng.uniform(-0.3, 0.35) * height
    place = np.array([0, sunk])
    return make_body(
        [turn(part, pitch) + place for part in parts],
        rng.uniform(0.3, 1.2),
        [(turn(patch, pitch) + place, shade) for patch, shade in patches],
        tone,
    )
