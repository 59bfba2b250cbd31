"""One picture from one seed: draws who, where and when, and puts the parts together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.rendering.backdrop import draw_sky, paint_far
from flukeseg.rendering.blend import mix, over
from flukeseg.rendering.camera import photograph
from flukeseg.rendering.company import paint_company
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.layout import beside, draw_frame
from flukeseg.rendering.light import Light, draw_light, lit
from flukeseg.rendering.mount import BARE, draw_mount
from flukeseg.rendering.noise import smoothstep
from flukeseg.rendering.pose import Pose, stock_in_front
from flukeseg.rendering.sea import Water, draw_water, paint_sea
from flukeseg.rendering.skin import albedo
from flukeseg.rendering.splash import (
    draw_wake,
    paint_curtain,
    paint_splash,
    paint_spray,
    reflect,
)
from flukeseg.rendering.whale import (
    EDGE,
    Whale,
    draw_whale,
    layers,
    trailing_edge,
)

NO_FLUKE = 0.05  # share of pictures with only the sea: a network must learn to say "none"
TWO_FLUKES = 0.03  # share with a second fluke, as rare as in catalogues

SEEN_NEAR = 0.015  # of the trailing edge's extent: a tip is seen if its edge is, as near as this

PARTS = ("waves", "backdrop", "company", "skin", "light", "splash", "mount", "camera", "empty")
"""What can be left out, to measure what it is worth; `empty` are the pictures with only the sea."""


def check_parts(key: str, without: Collection[str]) -> None:
    """See that what an option leaves out are parts.

    Raises:
        InputError: one is none.
    """
    if unknown := set(without) - set(PARTS):
        raise InputError(f"{key}={min(unknown)} is not one of {', '.join(PARTS)}")


@dataclass(frozen=True)
class Rendering:
    """A picture and its truth.

    `image` is height × width × 3 uint8 RGB. `mask` is height × width uint8, 1 where more than half
    of a pixel is fluke or stock: above the water and not behind splash; lone drops and running
    water before it do not count. `trailing_edge` is N × 2 float32: x, y in pixels (the top-left
    pixel's centre is at 0.5, 0.5) of the trailing edge from tip over notch to tip, where it bounds
    the mask; of two flukes one after the other; a row of NaN parts what is not joined; (0, 2) where
    there is none. `keypoints` is M × 3 × 2 float32, for each of M flukes the tip of its left lobe,
    its notch and the tip of its right lobe, in the same coordinates; NaN where a point does not
    bound the mask. `poses` are how those flukes are held.
    """

    image: np.ndarray
    mask: np.ndarray
    trailing_edge: np.ndarray
    keypoints: np.ndarray
    poses: tuple[Pose, ...]


@dataclass(frozen=True)
class _Surroundings:
    """What a whale is painted into: the picture so far and what it takes colour from."""

    image: np.ndarray
    relief: np.ndarray  # slope of the painted waves
    water: Water
    light: Light
    sky: np.ndarray  # colour that wet skin mirrors
    without: Collection[str]


def _paint_whale(
    rng: np.random.Generator, whale: Whale, frame: Frame, around: _Surroundings
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a whale and the water about it, in place. Returns its coverage and trailing edge."""
    wakes, drips, mirror, sprays = rng.spawn(4)
    image, relief = around.image, around.relief
    wide = float(whale.box[2] - whale.box[0]) * frame.half_span
    body = 0.7 * wide  # what of it the water closes on
    wake = draw_wake(wakes, body)
    cover, splash, solid, tone = paint_splash(wakes, frame, wake, relief, body)
    if "splash" in around.without:
        cover = np.zeros_like(cover)
    in_front = stock_in_front(whale.pose)
    pixels, hidden = image.reshape(-1, 3), cover.ravel()  # views, to be addressed by pixel number
    mask, lobes = np.zeros(hidden.size, np.float32), np.zeros(hidden.size, np.float32)
    for layer in layers(whale, frame):
        at = layer.at
        alpha = layer.alpha * (1 - hidden[at])
        if layer.stock and in_front:
            # the stock rises out of the fluke without a seam
            merged = smoothstep(layer.unfold(layer.along) * np.float32(9))
            alpha = alpha * np.maximum(merged, 1 - mask[at])
        colour, skin = pixels[at], np.full((*layer.plane.shape[:2], 3), whale.skin.dark, np.float32)
        if "skin" not in around.without:
            skin = albedo(whale.skin, layer, frame.half_span * frame.scale[0])
        if "light" not in around.without:
            skin = lit(skin, layer, around.light, around.sky)
        over(colour, layer.unfold(skin), alpha)
        pixels[at] = colour
        mask[at] += alpha * (1 - mask[at])
        if not layer.stock:
            lobes[at] = np.maximum(lobes[at], layer.alpha)
    mask, lobes = mask.reshape(frame.size), lobes.reshape(frame.size)
    edge = trailing_edge(whale, frame)
    if "splash" in around.without:
        return mask, edge
    reflect(mirror, frame, wake, relief, image, mask, wide)
    # a fluke held level sheds water over its trailing edge; an upright one has shed it
    shedding = abs(whale.pose.pitch) > 0.9 and whale.pose.arch > 0
    if drips.uniform() < (0.75 if shedding else 0.06):
        seen = edge[np.isfinite(edge[:, 0])]
        curtain = paint_curtain(drips, frame, seen, wide) * (1 - cover) * (1 - lobes)
        splash = np.maximum(splash, curtain)  # thin enough that the stock behind it counts
    wet = np.flatnonzero(splash.any(1))
    if len(wet):
        band = slice(wet[0], wet[-1] + 1)
        foam = mix(np.zeros(3, np.float32), around.water.foam, tone[band])
        over(image[band], foam, splash[band])
    spray = paint_spray(sprays, frame, wide)
    if spray.any():
        over(image, around.water.foam, spray)
    return mask * (1 - solid), edge


def _bounds(mask: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Which points of N × 2 lie within two pixels of the mask's outline."""
    outline = cv2.morphologyEx(
        mask,
        cv2.MORPH_GRADIENT,
        np.ones((3, 3), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    near = cv2.dilate(outline, np.ones((3, 3), np.uint8))
    seen = np.isfinite(path[:, 0])
    x, y = np.floor(path[seen]).astype(int).T
    seen[seen] = near[y, x] > 0
    return seen


def _keypoints(path: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Tip, notch and tip of one trailing edge (2 `EDGE` − 1)×2, NaN where they are not seen."""
    points = np.full((3, 2), np.nan)
    finite = path[np.isfinite(path[:, 0])]
    if not seen.any():
        return points
    reach = max(2.0, SEEN_NEAR * float(np.hypot(*np.ptp(finite, 0))))
    at = np.flatnonzero(seen)
    for number, tip, last in ((0, path[0], path[at[0]]), (2, path[-1], path[at[-1]])):
        if np.hypot(*(tip - last)) <= reach:
            points[number] = tip
    left, right = at[at < EDGE], at[at >= EDGE - 1]
    if len(left) and len(right) and np.hypot(*(path[left[-1]] - path[right[0]])) <= reach:
        # of lobes that overlap, the notch is where their edges cross
        points[1] = (path[left[-1]] + path[right[0]]) / 2
    return points


def _without_gaps(path: np.ndarray) -> np.ndarray:
    """One row of NaN for a gap of any length, and none at either end."""
    seen = np.isfinite(path[:, 0])
    after_one_seen = np.concatenate([[False], seen[:-1]])
    path = path[seen | after_one_seen]
    return path[:-1] if len(path) and np.isnan(path[-1, 0]) else path


def render(
    seed: int | Sequence[int], size: tuple[int, int] = (192, 384), without: Collection[str] = ()
) -> Rendering:
    """Render the scene of a seed at a size (height, width).

    The same seed and size give the same bytes in every process; the same seed at another size
    gives the same scene with more or fewer pixels, squeezed if the aspect differs. What is left
    out of `PARTS` leaves the rest as it was, but for the waterline, at which waves lap.

    Raises:
        InputError: there is no such part to leave out.
    """
    check_parts("without", without)
    # one generator for each part: a change to one leaves the others' draws as they were
    cast, crop, tint, swell, far, near, lamp, wet, lens = np.random.default_rng(seed).spawn(9)
    count = int(cast.choice(3, p=[NO_FLUKE, 1 - NO_FLUKE - TWO_FLUKES, TWO_FLUKES]))
    if "empty" in without:
        count = max(count, 1)
    whale = draw_whale(cast)
    mount = draw_mount(lens)
    if "mount" in without:
        mount = BARE
    frame = draw_frame(crop, whale, mount, size)
    water = draw_water(tint)
    image, relief = paint_sea(swell, frame, water)
    if "waves" in without:
        image, relief = np.full_like(image, water.mean), np.zeros_like(relief)
    sky = draw_sky(tint, water)
    if "backdrop" not in without:
        paint_far(far, frame, sky, image)
    if "company" not in without:
        paint_company(near, frame, image, empty=count == 0)

    around = _Surroundings(image, relief, water, draw_light(lamp), sky.low, without)
    places = [(whale, frame)][:count]
    if count == 2:
        places.append((draw_whale(cast), beside(crop, frame)))
        places.sort(key=lambda place: place[1].contact[1])  # the farther first
    coverage = np.zeros(size, np.float32)
    gap = np.full((1, 2), np.nan, np.float32)
    paths = [np.zeros((0, 2), np.float32)]
    for who, where in places:
        mask, path = _paint_whale(wet, who, where, around)
        coverage = np.maximum(coverage, mask)
        paths += [path, gap]
    photo, kept = photograph(
        lens, image, mount, frame.slope, frame.aspect, developed="camera" not in without
    )
    truth = (coverage > 0.5).astype(np.uint8)
    if kept is not None:
        truth *= kept
    path = np.concatenate(paths)
    seen = _bounds(truth, path)
    each = 2 * EDGE  # points of a fluke's trailing edge with the gap behind it
    keypoints = [
        _keypoints(path[start : start + each - 1], seen[start : start + each - 1])
        for start in range(0, len(path), each)
    ]
    return Rendering(
        photo,
        truth,
        _without_gaps(np.where(seen[:, None], path, gap)),
        np.array(keypoints, np.float32).reshape(-1, 3, 2),
        tuple(who.pose for who, _ in places),
    )
