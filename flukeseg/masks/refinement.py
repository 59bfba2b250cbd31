"""Moves the edge of a look's probabilities to where the photo's colours change.

A network sees a fluke at a fraction of the photo's pixels, and is off by one of its own. Between
fluke and water colours mostly change, and the guided filter finds where: in each small window it
fits probabilities by a linear function of the colours, and takes the mean of all windows' fits.
Where the colours say nothing the fit is the mean of the probabilities, so that the edge stays.

Source: He, Sun & Tang 2013, "Guided image filtering", equations 19 to 21; fitted at a lower
resolution than it is used at, as in He & Sun 2015, "Fast guided filter". The constants were chosen
on 60 renderings 1050 × 700; five photos with masks drawn by hand agreed.
"""

from __future__ import annotations

import cv2
import numpy as np

from flukeseg.images.resizing import resize_map, resize_photo

RADIUS = 2
"""Of a window, in pixels of the network's."""

NOISE = 20.0
"""Variance of colours, of 0..255, that is no edge."""

DETAIL = 2
"""Most pixels along a side, in units of the network's, at which colours say where the edge is."""

STRIP = 64
"""Rows that are fitted at a time."""


def refined(probability: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Return probabilities of a photo whose edge follows its colours, at up to `DETAIL` its size.

    Args:
        probability: h×w float32 in 0..1.
        photo: H×W×C uint8, RGB first, of the same part at any scale.

    Returns:
        h×w or larger float32 in 0..1, where the photo has more pixels.
    """
    sides = zip(probability.shape, photo.shape[:2], strict=True)
    size = tuple(max(side, min(DETAIL * side, own)) for side, own in sides)
    fine = np.ascontiguousarray(resize_photo(photo, size)[..., :3])
    *slopes, offset = _fit_strips(resize_photo(fine, probability.shape), probability)
    values = resize_map(offset, size)
    for channel, slope in enumerate(slopes):
        values += resize_map(slope, size) * fine[..., channel]
    return values.clip(0, 1)


def _fit_strips(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return `_fit` of a photo h×w×3 uint8 as 4×h×w float32, by strips, which stay in the cache."""
    fit = np.empty((4, *probability.shape), np.float32)
    halo = 2 * RADIUS
    for top in range(0, len(probability), STRIP):
        start = max(top - halo, 0)
        rows = slice(start, top + STRIP + halo)
        own = _fit(photo[rows].astype(np.float32), probability[rows])
        for kept, values in zip(fit[:, top : top + STRIP], own, strict=True):
            kept[:] = values[top - start :][: len(kept)]
    return fit


def _fit(colours: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Fit values h×w by colours h×w×3 in 0..255 about each pixel: three slopes and an offset."""
    red, green, blue = channels = cv2.split(colours)
    means, mean = [_average(channel) for channel in channels], _average(values)
    with_value = [
        _average(channel * values) - own * mean
        for channel, own in zip(channels, means, strict=True)
    ]
    rr, gg, bb = (
        _average(channel * channel) - own * own + np.float32(NOISE)
        for channel, own in zip(channels, means, strict=True)
    )
    rg = _average(red * green) - means[0] * means[1]
    rb = _average(red * blue) - means[0] * means[2]
    gb = _average(green * blue) - means[1] * means[2]
    # Cramer's rule for the symmetric 3×3 of each pixel, far faster than a solver of many
    inverse = [
        [gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb],
        [gb * rb - rg * bb, rr * bb - rb * rb, rb * rg - rr * gb],
        [rg * gb - gg * rb, rb * rg - rr * gb, rr * gg - rg * rg],
    ]
    determinant = rr * inverse[0][0] + rg * inverse[0][1] + rb * inverse[0][2]
    slopes = [
        sum(one * other for one, other in zip(row, with_value, strict=True)) / determinant
        for row in inverse
    ]
    offset = mean - sum(slope * own for slope, own in zip(slopes, means, strict=True))
    return [_average(one) for one in (*slopes, offset)]


def _average(values: np.ndarray) -> np.ndarray:
    """Return the mean of the window about each pixel, float32; the frame mirrors what is inside."""
    side = 2 * RADIUS + 1
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101)
