"""Paints a fin, back, breach or boat into a picture: its cover, skin, wake and reflection."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over
from flukeseg.rendering.bodies import Body
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.light import shade_skin
from flukeseg.rendering.outline import draw_species
from flukeseg.rendering.raster import Layer, fold
from flukeseg.rendering.skin import compute_albedo, draw_skin
from flukeseg.rendering.splash import draw_wake, paint_reflection, paint_splash
from flukeseg.rendering.surroundings import Surroundings, paint_foam

FINE = 3
"""Points along a pixel's side at which it is decided whether a body covers it."""


def paint_body(rng: np.random.Generator, body: Body, frame: Frame, around: Surroundings) -> None:
    """Paint a body and the water around it, in place.

    Args:
        rng: of its skin, wake and spray.
        body: a shape.
        frame: of the picture, its contact where the body meets the water.
        around: the picture so far, and what affects its colours.
    """
    wakes, look, mirror, sprays = rng.spawn(4)
    to_pixels = _pixel_transform(body, frame)
    covers = [_coverage(part, to_pixels, frame.size) for part in body.parts]
    cover = np.maximum.reduce(covers)
    at_water = np.concatenate(body.parts)
    at_water = at_water[np.abs(at_water[:, 1]) < 0.3, 0]
    # where a single point is near the water, it is as wide as a small fin
    wide = max(float(np.ptp(at_water)) if len(at_water) else 1.0, 0.1) * frame.half_span
    wake = draw_wake(wakes, wide)
    water, splash, _, tone = paint_splash(wakes, frame, wake, around.relief, wide)
    mask = cover * (1 - water)
    if body.is_skin:
        at = np.flatnonzero(mask)
        if len(at):
            pixels = around.image.reshape(-1, 3)
            colour = pixels[at]
            blend_over(
                colour, _skin(look, body, frame, around, cover, at, to_pixels), mask.ravel()[at]
            )
            pixels[at] = colour
    else:
        for part, paint in zip(covers, body.colours, strict=True):
            blend_over(around.image, paint, part * (1 - water))
    paint_reflection(mirror, frame, wake, around.relief, around.image, mask, wide)
    paint_foam(sprays, frame, wide, around, splash, tone)


def _pixel_transform(body: Body, frame: Frame) -> np.ndarray:
    """2 × 3 affine map from units to pixels; the body leans as the horizon does."""
    sx, sy = frame.scale
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    middle = (body.box[0] + body.box[2]) / 2
    turn = np.array([[cos, -sin], [sin, cos]]) * frame.half_span
    shift = np.array(frame.contact) - turn @ [middle, 0.0]
    return np.column_stack([turn, shift]) * np.array([[sx], [sy]])


def _coverage(part: np.ndarray, to_pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Share of each pixel that a polygon covers, H×W float32 in 0..1."""
    fine = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    points = (part @ to_pixels[:, :2].T + to_pixels[:, 2]) * FINE - 0.5
    points = np.clip(points, -2e4, 2e4)  # keeps OpenCV's fixed point from overflowing
    cv2.fillPoly(fine, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    small = cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _skin(
    rng: np.random.Generator,
    body: Body,
    frame: Frame,
    around: Surroundings,
    cover: np.ndarray,
    at: np.ndarray,
    to_pixels: np.ndarray,
) -> np.ndarray:
    """Colour of a body's skin at n pixels of the flattened picture, n×3."""
    shape, look = rng.spawn(2)
    y, x = np.divmod(at, frame.size[1])
    inverse = np.linalg.inv(to_pixels[:, :2])
    plane = ((np.stack([x, y], 1) + 0.5 - to_pixels[:, 2]) @ inverse.T).astype(np.float32)
    half = np.full(len(at), 0.5, np.float32)
    normal = _normals(cover, frame, rng.uniform(0.08, 0.5)).reshape(-1, 3)[at]
    layer = Layer(
        at,
        cover.ravel()[at],
        np.stack([fold(values) for values in plane.T], -1),
        np.stack([fold(values) for values in normal.T], -1),
        fold(np.zeros(len(at), np.float32)),  # the upper side, all of it
        fold(half),
        fold(half),
        False,
    )
    skin = draw_skin(look, draw_species(shape))
    if body.tone is not None:
        skin = replace(skin, dark=body.tone, back=1.0)
    albedo = compute_albedo(skin, layer, frame.half_span * frame.scale[0])
    blur = max(0.3, rng.uniform(0.005, 0.08) * frame.half_span * frame.scale[0])
    for patch, tone in body.patches:
        share = cv2.GaussianBlur(_coverage(patch, to_pixels, frame.size), (0, 0), blur)
        blend_over(albedo, np.full(3, tone, np.float32), fold(share.ravel()[at]))
    return layer.unfold(shade_skin(albedo, layer, around.light, around.sky))


def _normals(cover: np.ndarray, frame: Frame, radius: float) -> np.ndarray:
    """Normals of a body as round as a tube of a radius in units, flat farther inside; H×W×3."""
    reach = max(radius * frame.half_span * frame.scale[0], 1.0)
    # nothing is rounded where the frame cuts the body
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    depth = np.clip(inside / reach, 0, 1)
    height = np.sqrt(1 - (1 - depth) ** 2) * np.float32(reach)
    height = cv2.GaussianBlur(height, (0, 0), max(0.15 * reach, 0.6))
    normal = np.dstack([
        -cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8),
        -cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8),
        np.full_like(height, -1),
    ])  # fmt: skip
    return normal / np.linalg.norm(normal, axis=2, keepdims=True)
