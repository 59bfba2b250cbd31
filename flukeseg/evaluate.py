"""How good masks are: `python -m flukeseg.evaluate predictions=DIR truth=DIR output=DIR`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError, require_size
from flukeseg.evaluation.checkpoint_results import judge_checkpoint, stress_table
from flukeseg.evaluation.fold_results import judge_folds
from flukeseg.evaluation.labelled import labelled_photos
from flukeseg.evaluation.pairing import Predict
from flukeseg.evaluation.report import write_report
from flukeseg.evaluation.results import Result, Table, judge_folders, write_metrics
from flukeseg.evaluation.statistics import compare
from flukeseg.installation import CONF
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.predict import predict
from flukeseg.sweeps.jobs import refuse_ddp
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Judge masks and write `per_photo.csv`, `summary.json` and `report.html` to `cfg.output`.

    Returns:
        The content of `summary.json`.

    Raises:
        InputError: something in the configuration, the masks or the data cannot be used.
    """
    forms = [key for key in ("predictions", "checkpoint", "runs") if cfg[key] is not None]
    if len(forms) != 1:
        raise InputError(
            "give predictions=DIR truth=DIR, or checkpoint=RUN data=…, or runs=SWEEP"
            + (f", not {' and '.join(forms)}" if forms else "")
        )
    refuse_parts(cfg, "flukeseg.evaluate")
    output = Path(cfg.output)
    tables: list[Table] = []
    if cfg.predictions is not None:
        if cfg.truth is None:
            raise InputError("truth has no value; give the folder of true masks")
        results = judge_folders(several(cfg.predictions), cfg.truth, cfg.max_pixels)
    elif cfg.runs is not None:
        cleaning = hydra.utils.instantiate(cfg.cleaning)
        judged = judge_folds(predictor(cfg), Path(cfg.runs), output, cleaning, cfg.max_pixels)
        results, tables = [judged[0]], [judged[1]]
    else:
        results, tables = evaluate_checkpoint(cfg, output)
    first, *others = results
    comparisons = {
        f"{other.name} less {first.name}": compare(other.rows, first.rows) for other in others
    }
    summary = write_metrics(output, results, comparisons, tables)
    title = f"Fluke masks: {', '.join(one.name for one in results)}"
    write_report(output / "report.html", title, results, comparisons, tables, cfg.max_pixels)
    for one in results:
        log.info("%s", one.headline)
    for heading, meaning, rows in tables:
        log.info("%s: %s", heading, meaning)
        log.info("%s", "\n".join("  ".join(f"{cell:>13}" for cell in row) for row in rows))
    log.info("report: %s", output / "report.html")
    return summary


def evaluate_checkpoint(cfg: DictConfig, output: Path) -> tuple[list[Result], list[Table]]:
    """Judge a checkpoint on the photos of `data=`, under each setting and perhaps under stress."""
    if cfg.get("data") is None:
        raise InputError("data has no value; give data=folder data.root=DIR, or data=synthetic")
    sizes = [cfg.size] if cfg.sizes is None else cfg.sizes
    sizes = [None if size is None else require_size("sizes", size) for size in sizes]
    settings = (sizes, several(cfg.tta), several(cfg.threshold))
    if cfg.stress and any(len(values) > 1 for values in settings):
        raise InputError("stress=true takes one size, one tta and one threshold")
    truths = labelled_photos(
        hydra.utils.instantiate(cfg.data, augmentation=None, _convert_="all"),
        runs=[find_checkpoint(path).parent.parent for path in several(cfg.checkpoint)],
        subset=cfg.subset,
        photo_size=require_size("photo_size", cfg.photo_size),
        rendered=output / "rendered",
        seed=cfg.seed,
    )
    run = predictor(cfg)
    name = name_of(cfg.checkpoint)
    results = judge_checkpoint(run, truths, output, name, *settings, cfg.max_pixels)
    if not cfg.stress:
        return results, []
    return results, [stress_table(run, truths, output, results[0], cfg.max_pixels)]


def predictor(cfg: DictConfig) -> Predict:
    """Return what runs `flukeseg.predict` with the options of this job, some of them changed."""

    def run(changes: Mapping[str, Any]) -> None:
        for value in changes.values():
            if isinstance(value, str) and "${" in value:  # a folder's name is not to be resolved
                raise InputError(f"{value} has ${{ in its name; rename it")
        predict(OmegaConf.merge(cfg, changes))

    return run


def refuse_parts(cfg: DictConfig, job: str) -> None:
    """Refuse several devices or machines, for a job that needs all masks at once.

    Raises:
        InputError: there are several.
    """
    refuse_ddp(cfg.trainer.get("strategy", "auto"), cfg.trainer.devices, job)
    if cfg.shard is not None:
        raise InputError(f"shard={cfg.shard} is an option of flukeseg.predict, not of {job}")


def name_of(checkpoint: Any) -> str:
    """Return a name for the result of a checkpoint: its run's name and date, or its file's."""
    if OmegaConf.is_list(checkpoint):
        return f"mean of {len(checkpoint)} checkpoints"
    path = Path(checkpoint)
    return "/".join(path.resolve().parts[-2:]) if path.is_dir() else path.name


def several(value: Any) -> list[Any]:
    """Return the values of an option that takes one or a list."""
    return list(value) if OmegaConf.is_list(value) else [value]


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluate from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        evaluate(cfg)


if __name__ == "__main__":
    command_line.run(main)
