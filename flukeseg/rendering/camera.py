"""From scene to photograph: exposure and tone, lens, film or sensor noise, JPEG."""

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over, multiply
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.mount import Mount, paint_mount

LONGEST = 0.05  # motion blur in frame widths, where the frame is a small part of the photograph
FEWEST = 40  # pixels that the width of the frame has there at least
MOST_OF_PIXELS = 0.7  # exponent: how much of an enlargement its own pixels may show, at most
BRIGHTEST = 2.0  # scene values above this are clipped; sunlit wet skin and foam come close


def photograph(
    rng: np.random.Generator,
    image: np.ndarray,
    mount: Mount,
    frame: Frame,
    developed: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a scene (H×W×3 float32, 0 … 1) into a photograph.

    With `developed` false, tone, lens, noise and compression are skipped. Returns H×W×3 uint8, and
    a mask H×W uint8 that is 1 where the mount leaves the scene visible (None: everywhere).
    """
    tone, optics, card, file = rng.spawn(4)
    if developed:
        image = _apply_lens(optics, _apply_tone(tone, image), frame.enlargement)
    kept = paint_mount(card, mount, frame.slope, frame.aspect, image)
    if developed:
        return _enlarge_noise_and_jpeg(file, image, frame.enlargement), kept
    return (image.clip(0, 1) * 255).astype(np.uint8), kept


def _apply_tone(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Apply exposure, contrast, haze and colour; half of the photos are grey, as in catalogues."""
    grey = rng.uniform() < 0.5
    # auto-exposure brightens dark scenes and darkens bright ones, though not completely. The sea is
    # at about 0.8 in grey catalogue prints and at about 0.6 in colour photos
    target, pull = (rng.normal(0.86, 0.14), 0.9) if grey else (rng.normal(0.64, 0.1), 0.6)
    sea = float(np.median(image[::4, ::4].mean(2)))
    exposure = float(np.clip((target / max(sea, 0.05)) ** pull, 0.75, 3.0))
    if grey:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        # copied prints: overexposed sea, black whale
        gain, pivot = np.exp(rng.normal(0.25, 0.25)), rng.uniform(0.6, 1.1)
    else:
        gain, pivot = np.exp(rng.normal(0.1, 0.15)), rng.uniform(0.6, 1.1)
    pivot *= float(image.mean()) * exposure
    # all per-pixel steps are combined into one curve
    curve = (np.linspace(0, BRIGHTEST, 1024) * exposure - pivot) * gain + pivot
    # film and sensors saturate gradually above `knee`
    knee = rng.uniform(0.5, 0.85)
    over_knee = np.maximum(curve, knee) - knee
    curve = np.minimum(curve, knee) + (1 - knee) * (1 - np.exp(-over_knee / (1 - knee)))
    curve = np.clip(curve, 0, 1) ** np.exp(rng.normal(0, 0.15))
    if rng.uniform() < 0.18:
        veil = rng.uniform(0.1, 0.5)
        curve = curve * (1 - veil) + veil * rng.uniform(0.55, 0.95)
    # black is lifted in prints and by lens haze
    lift = max(rng.uniform(-0.04, 0.1), 0)
    image = _apply_curve((lift + (1 - lift) * curve).astype(np.float32), image)
    if grey:
        image = cv2.merge([image] * 3)
        if rng.uniform() < 0.07:
            image = image ** np.array([0.88, 1.0, 1.18], np.float32)
    else:
        grey_of = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        blend_over(image, cv2.merge([grey_of] * 3), np.float32(rng.uniform(-0.1, 0.45)))
        for channel, cast in enumerate(rng.normal(1, 0.025, 3).tolist()):
            image[..., channel] *= cast
    if rng.uniform() < 0.2:
        h, w = image.shape[:2]
        y, x = np.linspace(-1, 1, h, dtype=np.float32), np.linspace(-1, 1, w, dtype=np.float32)
        radius = x[None] ** 2 + y[:, None] ** 2
        multiply(image, 1 - np.float32(rng.uniform(0.05, 0.25)) * radius)
    return image


def _apply_curve(curve: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Map every value of an image through a curve sampled over 0 … `BRIGHTEST`."""
    step = np.float32((len(curve) - 1) / BRIGHTEST)
    out = []
    for channel in cv2.split(image):
        at = channel * step
        row = np.zeros_like(at)
        out.append(
            cv2.remap(curve[None], at, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
    return cv2.merge(out)


def _apply_lens(rng: np.random.Generator, image: np.ndarray, enlargement: float) -> np.ndarray:
    """Apply defocus or motion blur, low resolution and sharpening.

    Lengths are in widths of the photograph, of which the frame is a part.
    """
    height, columns = image.shape[:2]
    width = columns * enlargement
    kind = rng.uniform()
    if kind < 0.24:
        sigma = rng.uniform(0.0006, 0.0035) * width
        image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2))
    elif kind < 0.3:
        reach = max(int(min(rng.uniform(0.004, 0.016) * width, LONGEST * columns)) | 1, 3)
        kernel = np.zeros((reach, reach), np.float32)
        turn = rng.uniform(0, np.pi)
        end = np.array([np.cos(turn), np.sin(turn)]) * reach / 2
        middle = reach // 2
        a, b = np.round(middle - end).astype(int), np.round(middle + end).astype(int)
        cv2.line(kernel, a.tolist(), b.tolist(), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.uniform() < 0.2:
        k = min(max(rng.uniform(110, 330) / width, FEWEST / columns), 1)
        small = (max(int(columns * k), 8), max(int(height * k), 8))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (columns, height), interpolation=cv2.INTER_LINEAR)
    if rng.uniform() < 0.36:
        sigma = max(rng.uniform(0.002, 0.004) * width, 0.5)
        soft = cv2.GaussianBlur(image, (0, 0), sigma)
        image = image + np.float32(rng.uniform(0.3, 1.2)) * (image - soft)
    return image


def _enlarge_noise_and_jpeg(
    rng: np.random.Generator, image: np.ndarray, enlargement: float
) -> np.ndarray:
    """Add noise and compress, at the photograph's pixels where they were enlarged."""
    if enlargement == 1:
        return _apply_noise_and_jpeg(rng, image)
    height, width = image.shape[:2]
    # the larger the photograph, the more pixels are left after it was cut
    k = enlargement ** -rng.uniform(0, MOST_OF_PIXELS)
    small = (max(round(width * k), 8), max(round(height * k), 8))
    image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    photo = _apply_noise_and_jpeg(rng, image)
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR)


def _apply_noise_and_jpeg(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Add sensor noise or film grain, quantise to 8 bits and compress as JPEG."""
    if rng.uniform() < 0.6:
        strength = rng.uniform(0.004, 0.045)
        coloured = rng.uniform() < 0.3
        noise = rng.standard_normal((*image.shape[:2], 3 if coloured else 1), np.float32)
        noise *= np.float32(strength)
        if rng.uniform() < 0.4:
            # film grain is larger than a pixel; the factor 1.8 restores the variance
            noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * np.float32(1.8)
        image = image + (noise if coloured else cv2.merge([noise] * 3))
    out = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.75:
        quality = int(rng.choice([95, 85, 70, 45, 25], p=[0.3, 0.3, 0.2, 0.14, 0.06]))
        _, packed = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(out)
