"""The fluke turned, scaled and cut so that its tips lie on fixed points; and points both ways."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.warping import warp

SIZE = (256, 512)
"""Height and width of an aligned fluke, in pixels."""
TIPS_IN = 0.06  # of the width: how far from the sides the tips lie
LINE_AT = 0.3  # of the height: where the line between the tips lies
NOTCH_AT = 0.45  # of the height: where the notch lies, if it is put on a fixed point too


@dataclass(frozen=True)
class Alignment:
    """An affine transform between a photo and the aligned fluke.

    `matrix` is 2×3: x, y of the photo to x, y of the aligned fluke, in pixels from the top-left
    corner of each. `size` is the aligned fluke's (height, width).
    """

    matrix: np.ndarray
    size: tuple[int, int]

    @property
    def inverse(self) -> np.ndarray:
        """The transform back, 2×3."""
        return cv2.invertAffineTransform(self.matrix)

    def to_aligned(self, points: np.ndarray) -> np.ndarray:
        """Points N×2 of the photo in the aligned fluke."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Points N×2 of the aligned fluke in the photo."""
        inverse = self.inverse
        return points @ inverse[:, :2].T + inverse[:, 2]

    def cut_photo(self, photo: np.ndarray) -> np.ndarray:
        """Cut the aligned fluke out of a photo H×W×3 uint8; black beyond the photo."""
        return self._warp(photo)

    def cut_mask(self, mask: np.ndarray) -> np.ndarray:
        """Cut the aligned fluke out of a mask H×W; uint8, 0 or 255."""
        coverage = self._warp(np.where(mask > 0, np.float32(255), np.float32(0)))
        return np.where(coverage > 127.5, np.uint8(255), np.uint8(0))

    def cut_rgbm(self, photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Cut both: H×W×4 uint8, the fourth channel 0 or 255, colours as they are under 0 too."""
        return np.dstack([self.cut_photo(photo), self.cut_mask(mask)])

    def _warp(self, image: np.ndarray) -> np.ndarray:
        """Average over the photo's pixels where it is shrunk, interpolate where it is enlarged."""
        matrix = self.matrix
        shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        if shrink > 1:
            # what one aligned pixel covers; 1 pixel is there already
            image = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(shrink**2 - 1) + 1e-3)
        # the photo's pixel centres lie at .5, OpenCV's at whole numbers
        shifted = matrix.copy()
        shifted[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
        return warp(image, shifted, self.size, cv2.BORDER_CONSTANT)


def align(
    left_tip: np.ndarray,
    right_tip: np.ndarray,
    notch: np.ndarray | None = None,
    trailing_edge_up: bool = True,
    size: tuple[int, int] = SIZE,
) -> Alignment:
    """Return the transform that puts the tips on fixed points, the trailing edge up.

    Without a notch it is a similarity: turned and scaled alike in all directions. With a notch the
    direction across the line between the tips is scaled and sheared too, so that the notch lies on
    a fixed point, which takes out most of how the fluke was held. Of a fluke whose trailing edge
    is down, the transform turns by 180 degrees: left and right keep their places on the animal, and
    nothing is mirrored.

    Args:
        left_tip: x, y in the photo.
        right_tip: likewise.
        notch: likewise; None to leave it where it falls.
        trailing_edge_up: as the anatomy has it.
        size: (height, width) of the aligned fluke.

    Raises:
        InputError: a tip is not known, or the points lie on one line.
    """
    start, end = np.asarray(left_tip, float), np.asarray(right_tip, float)
    if not trailing_edge_up:
        start, end = end, start
    height, width = size
    along = end - start
    span = float(np.hypot(*along))
    if not span > 0:
        raise InputError("a fluke cannot be aligned without both of its tips")
    room = width * (1 - 2 * TIPS_IN)
    middle_line = height * LINE_AT
    if notch is None:
        cos, sin = along / span * (room / span)
        linear = np.array([[cos, sin], [-sin, cos]])
    else:
        down = np.asarray(notch, float) - (start + end) / 2
        basis = np.column_stack([along, down])
        if abs(np.linalg.det(basis)) < 1e-3 * span**2:
            raise InputError("a fluke cannot be aligned by a notch on the line between its tips")
        linear = np.diag([room, height * (NOTCH_AT - LINE_AT)]) @ np.linalg.inv(basis)
    offset = np.array([width * TIPS_IN, middle_line]) - linear @ start
    return Alignment(np.column_stack([linear, offset]), size)
