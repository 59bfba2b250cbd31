"""From the scene to the photograph: tone, lens, film or sensor, and what happened to the file."""

import cv2
import numpy as np


def photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Turn a scene (height × width × 3 float32, 0 … 1) into a photograph of uint8."""
    tone, optics, file = rng.spawn(3)
    image = _tone(tone, image)
    image = _lens(optics, image)
    return _file(file, image)


def _tone(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Exposure, contrast, haze, colour; a third of the catalogues' photos are grey."""
    image = image * np.float32(np.exp(rng.normal(0, 0.12)))
    grey = rng.uniform() < 0.36
    if grey:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        # copies of prints: blown sea, black whale
        gain, pivot = np.exp(rng.normal(0.15, 0.3)), rng.uniform(0.3, 0.6)
    else:
        gain, pivot = np.exp(rng.normal(0.05, 0.15)), rng.uniform(0.35, 0.6)
    image = (image - np.float32(pivot)) * np.float32(gain) + np.float32(pivot)
    image = np.clip(image, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.15)))
    if rng.uniform() < 0.18:
        veil = np.float32(rng.uniform(0.1, 0.5))
        image = image * (1 - veil) + veil * np.float32(rng.uniform(0.55, 0.95))
    if grey:
        image = np.repeat(image, 3, 2)
        if rng.uniform() < 0.15:
            image = image ** np.array([0.88, 1.0, 1.18], np.float32)
    elif rng.uniform() < 0.5:
        image = image * (1 + rng.normal(0, 0.05, 3).astype(np.float32))
    if rng.uniform() < 0.2:
        h, w = image.shape[:2]
        y, x = np.linspace(-1, 1, h, dtype=np.float32), np.linspace(-1, 1, w, dtype=np.float32)
        radius = x[None] ** 2 + y[:, None] ** 2
        image = image * (1 - np.float32(rng.uniform(0.05, 0.25)) * radius)[..., None]
    return image.astype(np.float32)


def _lens(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Defocus, motion, a low-resolution original and sharpening; lengths in frame widths."""
    height, width = image.shape[:2]
    kind = rng.uniform()
    if kind < 0.3:
        sigma = rng.uniform(0.0006, 0.0035) * width
        image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2))
    elif kind < 0.36:
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
    if rng.uniform() < 0.3:
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
        if rng.uniform() < 0.4:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.7).reshape(noise.shape) * np.float32(1.8)
        image = image + noise * np.float32(strength)
    out = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.75:
        quality = int(rng.choice([95, 85, 70, 45, 25], p=[0.3, 0.3, 0.2, 0.14, 0.06]))
        _, packed = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(out)
