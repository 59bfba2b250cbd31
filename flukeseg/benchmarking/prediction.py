"""The stages from a photo on disk to a mask on disk, one after the other in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import read_for_network
from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.masks.cleaning import clean
from flukeseg.model.predictor import Predictor
from flukeseg.prediction.inputs import InputPhoto
from flukeseg.prediction.loader import PhotoFiles, photo_loader
from flukeseg.prediction.prediction import split_batch
from flukeseg.prediction.settings import PredictionSettings

STAGES = ("read", "decode", "resize", "network", "upsample", "clean", "encode", "write")


def stage_seconds(
    predictor: Predictor,
    sources: Sequence[InputPhoto],
    settings: PredictionSettings,
    output: Path,
    autocast: Callable[[], object],
) -> dict[str, list[float]]:
    """Return seconds a photo of each stage, one value for each batch.

    Photos that cannot be read are left out. `read` is the file from disk (or the system's cache),
    `decode` its pixels, `resize` to the network's size, `network` all views, `upsample` to the
    photo's size, `encode` PNG.
    """
    size, batch_size, masks = predictor.size, settings.batch_size, settings.masks
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for start in range(0, len(sources), batch_size):
        spent = dict.fromkeys(STAGES, 0.0)

        @contextmanager
        def clock(stage: str, spent: dict[str, float] = spent) -> Iterator[None]:
            started = time.perf_counter()
            yield
            spent[stage] += time.perf_counter() - started

        small, sizes = [], []
        for source in sources[start : start + batch_size]:
            with clock("read"):
                Path(source.path).read_bytes()
            try:
                with clock("decode"):
                    photo, _, own = read_for_network(source.path, size, settings.max_pixels)
            except InputError:
                continue
            with clock("resize"):
                small.append(resize_photo(photo, size))
            sizes.append(own)
        if not small:
            continue
        with clock("network"), torch.inference_mode(), autocast():
            image = to_tensor(np.stack(small))
            looks = split_batch(predictor(image))
        for i, (look, own) in enumerate(zip(looks, sizes, strict=True)):
            with clock("upsample"):
                probability = resize_map(look.probability, own)
                mask = (probability > masks.threshold).astype(np.uint8)
            with clock("clean"):
                labels = clean(mask, masks.cleaning).labels
            with clock("encode"):
                content = encode_png((labels > 0).astype(np.uint8) * 255)
            with clock("write"):
                (output / f"{start + i}.png").write_bytes(content)
        # decoding opens the file itself
        spent["decode"] = max(spent["decode"] - spent["read"], 0)
        for stage in STAGES:
            found[stage].append(spent[stage] / len(small))
    return found


def gflop(predictor: Predictor) -> float:
    """Return GFLOP (two for each multiplication and addition) of one photo: networks and views."""
    photo = torch.zeros(1, 3, *predictor.size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for network in predictor.networks:
            network(photo)
    return len(predictor.views) * counter.get_total_flops() / 1e9


def loading_seconds(
    sources: Sequence[InputPhoto], size: tuple[int, int], settings: PredictionSettings, workers: int
) -> float:
    """Return seconds a photo of loading alone, with so many processes."""
    photos = PhotoFiles(sources, size, settings.max_pixels)
    started = time.perf_counter()
    for _ in photo_loader(photos, settings.batch_size, workers):
        pass
    return (time.perf_counter() - started) / len(sources)
