"""A request's photo -> its flukes: decoding, computing and drawing, each with its own threads."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from fastapi import HTTPException

from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_png
from flukeseg.images.reading import read_for_network
from flukeseg.images.resizing import resize_photo
from flukeseg.masks.coco import run_lengths
from flukeseg.masks.probability import PhotoProbability
from flukeseg.masks.review import confidence
from flukeseg.prediction.loader import Cut, cut_file
from flukeseg.prediction.prediction import Prediction, enlarge, make_prediction
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.serving.batching import Batcher
from flukeseg.serving.photo_sources import NamedPhoto, PhotoSources

Result = TypeVar("Result")


class _Decoded(NamedTuple):
    """A photo h×w×3 uint8 RGB at the network's size, its own (height, width), and its parts."""

    small: np.ndarray
    size: tuple[int, int]
    cut: Cut


class PredictionService:
    """Predicts one photo after another, several at a time.

    Args:
        segmenter: what predicts; its settings say the batch's size and the most pixels.
        sources: where photos may come from.
        workers: photos that are decoded, or drawn, at a time. Each takes about ten bytes of memory
            for every pixel.
    """

    def __init__(self, segmenter: Segmenter, sources: PhotoSources, workers: int) -> None:
        self.segmenter, self.sources = segmenter, sources
        self.batcher = Batcher(self._look, segmenter.settings.batch_size)
        self._pool = ThreadPoolExecutor(workers)

    async def predict(self, uri: str, draw: Callable[[Prediction], Result]) -> Result:
        """Return what a function makes of a photo's prediction, in a thread.

        Raises:
            HTTPException: the photo is not allowed, is not there, or cannot be read.
        """
        photo = await self.sources.find(uri)
        decoded = await self._in_thread(self._decode, photo)
        seen = await asyncio.wrap_future(self.batcher.submit(decoded))

        def finish() -> Result:
            return draw(make_prediction(seen, decoded.size, self.segmenter.settings.masks))

        return await self._in_thread(finish)

    def close(self) -> None:
        """Finish what is at work."""
        self.batcher.close()
        self._pool.shutdown()

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _decode(self, photo: NamedPhoto) -> _Decoded:
        network, most = self.segmenter.predictor.size, self.segmenter.settings.max_pixels
        try:
            image, _, size = read_for_network(photo.name, network, most, photo.content)
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        second = self.segmenter.looker.second_size
        cut = partial(cut_file, photo.name, size, second, most, content=photo.content)
        return _Decoded(resize_photo(image, network), size, cut)

    def _look(self, photos: list[_Decoded]) -> list[PhotoProbability]:
        small, sizes, cuts = zip(*photos, strict=True)
        return self.segmenter.look(np.stack(small), sizes, cuts)


def describe_flukes(
    prediction: Prediction, least: float, masks: str | None, class_name: str
) -> dict[str, Any]:
    """Describe the flukes of a photo as Wildbook's ml-service does, the largest first.

    Args:
        prediction: of the photo.
        least: flukes with a lower score are left out.
        masks: adds the mask of each fluke at the photo's size: as `rle` or `png`; None adds none.
        class_name: of every fluke.

    Returns:
        `bboxes`, `scores`, `thetas`, `class_names`, `class_ids`, `reasons`, and maybe `masks`.
    """
    flukes = [prediction.fluke(index) for index in range(len(prediction.areas))]
    probability = enlarge(prediction.coarse, prediction.size)
    scores = [_score(probability, prediction.labels, fluke) for fluke in flukes]
    kept = [index for index, score in enumerate(scores) if score >= least]
    found: dict[str, Any] = {
        "bboxes": [list(prediction.boxes[index]) for index in kept],
        "scores": [scores[index] for index in kept],
        "thetas": [0.0] * len(kept),
        "class_names": [class_name] * len(kept),
        "class_ids": [0] * len(kept),
        "reasons": list(prediction.reasons),
    }
    if masks is not None:
        found["masks"] = [MASKS[masks](flukes[index]) for index in kept]
    return found


def _score(probability: np.ndarray, labels: np.ndarray, fluke: np.ndarray) -> float:
    """Return the expected Dice of one fluke, without what the other flukes of the photo add."""
    others = (labels > 0) & (fluke == 0)
    return confidence(np.where(others, np.float32(0), probability), fluke)


def _as_rle(fluke: np.ndarray) -> dict[str, Any]:
    return {"size": list(fluke.shape), "counts": run_lengths(fluke)}


def _as_png(fluke: np.ndarray) -> str:
    return base64.b64encode(encode_png(fluke * np.uint8(255))).decode()


MASKS: dict[str, Callable[[np.ndarray], Any]] = {"rle": _as_rle, "png": _as_png}
