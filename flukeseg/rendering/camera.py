"""From the scene to the photograph: tone, lens, film or sensor, and what happened to the file."""

import cv2
import numpy as np

from flukeseg.rendering.blend import over, scale
from flukeseg.rendering.mount import Mount, surround

BRIGHTEST = 2.0  # brightest value of a scene that is told apart: wet skin in the sun, foam


def photograph(
    rng: np.random.Generator,
    image: np.ndarray,
    mount: Mount,
    slope: float,
    aspect: float,
    developed: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a scene (height × width × 3 float32, 0 … 1) into a photograph.

    Undeveloped, it has the scene's own colours, sharp and without noise. Returns height × width × 3
    uint8, and 1 where the mount leaves the scene to be seen (None if everywhere).
    """
    tone, optics, card, file = rng.spawn(4)
    if developed:
        image = _lens(optics, _tone(tone, image))
    kept = surround(card, mount, slope, aspect, image)
    if developed:
        return _file(file, image), kept
    return (image.clip(0, 1) * 255).astype(np.uint8), kept


def _tone(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Exposure, contrast, haze, colour; nearly half of the catalogues' photos are grey."""
    grey = rng.uniform() < 0.5
    # the camera meters: dark scenes come out lighter, bright ones darker, but not wholly. Grey
    # catalogue prints are lighter still: their seas lie about 0.8, those of colour about 0.6
    target, pull = (rng.normal(0.86, 0.14), 0.9) if grey else (rng.normal(0.64, 0.1), 0.6)
    sea = float(np.median(image[::4, ::4].mean(2)))
    exposure = float(np.clip((target / max(sea, 0.05)) ** pull, 0.75, 3.0))
    if grey:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        # copies of prints: blown sea, black whale
        gain, pivot = np.exp(rng.normal(0.25, 0.25)), rng.uniform(0.6, 1.1)
    else:
        gain, pivot = np.exp(rng.normal(0.1, 0.15)), rng.uniform(0.6, 1.1)
    pivot *= float(image.mean()) * exposure
    # one curve for all that treats every pixel alike
    curve = (np.linspace(0, BRIGHTEST, 1024) * exposure - pivot) * gain + pivot
    # film and sensor saturate slowly, from `knee` on
    knee = rng.uniform(0.5, 0.85)
    over_knee = np.maximum(curve, knee) - knee
    curve = np.minimum(curve, knee) + (1 - knee) * (1 - np.exp(-over_knee / (1 - knee)))
    curve = np.clip(curve, 0, 1) ** np.exp(rng.normal(0, 0.15))
    if rng.uniform() < 0.18:
        veil = rng.uniform(0.1, 0.5)
        curve = curve * (1 - veil) + veil * rng.uniform(0.55, 0.95)
    # the deepest black of a print or a hazy lens is no black
    lift = max(rng.uniform(-0.04, 0.1), 0)
    image = _look_up((lift + (1 - lift) * curve).astype(np.float32), image)
    if grey:
        image = cv2.merge([image] * 3)
        if rng.uniform() < 0.07:
            image = image ** np.array([0.88, 1.0, 1.18], np.float32)
    else:
        grey_of = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        over(image, cv2.merge([grey_of] * 3), np.float32(rng.uniform(-0.1, 0.45)))
        for channel, cast in enumerate(rng.normal(1, 0.025, 3).tolist()):
            image[..., channel] *= cast
    if rng.uniform() < 0.2:
        h, w = image.shape[:2]
        y, x = np.linspace(-1, 1, h, dtype=np.float32), np.linspace(-1, 1, w, dtype=np.float32)
        radius = x[None] ** 2 + y[:, None] ** 2
        scale(image, 1 - np.float32(rng.uniform(0.05, 0.25)) * radius)
    return image


def _look_up(curve: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Put every value of an image through a curve that spans 0 … `BRIGHTEST`."""
    step = np.float32((len(curve) - 1) / BRIGHTEST)
    out = []
    for channel in cv2.split(image):
        at = channel * step
        row = np.zeros_like(at)
        out.append(
            cv2.remap(curve[None], at, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
    return cv2.merge(out)


def _lens(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Defocus, motion, a low-resolution original and sharpening; lengths in frame widths."""
    height, width = image.shape[:2]
    kind = rng.uniform()
    if kind < 0.24:
        sigma = rng.uniform(0.0006, 0.0035) * width
        image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2))
    elif kind < 0.3:
        reach = max(int(rng.uniform(0.004, 0.016) * width) | 1, 3)
        kernel = np.zeros((reach, reach), np.float32)
        turn = rng.uniform(0, np.pi)
        end = np.array([np.cos(turn), np.sin(turn)]) * reach / 2
        middle = reach // 2
        a, b = np.round(middle - end).astype(int), np.round(middle + end).astype(int)
        cv2.line(kernel, a.tolist(), b.tolist(), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.uniform() < 0.2:
        k = min(rng.uniform(110, 330) / width, 1)
        small = (max(int(width * k), 8), max(int(height * k), 8))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.uniform() < 0.36:
        sigma = max(rng.uniform(0.002, 0.004) * width, 0.5)
        soft = cv2.GaussianBlur(image, (0, 0), sigma)
        image = image + np.float32(rng.uniform(0.3, 1.2)) * (image - soft)
    return image


def _file(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Noise of sensor or film, eight bits, JPEG."""
    if rng.uniform() < 0.6:
        strength = rng.uniform(0.004, 0.045)
        coloured = rng.uniform() < 0.3
        noise = rng.standard_normal((*image.shape[:2], 3 if coloured else 1), np.float32)
        noise *= np.float32(strength)
        if rng.uniform() < 0.4:
            # the grain of film is larger than a pixel; 1.8 keeps its variance
            noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * np.float32(1.8)
        image = image + (noise if coloured else cv2.merge([noise] * 3))
    out = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.75:
        quality = int(rng.choice([95, 85, 70, 45, 25], p=[0.3, 0.3, 0.2, 0.14, 0.06]))
        _, packed = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(out)
