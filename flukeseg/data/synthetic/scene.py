"""One picture from one seed: draws who, where and when, and puts the parts together."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.data.synthetic.backdrop import Sky, draw_sky, paint_company, paint_far
from flukeseg.data.synthetic.blend import mix, over
from flukeseg.data.synthetic.camera import photograph
from flukeseg.data.synthetic.frame import Frame
from flukeseg.data.synthetic.mount import Mount, draw_mount
from flukeseg.data.synthetic.noise import smoothstep
from flukeseg.data.synthetic.outline import Outline, draw_outline
from flukeseg.data.synthetic.pose import Mesh, Pose, draw_pose, meshes, stock_in_front
from flukeseg.data.synthetic.raster import Layer, paint
from flukeseg.data.synthetic.sea import Water, draw_water, paint_sea
from flukeseg.data.synthetic.skin import Light, Skin, albedo, draw_light, draw_skin, lit
from flukeseg.data.synthetic.splash import (
    draw_wake,
    paint_curtain,
    paint_splash,
    paint_spray,
    reflect,
)

NO_FLUKE = 0.05  # share of pictures with only the sea: a network must learn to say "none"
STOCK = 3.2  # half-spans of tail stock and back that are modelled


@dataclass(frozen=True)
class Rendering:
    """A picture and its truth.

    `image` is height × width × 3 uint8 RGB; `mask` height × width uint8, 1 where more than half of
    a pixel is fluke or stock that no water covers; `trailing_edge` N × 2 float32, the visible
    trailing edge as x, y in pixels from tip over notch to tip, (0, 2) where there is none.
    """

    image: np.ndarray
    mask: np.ndarray
    trailing_edge: np.ndarray


@dataclass(frozen=True)
class Whale:
    """Everything about one animal, placed in half-spans."""

    outline: Outline
    pose: Pose
    skin: Skin
    parts: tuple[Mesh, Mesh, Mesh]
    water: float  # y of the water's level, in half-spans of the meshes
    box: np.ndarray  # x0, y0, x1, y1 of what is above it


def _draw_whale(rng: np.random.Generator) -> Whale:
    shape, hold, look, sink = rng.spawn(4)
    outline = draw_outline(shape)
    pose = draw_pose(hold)
    parts = meshes(outline, pose, STOCK)
    # the lobes proper, without the hollow in which they run out into the stock
    lobes = np.concatenate([m.points[m.plane[..., 1] > -outline.root] for m in parts[:2]])
    top, bottom = lobes[:, 1].min(), lobes[:, 1].max()
    tall = bottom - top
    if abs(pose.pitch) > 1.15:
        water = bottom + sink.uniform(-0.02, 0.5)
    elif sink.uniform() < 0.72:
        water = bottom - tall * sink.uniform(-0.04, 0.32)
    else:
        water = bottom + sink.uniform(0, 0.45)
    shown = np.concatenate([m.points.reshape(-1, 2) for m in parts])
    shown = shown[shown[:, 1] < water]
    box = np.r_[lobes[:, 0].min(), shown[:, 1].min(), lobes[:, 0].max(), water]
    return Whale(outline, pose, draw_skin(look, outline), parts, float(water), box)


def _draw_frame(
    rng: np.random.Generator, whale: Whale, mount: Mount, size: tuple[int, int]
) -> tuple[Frame, float]:
    """Choose the crop. Returns the frame and the frame widths a half-span."""
    _, above, _, below = mount.margins
    x0, y0, x1, y1 = whale.box
    wide, tall = max(x1 - x0, 0.2), max(y1 - y0, 0.05)
    kind = rng.choice(["tight", "medium", "distant"], p=[0.68, 0.21, 0.11])
    if kind == "tight":
        share = rng.uniform(0.82, 1.04)
        scale = share / wide
        fill = rng.uniform(0.55, 1.0)
        aspect = float(np.clip(fill / (tall * scale), 1.2, 4.2))
        left = (1 - share) / 2 + rng.normal(0, 0.025)
        room = 1 / aspect - tall * scale
        top = room * rng.uniform(0.05, 0.7) if room > 0 else 0.0
    else:
        share = rng.uniform(0.35, 0.8) if kind == "medium" else np.exp(rng.uniform(-2.9, -1.05))
        scale = share / wide
        aspect = float(rng.choice([1.33, 1.5, 1.78, 2.3, 3.0], p=[0.2, 0.4, 0.2, 0.12, 0.08]))
        left = rng.uniform(0.02, 0.98 - share)
        room = 1 / aspect - tall * scale
        top = room * rng.uniform(0.1, 0.85) if room > 0 else room * 0.3
    if rng.uniform() < 0.1:
        left += rng.choice([-1, 1]) * share * rng.uniform(0.1, 0.45)
    elif rng.uniform() < 0.06:
        top -= tall * scale * rng.uniform(0.05, 0.4)
    # a caption takes its strip from the frame's height
    aspect *= 1 - above - below
    top += above / aspect
    middle = (x0 + x1) / 2
    contact = (left + (middle - x0) * scale, top + tall * scale)
    chance = {"tight": 0.1, "medium": 0.4, "distant": 0.65}[str(kind)]
    if rng.uniform() < chance:
        horizon = max(contact[1] * rng.uniform(0.15, 0.95), 0.02)
    else:
        horizon = contact[1] + rng.uniform(0.1, 2.0)
    slope = rng.normal(0, 0.015) if rng.uniform() < 0.7 else rng.normal(0, 0.22)
    metre = scale / rng.uniform(1.6, 2.6)  # half-span in metres
    frame = Frame(
        size, aspect, (float(contact[0]), float(contact[1])), float(horizon), float(slope),
        float(metre), float(np.exp(rng.uniform(np.log(0.2), np.log(0.6)))),
    )  # fmt: skip
    return frame, float(scale)


def _to_pixels(whale: Whale, frame: Frame, scale: float) -> np.ndarray:
    """2 × 3 affine map from the whale's half-spans to pixels."""
    sx, sy = frame.scale
    middle = (whale.box[0] + whale.box[2]) / 2
    off_x = frame.contact[0] - middle * scale
    off_y = frame.contact[1] - whale.water * scale
    return np.array([[scale * sx, 0, off_x * sx], [0, scale * sy, off_y * sy]])


def _layers(whale: Whale, frame: Frame, scale: float) -> list[tuple[bool, Layer]]:
    """What the whale is painted of, farthest first, and whether it is the stock."""
    to_pixels = _to_pixels(whale, frame, scale)
    # the water hides what lies below its lowest line in the picture
    dip = 0.12 * scale + abs(np.sin(frame.slope)) * 1.3 * scale
    lowest = int((frame.contact[1] + dip) * frame.scale[1]) + 2
    cuts = [(b.leading_cut, b.trailing_cut) for b in (whale.outline.left, whale.outline.right)]
    left, right, stock = whale.parts
    if left.points[..., 0].max() - right.points[..., 0].min() > 0.15:
        # one lobe covers part of the other: each its own layer, the nearer last
        pair = sorted(zip((left, right), cuts, strict=True), key=lambda p: -p[0].depth.mean())
        lobes = [paint([mesh], to_pixels, frame.size, [cut], lowest) for mesh, cut in pair]
    else:
        lobes = [paint([left, right], to_pixels, frame.size, cuts, lowest)]
    tube = paint([stock], to_pixels, frame.size, None, lowest)
    order = [(False, layer) for layer in lobes]
    order.insert(len(order) if stock_in_front(whale.pose) else 0, (True, tube))
    return [(is_stock, layer) for is_stock, layer in order if layer is not None]


def _trailing_edge(whale: Whale, frame: Frame, scale: float) -> np.ndarray:
    """The trailing edge, tip to tip, as far as it lies in the picture."""
    matrix = _to_pixels(whale, frame, scale)
    halves = []
    for lobe, mesh in zip((whale.outline.left, whale.outline.right), whale.parts[:2], strict=True):
        u = np.linspace(0, 1, 257)
        column = u * (mesh.points.shape[1] - 1)
        at = np.arange(mesh.points.shape[1])
        rows = mesh.points.shape[0] - 1
        cut = np.interp(u, np.linspace(0, 1, len(lobe.trailing_cut)), lobe.trailing_cut) * rows
        last = np.stack([np.interp(column, at, mesh.points[-1, :, k]) for k in (0, 1)], 1)
        inner = np.stack([np.interp(column, at, mesh.points[-2, :, k]) for k in (0, 1)], 1)
        halves.append(last + cut[:, None] * (inner - last))
    path = np.concatenate([halves[0][::-1], halves[1][1:]])
    path = path @ matrix[:, :2].T + matrix[:, 2]
    height, width = frame.size
    inside = (path >= 0).all(1) & (path[:, 0] < width) & (path[:, 1] < height)
    return path[inside].astype(np.float32)


def _seen(path: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The points of a trailing edge that lie on the mask's outline."""
    rim = cv2.morphologyEx(seen, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    x, y = np.floor(path).astype(int).T
    return path[rim[y, x] > 0]


def _paint_whale(
    rng: np.random.Generator,
    whale: Whale,
    frame: Frame,
    scale: float,
    light: Light,
    water: Water,
    sky: Sky,
    image: np.ndarray,
    relief: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the whale and the water about it, in place. Returns its coverage and trailing edge."""
    mask = np.zeros(frame.size, np.float32)
    lobes = np.zeros(frame.size, np.float32)
    wide = float(whale.box[2] - whale.box[0]) * scale
    wake = draw_wake(rng, wide * 0.7)
    cover, splash, solid, tone = paint_splash(rng, frame, wake, relief, wide * 0.7)
    in_front = stock_in_front(whale.pose)
    for mesh_is_stock, layer in _layers(whale, frame, scale):
        h, w = layer.alpha.shape
        x, y = layer.corner
        box = (slice(y, y + h), slice(x, x + w))
        alpha = layer.alpha * (1 - cover[box])
        if mesh_is_stock and in_front:
            # the stock rises out of the fluke without a seam
            alpha *= np.maximum(smoothstep(layer.along * np.float32(9)), 1 - mask[box])
        skin = albedo(whale.skin, layer, scale * frame.scale[0])
        over(image[box], lit(skin, layer, light, sky.low), alpha)
        mask[box] += alpha * (1 - mask[box])
        if not mesh_is_stock:
            lobes[box] = np.maximum(lobes[box], layer.alpha)
    edge = _trailing_edge(whale, frame, scale)
    reflect(rng, frame, wake, relief, image, mask, wide)
    if rng.uniform() < (0.75 if abs(whale.pose.pitch) > 0.9 and whale.pose.arch > 0 else 0.06):
        curtain = paint_curtain(rng, frame, edge, wide) * (1 - cover) * (1 - lobes)
        splash, solid = np.maximum(splash, curtain), np.maximum(solid, curtain)
    over(image, mix(np.zeros(3, np.float32), water.foam, tone), splash)
    over(image, water.foam, paint_spray(rng, frame, wide))
    return mask * (1 - solid), edge


def render(seed: int | Sequence[int], size: tuple[int, int] = (192, 384)) -> Rendering:
    """Render the scene of a seed at a size (height, width).

    The same seed and size give the same bytes in every process; the same seed at another size
    gives the same scene with more or fewer pixels.
    """
    root = np.random.default_rng(seed)
    cast, crop, sea_rng, far, light_rng, splash_rng, camera_rng = root.spawn(7)
    empty = cast.uniform() < NO_FLUKE
    whale = _draw_whale(cast)
    mount = draw_mount(camera_rng)
    frame, scale = _draw_frame(crop, whale, mount, size)
    water = draw_water(sea_rng)
    image, relief = paint_sea(sea_rng, frame, water)
    sky = draw_sky(far, water)
    paint_far(far, frame, sky, image)
    paint_company(far, frame, image, empty)

    mask = np.zeros(size, np.float32)
    edge = np.zeros((0, 2), np.float32)
    if not empty:
        light = draw_light(light_rng)
        mask, edge = _paint_whale(splash_rng, whale, frame, scale, light, water, sky, image, relief)
    photo, kept = photograph(camera_rng, image, mount, frame.slope, frame.aspect)
    truth = (mask > 0.5).astype(np.uint8)
    if kept is not None:
        truth *= kept
    if len(edge):
        edge = _seen(edge, truth)
    return Rendering(photo, truth, edge)
