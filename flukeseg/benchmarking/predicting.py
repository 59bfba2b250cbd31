"""Speed and quality of prediction: its stages, every installed runtime, and entire jobs."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flukeseg.benchmarking.timing import gflop, run_program
from flukeseg.errors import InputError
from flukeseg.images.reading import read_photo
from flukeseg.masks.metrics import dice, photo_metrics
from flukeseg.masks.probability import PhotoProbability
from flukeseg.model.precision import has_gpu
from flukeseg.model.predictor import Predictor
from flukeseg.model.runtimes import choose_runtime
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import InputPhoto
from flukeseg.prediction.loader import PhotoFiles, read_batches
from flukeseg.prediction.prediction import make_prediction
from flukeseg.prediction.products import encode_products
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.rendering import render

STAGES = ("load", "network", "again", "mask", "encode", "write")

COMPARED = (
    ("torch float32", "torch", "32-true", "cpu"),
    ("torch bfloat16", "torch", "bf16-mixed", "cpu"),
    ("openvino float32", "openvino", "32-true", "cpu"),
    ("openvino bfloat16", "openvino", "bf16-mixed", "cpu"),
    ("onnx float32", "onnx", "32-true", "cpu"),
    ("GPU bfloat16", "torch", "bf16-mixed", "cuda"),
)
"""Name, runtime, precision and device; the others are compared with the first."""

EDGE_METRICS = ("dice", "boundary_iou_05", "assd", "trailing_mean")
"""Metrics that are sensitive to the edge, see `flukeseg.masks.metrics`."""


def stage_seconds(
    settings: PredictionSettings, photos: Sequence[InputPhoto], output: Path
) -> dict[str, list[float]]:
    """Run the stages of prediction one after the other, in one process.

    Returns:
        Seconds per photo of each stage, a value for each batch: `load` reads, decodes and resizes,
        `network` computes all views, `again` looks again at some, `mask` enlarges, thresholds,
        cleans and reviews, `encode` makes the products' files in memory, and `write` writes them.
        Photos that cannot be read are left out.
    """
    segmenter = Segmenter(settings)
    reader = PhotoFiles(photos, segmenter.predictor.size, settings.max_pixels)
    batches = read_batches(reader, settings.batch_size, threads=0)
    folder = PredictionFolder(output)
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with folder.locked(), segmenter.in_precision():
        while True:
            clock = [time.perf_counter()]
            if (batch := next(batches, None)) is None:
                return found
            files, images = batch
            clock.append(time.perf_counter())
            readable = [file for file in files if not file.problem]
            first = segmenter.looker.look_once(images, [file.size for file in readable])
            clock.append(time.perf_counter())
            looked = segmenter.looker.look_at_files(first, readable)
            clock.append(time.perf_counter())
            predictions = [
                make_prediction(look, file.size, settings.masks)
                for look, file in zip(looked, readable, strict=True)
            ]
            clock.append(time.perf_counter())
            encoded = [
                product
                for prediction, file in zip(predictions, readable, strict=True)
                for product in encode_products(prediction, file.photo.name, settings.products)
            ]
            clock.append(time.perf_counter())
            for name, content in encoded:
                folder.write(output / name, content)
            clock.append(time.perf_counter())
            for stage, began, ended in zip(STAGES, clock, clock[1:], strict=False):
                if readable:
                    found[stage].append((ended - began) / len(readable))


def compute(segmenter: Segmenter, images: np.ndarray) -> list[PhotoProbability]:
    """Compute a batch N×3×H×W uint8 in the precision of a segmenter."""
    with segmenter.in_precision():
        return segmenter.predictor.see(images)


def gflop_of_views(predictor: Predictor) -> float:
    """Return GFLOP (two for each multiply-add) of one photo: all networks and views."""
    each = (gflop(network, 3, predictor.size) for network in predictor.networks)
    return len(predictor.views) * sum(each)


def installed_runtimes(settings: PredictionSettings) -> dict[str, Segmenter]:
    """Load a checkpoint by every runtime that is installed, and on a GPU if there is one."""
    found = {}
    for name, runtime, precision, device in COMPARED:
        try:
            choose_runtime(runtime, "torch")
        except InputError:
            continue
        if device == "cpu" or has_gpu():
            own = replace(settings, runtime=runtime, precision=precision)
            found[name] = Segmenter(own, device)
    return found


def compare_masks(
    settings: PredictionSettings, photos: Sequence[InputPhoto], renderings: int
) -> dict[str, dict[str, float]]:
    """Compare each runtime's masks with those of torch in float32, and with true ones.

    Args:
        settings: of prediction; runtime and precision are replaced.
        photos: those that cannot be read are left out.
        renderings: number of rendered flukes of 700 × 1050 pixels, whose edges are known.

    Returns:
        By runtime: of the photos, mean and lowest Dice with torch's masks; of the renderings, the
        mean of each of `EDGE_METRICS`.
    """
    runtimes = installed_runtimes(settings)
    same: dict[str, list[float]] = {name: [] for name in runtimes}
    edges: dict[str, list[dict[str, float]]] = {name: [] for name in runtimes}
    for photo in _readable(photos, settings.max_pixels):
        masks = {name: segmenter(photo).mask for name, segmenter in runtimes.items()}
        for name, mask in masks.items():
            same[name].append(dice(mask, masks[COMPARED[0][0]]))
    for number in range(renderings):
        picture = render((77, number), (700, 1050))
        if len(picture.trailing_edge):
            for name, segmenter in runtimes.items():
                mask = segmenter(picture.image).mask
                edges[name].append(photo_metrics(mask, picture.mask, picture.trailing_edge))
    return {
        name: {"Dice with torch": float(np.mean(same[name])), "least": min(same[name])}
        | {
            metric: float(np.nanmean([one[metric] for one in edges[name]]))
            for metric in EDGE_METRICS
        }
        for name in runtimes
    }


def compare_runs(
    paths: Sequence[str],
    count: int,
    given: Sequence[str],
    compare: Mapping[str, Sequence[str]],
    output: Path,
    turns: int,
) -> dict[str, list[dict[str, float]]]:
    """Run `flukeseg.predict` on so many photos with each of several further options, in turns.

    Returns:
        By name what `run_prediction` returned in each turn.
    """
    folder = repeat_photos(paths, count, output / "photos")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in compare}
    for turn in range(turns):
        for name, options in compare.items():
            masks = output / "masks" / f"{name}-{turn}"
            found[name].append(run_prediction(folder, masks, [*given, *options], count))
    return found


def repeat_photos(paths: Sequence[str], count: int, folder: Path) -> Path:
    """Fill a folder with so many photos, by links to a few; copies where links are not allowed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        source = Path(paths[number % len(paths)]).resolve()
        place = folder / f"{number:06d}{source.suffix}"
        try:
            place.symlink_to(source)
        except OSError:  # Windows, without the right to make links
            shutil.copyfile(source, place)
    return folder


def run_prediction(
    source: Path, output: Path, options: Sequence[str], count: int
) -> dict[str, float]:
    """Run `flukeseg.predict` in a new folder.

    Returns:
        What `run_program` does.

    Raises:
        InputError: it fails, or does not make a mask of each photo.
    """
    shutil.rmtree(output, ignore_errors=True)  # or it would resume an earlier benchmark
    command = [
        sys.executable, "-m", "flukeseg.predict", f"source={source}", f"output={output}", *options
    ]  # fmt: skip
    found = run_program(command)
    made = len(list((output / "mask").rglob("*.png")))
    if made != count:
        raise InputError(f"{' '.join(command)} made {made} of {count} masks")
    return found


def _readable(photos: Sequence[InputPhoto], max_pixels: int) -> Iterator[np.ndarray]:
    for photo in photos:
        try:
            yield read_photo(photo.path, max_pixels)
        except InputError:
            continue
