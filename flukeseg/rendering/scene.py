"""One picture from one seed: draws the scene's parts and composes them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flukeseg.errors import InputError
from flukeseg.rendering.blend import blend_over
from flukeseg.rendering.body_kinds import draw_body
from flukeseg.rendering.body_painting import paint_body
from flukeseg.rendering.camera import photograph
from flukeseg.rendering.distractors import paint_distractors
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.layout import (
    FRAMING,
    draw_frame,
    draw_frame_behind,
    draw_frame_beside,
)
from flukeseg.rendering.light import shade_skin
from flukeseg.rendering.mount import BARE, draw_mount
from flukeseg.rendering.noise import smoothstep
from flukeseg.rendering.outline import SPECIES
from flukeseg.rendering.pose import Pose, peduncle_in_front
from flukeseg.rendering.skin import compute_albedo
from flukeseg.rendering.splash import (
    draw_wake,
    paint_curtain,
    paint_reflection,
    paint_splash,
)
from flukeseg.rendering.surroundings import Surroundings, draw_surroundings, paint_foam
from flukeseg.rendering.visible_edge import is_inside, is_visible, merge_gaps, visible_keypoints
from flukeseg.rendering.whale import (
    EDGE,
    Whale,
    build_layers,
    draw_whale,
    trace_trailing_edge,
)

NO_FLUKE = 0.05  # share of pictures without a fluke, so that networks learn to find none
TWO_FLUKES = 0.03  # share of pictures with a second fluke, about as rare as in catalogues
BODIES = 0.15  # share of pictures with another animal's fin, back or a boat behind the fluke


PARTS = (
    "waves",
    "backdrop",
    "company",
    "bodies",
    "skin",
    "light",
    "splash",
    "mount",
    "camera",
    "empty",
)
"""Parts that can be left out, to measure their effect; `empty` is pictures without a fluke."""


def check_parts(key: str, without: Collection[str]) -> None:
    """Check that an option names parts of the renderer only.

    Raises:
        InputError: a name is not in `PARTS`.
    """
    if unknown := set(without) - set(PARTS):
        raise InputError(f"{key}={min(unknown)} is not one of {', '.join(PARTS)}")


@dataclass(frozen=True)
class Rendering:
    """A rendered picture and its ground truth.

    `image` is H×W×3 uint8 RGB. `mask` is H×W uint8, 1 where more than half of a pixel is fluke or
    peduncle, above the water and not hidden by splash; single drops and running water in front do
    not hide it. `trailing_edge` is N×2 float32: x, y in pixels (the centre of the top-left pixel is
    at 0.5, 0.5) from tip through notch to tip, where the edge bounds the mask. Several flukes
    follow one another, and a row of NaN separates pieces that are not connected; (0, 2) where no
    edge is visible. `keypoints` is M×3×2 float32 in the same coordinates: for each of M flukes the
    tip of its left lobe, its notch and the tip of its right lobe; NaN where a point does not bound
    the mask, see `visible_keypoints`. `poses` are the poses of these flukes.
    """

    image: np.ndarray
    mask: np.ndarray
    trailing_edge: np.ndarray
    keypoints: np.ndarray
    poses: tuple[Pose, ...]


def _paint_whale(
    rng: np.random.Generator, whale: Whale, frame: Frame, around: Surroundings
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a whale and the water around it, in place; return its coverage and trailing edge."""
    wakes, drips, mirror, sprays = rng.spawn(4)
    image, relief = around.image, around.relief
    wide = float(whale.box[2] - whale.box[0]) * frame.half_span
    body = 0.7 * wide  # width at the waterline
    wake = draw_wake(wakes, body)
    cover, splash, solid, tone = paint_splash(wakes, frame, wake, relief, body)
    if "splash" in around.without:
        cover = np.zeros_like(cover)
    in_front = peduncle_in_front(whale.pose)
    pixels, hidden = image.reshape(-1, 3), cover.ravel()  # flat views, indexed by pixel number
    mask, lobes = np.zeros(hidden.size, np.float32), np.zeros(hidden.size, np.float32)
    for layer in build_layers(whale, frame):
        at = layer.at
        alpha = layer.alpha * (1 - hidden[at])
        if layer.peduncle and in_front:
            # blends the peduncle into the fluke without a seam
            merged = smoothstep(layer.unfold(layer.along) * np.float32(9))
            alpha = alpha * np.maximum(merged, 1 - mask[at])
        colour, skin = pixels[at], np.full((*layer.plane.shape[:2], 3), whale.skin.dark, np.float32)
        if "skin" not in around.without:
            skin = compute_albedo(whale.skin, layer, frame.half_span * frame.scale[0])
        if "light" not in around.without:
            skin = shade_skin(skin, layer, around.light, around.sky)
        blend_over(colour, layer.unfold(skin), alpha)
        pixels[at] = colour
        mask[at] += alpha * (1 - mask[at])
        if not layer.peduncle:
            lobes[at] = np.maximum(lobes[at], layer.alpha)
    mask, lobes = mask.reshape(frame.size), lobes.reshape(frame.size)
    edge = trace_trailing_edge(whale, frame)
    if "splash" in around.without:
        return mask, edge
    paint_reflection(mirror, frame, wake, relief, image, mask, wide)
    # water runs off the trailing edge of a level fluke; off a raised one it has run already
    shedding = abs(whale.pose.pitch) > 0.9 and whale.pose.arch > 0
    if drips.uniform() < (0.75 if shedding else 0.06):
        seen = edge[is_inside(edge, frame.size)]
        curtain = paint_curtain(drips, frame, seen, wide) * (1 - cover) * (1 - lobes)
        splash = np.maximum(
            splash, curtain
        )  # transparent: the peduncle behind it stays in the mask
    paint_foam(sprays, frame, wide, around, splash, tone)
    return mask * (1 - solid), edge


def render(
    seed: int | Sequence[int],
    size: tuple[int, int] = (192, 384),
    without: Collection[str] = (),
    species: Mapping[str, float] = SPECIES,
    framing: Mapping[str, float] = FRAMING,
) -> Rendering:
    """Render the scene of a seed at a size (height, width).

    The same seed and size give the same bytes in every process; the same seed at another size
    gives the same scene with more or fewer pixels, squeezed if the aspect differs. Leaving a part
    out does not change the others, except that `waves` also move the waterline.

    Args:
        seed: anything that `numpy.random.default_rng` accepts, say an epoch and a photo's number.
        size: height, width in pixels.
        without: names from `PARTS` to leave out.
        species: shares of the species of whales, of a sum of 1.
        framing: shares of tight, medium and distant crops, of a sum of 1.

    Raises:
        InputError: a name in `without` is not in `PARTS`.
    """
    check_parts("without", without)
    # one generator per part, so that a change to one part does not change the draws of others
    parts = np.random.default_rng(seed).spawn(10)
    cast, crop, tint, swell, far, near, lamp, wet, lens, others = parts
    count = int(cast.choice(3, p=[NO_FLUKE, 1 - NO_FLUKE - TWO_FLUKES, TWO_FLUKES]))
    if "empty" in without:
        count = max(count, 1)
    whale = draw_whale(cast, None, species)
    mount = draw_mount(lens)
    if "mount" in without:
        mount = BARE
    frame = draw_frame(crop, whale.box, mount, size, framing)
    around = draw_surroundings(tint, swell, far, lamp, frame, without)
    if "company" not in without:
        paint_distractors(near, frame, around.image, empty=count == 0)
    if others.uniform() < BODIES and "bodies" not in without:
        body = draw_body(others)
        paint_body(others, body, draw_frame_behind(others, frame, body.metre), around)

    places = [(whale, frame)][:count]
    if count == 2:
        places.append((draw_whale(cast, None, species), draw_frame_beside(crop, frame)))
        places.sort(key=lambda place: place[1].contact[1])  # the more distant one first
    coverage = np.zeros(size, np.float32)
    gap = np.full((1, 2), np.nan, np.float32)
    paths = [np.zeros((0, 2), np.float32)]
    for who, where in places:
        mask, path = _paint_whale(wet, who, where, around)
        coverage = np.maximum(coverage, mask)
        paths += [path, gap]
    photo, kept = photograph(lens, around.image, mount, frame, developed="camera" not in without)
    truth = (coverage > 0.5).astype(np.uint8)
    if kept is not None:
        truth *= kept
    path = np.concatenate(paths)
    seen = is_visible(path, truth)
    each = 2 * EDGE  # points of a fluke's trailing edge with the gap behind it
    keypoints = [
        visible_keypoints(path[start : start + each - 1], seen[start : start + each - 1])
        for start in range(0, len(path), each)
    ]
    return Rendering(
        photo,
        truth,
        merge_gaps(np.where(seen[:, None], path, gap)),
        np.array(keypoints, np.float32).reshape(-1, 3, 2),
        tuple(who.pose for who, _ in places),
    )
