"""Where the time goes: `python -m flukeseg.benchmark source=PHOTOS data.root=PAIRS output=DIR`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.atomic_files import atomic_write
from flukeseg.benchmarking.predicting import (
    STAGES,
    compare_masks,
    compare_runs,
    compute,
    gflop_of_views,
    installed_runtimes,
    stage_seconds,
)
from flukeseg.benchmarking.service_load import load_service
from flukeseg.benchmarking.timing import (
    log_table,
    matrix_products,
    memory_copy,
    rate,
    spread,
    take_turns,
)
from flukeseg.benchmarking.training import measure_compiled, measure_training, samples_per_second
from flukeseg.errors import InputError, require_int, require_number
from flukeseg.installation import CONF
from flukeseg.model.precision import has_gpu, processor_name
from flukeseg.model_config import build_module
from flukeseg.predict import read_settings
from flukeseg.prediction.inputs import find_inputs, name_inputs
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

Report = dict[str, Any]

PHOTO_PARTS = {"quality", "stages", "first", "end_to_end", "service"}
"""What needs `source`."""

DATA_PARTS = {"loading", "training", "compiled"}
"""What needs `data`."""


def benchmark(cfg: DictConfig) -> Report:
    """Measure the parts that are asked for, and write `benchmark.json` to `cfg.output`.

    Raises:
        InputError: something in the configuration, the photos or the data cannot be used.
    """
    turns = require_int("turns", cfg.turns)
    output = Path(cfg.output)
    output.mkdir(parents=True, exist_ok=True)
    parts = {
        "machine": lambda: machine(turns),
        "network": lambda: network(cfg, turns),
        "quality": lambda: quality(cfg, paths),
        "stages": lambda: stages(cfg, paths, output),
        "first": lambda: first(cfg, paths, output, turns),
        "end_to_end": lambda: end_to_end(cfg, paths, output, turns),
        "service": lambda: service(cfg, paths),
        "loading": lambda: loading(cfg),
        "training": lambda: training(cfg, turns),
        "compiled": lambda: compiled(cfg, turns),
    }
    if unknown := [part for part in cfg.parts if part not in parts]:
        raise InputError(f"parts={unknown[0]} is not one of {', '.join(parts)}")
    # an error in the input is reported now, not after minutes of measuring
    paths = find_inputs(cfg.source) if PHOTO_PARTS & {*cfg.parts} else []
    if DATA_PARTS & {*cfg.parts}:
        check_data(cfg)
    report: Report = {"processor": processor_name(), "threads": torch.get_num_threads()}
    if has_gpu():
        report["gpu"] = torch.cuda.get_device_name()
    for part in cfg.parts:
        report[part] = parts[part]()
        with atomic_write(output / "benchmark.json") as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    log.info("results: %s", output / "benchmark.json")
    return report


def machine(turns: int) -> Report:
    """Measure matrix products and a copy in memory, for comparison with the network."""
    products = matrix_products()
    copy, gigabytes = memory_copy()
    times = take_turns({**{name: do for name, (do, _) in products.items()}, "copy": copy}, turns)
    rows = {name: rate(times[name], amount, "GFLOP/s") for name, (_, amount) in products.items()}
    rows["copy"] = rate(times["copy"], gigabytes, "GB/s")
    log_table("machine", rows)
    return rows


def network(cfg: DictConfig, turns: int) -> Report:
    """Measure all views of a batch by each installed runtime, in turns with matrix products."""
    settings = read_settings(cfg)
    runtimes = installed_runtimes(settings)
    predictor = runtimes["torch float32"].predictor
    (height, width), photos = predictor.size, settings.batch_size
    batch = np.random.default_rng(0).integers(0, 256, (photos, 3, height, width), np.uint8)
    work = {name: partial(compute, segmenter, batch) for name, segmenter in runtimes.items()}
    plain = {f"product {name}": product for name, product in matrix_products().items()}
    times = take_turns({**work, **{name: do for name, (do, _) in plain.items()}}, turns)
    amount = gflop_of_views(predictor)
    rows = {}
    for name in work:
        rows[name] = spread([seconds / photos for seconds in times[name]], "seconds a photo")
        rows[name]["GFLOP/s"] = amount / rows[name]["seconds a photo"]
    rows |= {name: rate(times[name], own, "GFLOP/s") for name, (_, own) in plain.items()}
    log_table(
        f"network, {cfg.tta}, {width} × {height}, batch {photos}, {amount:.1f} GFLOP per photo",
        rows,
    )
    return rows


def quality(cfg: DictConfig, paths: Sequence[str]) -> Report:
    """Compare the masks of each installed runtime with torch's in float32 and with true ones."""
    count = require_int("renderings", cfg.renderings)
    rows = compare_masks(read_settings(cfg), name_inputs(paths), count)
    log_table(f"masks of {len(paths)} photos, and edges of {count} renderings", rows)
    return rows


def stages(cfg: DictConfig, paths: Sequence[str], output: Path) -> Report:
    """Measure each stage of prediction in one process, milliseconds per photo."""
    settings, photos = read_settings(cfg), name_inputs(paths)
    stage_seconds(settings, photos[: settings.batch_size], output / "stages")  # warm-up
    seconds = stage_seconds(settings, photos, output / "stages")
    means = {stage: float(np.mean(seconds[stage])) for stage in STAGES}
    rows = {
        stage: {
            "ms a photo": 1e3 * means[stage],
            "median": 1e3 * float(np.median(seconds[stage])),
            "high": 1e3 * max(seconds[stage]),
            "share": means[stage] / sum(means.values()),
        }
        for stage in STAGES
    }
    log_table(f"stages of prediction, one after the other, {len(photos)} photos", rows)
    return rows


def first(cfg: DictConfig, paths: Sequence[str], output: Path, turns: int) -> Report:
    """Measure `flukeseg.predict` of one photo, after a turn that converts the network."""
    runs = compare_runs(paths, 1, options_of(cfg, "predict"), cfg.compare, output, turns + 1)
    rows = {
        name: spread([run["seconds"] for run in own[1:]], "seconds") for name, own in runs.items()
    }
    log_table("one photo, with the start of the program", rows)
    return rows


def end_to_end(cfg: DictConfig, paths: Sequence[str], output: Path, turns: int) -> Report:
    """Measure `flukeseg.predict` from start to end, plain and with the options to compare."""
    count, given = require_int("photos", cfg.photos), options_of(cfg, "predict")
    rows = {}
    for name, runs in compare_runs(paths, count, given, cfg.compare, output, turns).items():
        rows[name] = rate([run["seconds"] for run in runs], count, "photos a second")
        if peaks := [run["megabytes"] for run in runs if "megabytes" in run]:
            rows[name]["peak memory, MB"] = max(peaks)
    log_table(f"end to end, {count} photos, with the start of the program", rows)
    return rows


def service(cfg: DictConfig, paths: Sequence[str]) -> Report:
    """Measure `flukeseg.serve` under load, with the photos named by their path."""
    seconds = require_number("service_seconds", cfg.service_seconds, 1, 1e6)
    clients = require_int("clients", cfg.clients)
    row = load_service(paths, options_of(cfg, "serve"), seconds, clients)
    log_table(f"the service, {clients} requests at a time, {seconds:g} s", {"service": row})
    return row


def options_of(cfg: DictConfig, job: str) -> list[str]:
    """Return how photos are predicted, as options of another job's command line."""
    keys = ["checkpoint", "tta", "size", "look", "refine", "threshold", "runtime", "batch_size"]
    keys += ["num_workers"] if job == "predict" else []
    plain = OmegaConf.to_container(cfg)
    values = {key: "null" if plain[key] is None else plain[key] for key in keys}
    return [command_line.quote_text(f"{key}={value}", job) for key, value in values.items()]


def loading(cfg: DictConfig) -> Report:
    """Measure augmented samples from the cache, in one process."""
    data = load_data(cfg)
    rates = [samples_per_second(data, 500) for _ in range(5)]
    rows = {"one process": spread(rates, "samples a second")}
    log_table("augmented samples from the cache", rows)
    return rows


def training(cfg: DictConfig, turns: int) -> Report:
    """Measure the parts of a training step, and photos a second, on `trainer.accelerator`."""
    data, build = load_data(cfg), partial(build_module, cfg, encoder_weights=None)
    rows = measure_training(build, data, cfg.precisions, turns, cfg.trainer.accelerator)
    log_table(f"training step, {cfg.model.encoder}, batch {data.batch_size}", rows)
    return rows


def compiled(cfg: DictConfig, turns: int) -> Report:
    """Measure a step of training in other layouts and compiled, without loading."""
    on_gpu = cfg.trainer.accelerator != "cpu" and has_gpu()
    data, module = load_data(cfg), build_module(cfg, encoder_weights=None)
    rows = measure_compiled(module, data, turns, "cuda" if on_gpu else "cpu")
    log_table(f"step without loading, {cfg.model.encoder}, batch {data.batch_size}", rows)
    return rows


def check_data(cfg: DictConfig) -> None:
    """Check that there is data to train on.

    Raises:
        InputError: there is none.
    """
    if cfg.data is None or OmegaConf.is_missing(cfg.data, "root"):
        raise InputError("data.root has no value; give a folder of pairs, or data=synthetic")


def load_data(cfg: DictConfig) -> Any:
    """Return the training data, set up."""
    data = hydra.utils.instantiate(cfg.data, _convert_="all")
    data.setup()
    return data


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="benchmark")
def main(cfg: DictConfig) -> None:
    """Measure from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        benchmark(cfg)


if __name__ == "__main__":
    command_line.run(main)
