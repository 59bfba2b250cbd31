"""Where the time goes: `python -m flukeseg.benchmark source=PHOTOS data.root=PAIRS output=DIR`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.benchmarking.jobs import repeat, run_prediction
from flukeseg.benchmarking.prediction import STAGES, gflop, loading_seconds, stage_seconds
from flukeseg.benchmarking.runtimes import installed_ways, masks_against_torch
from flukeseg.benchmarking.timing import Timing, copying, products, speed, table, take_turns
from flukeseg.benchmarking.training import autocast_of, samples_a_second, step_seconds
from flukeseg.errors import InputError, require_int
from flukeseg.installation import CONF
from flukeseg.model.precision import choose_precision, processor_name
from flukeseg.predict import read_settings
from flukeseg.prediction.inputs import find_inputs, name_inputs
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

Report = dict[str, Any]


def benchmark(cfg: DictConfig) -> Report:
    """Measure the parts that are asked for, and leave `benchmark.json` in `cfg.output`.

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
        "end_to_end": lambda: end_to_end(cfg, paths, output, turns),
        "loading": lambda: loading(cfg),
        "training": lambda: training(cfg, turns),
    }
    if unknown := [part for part in cfg.parts if part not in parts]:
        raise InputError(f"parts={unknown[0]} is not one of {', '.join(parts)}")
    # what is missing is told now, not after minutes of measuring
    paths = find_inputs(cfg.source) if {"quality", "stages", "end_to_end"} & {*cfg.parts} else []
    if {"loading", "training"} & {*cfg.parts}:
        check_data(cfg)
    report: Report = {"processor": processor_name(), "threads": torch.get_num_threads()}
    for part in cfg.parts:
        report[part] = parts[part]()
        (output / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n")
    log.info("all figures: %s", output / "benchmark.json")
    return report


def machine(turns: int) -> Report:
    """What a plain matrix product and a plain copy reach."""
    work = products()
    copy, gigabytes = copying()
    times = take_turns({**{name: do for name, (do, _) in work.items()}, "copy": copy}, turns)
    rows = {name: speed(times[name], amount, "GFLOP/s") for name, (_, amount) in work.items()}
    rows["copy"] = speed(times["copy"], gigabytes, "GB/s")
    table("machine", rows)
    return rows


def network(cfg: DictConfig, turns: int) -> Report:
    """All views of a batch by each runtime that is installed, in turns with a plain product."""
    settings = read_settings(cfg)
    predictor = replace(settings, runtime="torch").load_predictor()
    size = predictor.size
    batch = torch.rand(settings.batch_size, 3, *size)
    work = {name: partial(compute, batch) for name, compute in installed_ways(settings)}
    photos = len(batch)
    plain = {f"product {name}": product for name, product in products().items()}
    times = take_turns({**work, **{name: do for name, (do, _) in plain.items()}}, turns)
    amount = gflop(predictor)
    rows = {
        name: {
            "seconds a photo": times[name].median / photos,
            "low": times[name].low / photos,
            "high": times[name].high / photos,
            "GFLOP/s": amount * photos / times[name].median,
        }
        for name in work
    }
    rows |= {name: speed(times[name], own, "GFLOP/s") for name, (_, own) in plain.items()}
    table(
        f"network, {cfg.tta}, {size[1]} × {size[0]}, batch {photos}, {amount:.1f} GFLOP a photo",
        rows,
    )
    return rows


def quality(cfg: DictConfig, paths: Sequence[str]) -> Report:
    """Masks by each runtime that is installed, against torch's in float32 and against the truth."""
    sources = name_inputs(paths)
    count = require_int("renderings", cfg.renderings)
    rows = masks_against_torch(read_settings(cfg), sources, count)
    table(f"masks of {len(sources)} photos, and edges of {count} renderings", rows)
    return rows


def stages(cfg: DictConfig, paths: Sequence[str], output: Path) -> Report:
    """Each stage of prediction in one thread, milliseconds a photo."""
    settings = read_settings(cfg)
    predictor = settings.load_predictor()
    sources = name_inputs(paths)
    place = output / "stages"
    place.mkdir(exist_ok=True)
    autocast = autocast_of(choose_precision(settings.precision, "cpu"))
    work = (predictor, sources, settings, place, autocast)
    stage_seconds(*work)
    seconds = stage_seconds(*work)
    total = sum(float(np.mean(own)) for own in seconds.values())
    rows = {
        stage: {
            "ms a photo": 1e3 * float(np.mean(seconds[stage])),
            "median": 1e3 * float(np.median(seconds[stage])),
            "high": 1e3 * max(seconds[stage]),
            "share": float(np.mean(seconds[stage])) / total,
        }
        for stage in STAGES
    }
    rows["loading alone"] = {
        "ms a photo": 1e3 * loading_seconds(sources, predictor.size, settings, 1)
    }
    table(
        f"stages of prediction by {predictor.runtime}, one after the other, {len(sources)} photos",
        rows,
    )
    return rows


def end_to_end(cfg: DictConfig, paths: Sequence[str], output: Path, turns: int) -> Report:
    """`flukeseg.predict` from start to end, as it is and in the settings to compare with."""
    count = require_int("photos", cfg.photos)
    place = repeat(paths, count, output / "photos")
    keys = ("checkpoint", "tta", "size", "threshold", "runtime", "batch_size", "num_workers")
    plain = OmegaConf.to_container(cfg)
    values = {key: "null" if plain[key] is None else plain[key] for key in keys}
    given = [command_line.quote_text(f"{key}={value}") for key, value in values.items()]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cfg.compare}
    for turn in range(turns):
        for name, options in cfg.compare.items():
            masks = output / "masks" / f"{name}-{turn}"
            found[name].append(run_prediction(place, masks, [*given, *options], count))
    rows = {}
    for name, runs in found.items():
        timing = Timing.of([run["seconds"] for run in runs])
        rows[name] = speed(timing, count, "photos a second") | {
            "peak memory, MB": max(run["megabytes"] for run in runs)
        }
    table(f"end to end, {count} photos, start of the program included", rows)
    return rows


def loading(cfg: DictConfig) -> Report:
    """Augmented samples from the cache, in one process."""
    data = pairs(cfg)
    rates = [samples_a_second(data, 500) for _ in range(5)]
    rows = {
        "one process": {
            "samples a second": float(np.median(rates)),
            "low": min(rates),
            "high": max(rates),
        }
    }
    table("augmented samples from the cache", rows)
    return rows


def training(cfg: DictConfig, turns: int) -> Report:
    """The parts of a training step."""
    data = pairs(cfg)
    rows = {}
    for precision in cfg.precisions:
        module = hydra.utils.instantiate(cfg.model, encoder_weights=None, _convert_="all")
        seconds = step_seconds(module, data, autocast_of(precision), turns)
        step = np.sum([seconds[part] for part in seconds], axis=0)
        rows[precision] = {f"{part}, s": float(np.median(own)) for part, own in seconds.items()}
        rows[precision] |= {"step, s": float(np.median(step)), "low": min(step), "high": max(step)}
        photos = len(data.train_set)
        rows[precision]["epoch's steps, s"] = float(np.median(step)) * photos / data.batch_size
    table(f"training step, {cfg.model.encoder}, batch {data.batch_size}", rows)
    return rows


def check_data(cfg: DictConfig) -> None:
    """See that there is a folder of pairs, or renderings.

    Raises:
        InputError: there is none.
    """
    if cfg.data is None or OmegaConf.is_missing(cfg.data, "root"):
        raise InputError("data.root has no value; give a folder of pairs, or data=synthetic")


def pairs(cfg: DictConfig) -> Any:
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
