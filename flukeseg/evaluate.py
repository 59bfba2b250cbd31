"""How good masks are: `python -m flukeseg.evaluate predictions=DIR truth=DIR output=DIR`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError, require_bool, require_size
from flukeseg.evaluation.checkpoint_results import judge_checkpoint, stress_table
from flukeseg.evaluation.fold_results import judge_folds
from flukeseg.evaluation.labelled import labelled_photos
from flukeseg.evaluation.pairing import Predict
from flukeseg.evaluation.report import write_report
from flukeseg.evaluation.results import Result, Table, judge_folders, write_metrics
from flukeseg.evaluation.statistics import compare
from flukeseg.installation import CONF
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.predict import read_settings, report
from flukeseg.prediction.run import predict_photos
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.pretrained import NETWORKS
from flukeseg.sweeps.jobs import refuse_ddp
from flukeseg.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)

SEVERAL = ("look", "refine", "tta", "threshold")
"""Options of prediction of which a checkpoint is judged with each of a list of values."""


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
    refuse_unread(cfg, forms[0])
    output = Path(cfg.output)
    tables: list[Table] = []
    if cfg.predictions is not None:
        if cfg.truth is None:
            raise InputError("truth has no value; give the folder of true masks")
        results = judge_folders(command_line.several(cfg.predictions), cfg.truth, cfg.max_pixels)
    elif cfg.runs is not None:
        judged = judge_folds(predictor(cfg), mask_settings(cfg), Path(cfg.runs), output)
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


def refuse_unread(cfg: DictConfig, form: str) -> None:
    """Check that no option is given that a form of this job does not read, which would mislead.

    Args:
        cfg: of the job.
        form: `predictions`, `checkpoint` or `runs`.

    Raises:
        InputError: one is.
    """
    unread = {
        "truth": form != "predictions" and cfg.truth is not None,
        "data": form != "checkpoint" and cfg.get("data") is not None,
        "subset": form != "checkpoint" and cfg.subset != "val",
        "sizes": form != "checkpoint" and cfg.sizes is not None,
        "stress": form != "checkpoint" and cfg.stress is not False,
    }
    for key in SEVERAL:
        unread[f"several values of {key}"] = form != "checkpoint" and OmegaConf.is_list(cfg[key])
    for option, given in unread.items():
        if given:
            goes_with = "predictions=" if option == "truth" else "checkpoint="
            raise InputError(f"{option} goes with {goes_with}, not with {form}=; leave it out")


def evaluate_checkpoint(cfg: DictConfig, output: Path) -> tuple[list[Result], list[Table]]:
    """Judge a checkpoint on the photos of `data=`, under each setting and perhaps under stress."""
    if cfg.get("data") is None:
        raise InputError("data has no value; give data=folder data.root=DIR, or data=synthetic")
    settings = mask_settings(cfg)
    sizes = [settings.size]
    if cfg.sizes is not None:
        if not OmegaConf.is_list(cfg.sizes):
            raise InputError(f"sizes={cfg.sizes} must be a list of [height,width]")
        sizes = [require_size("sizes", size) for size in cfg.sizes]
        settings = replace(settings, size=sizes[0])
    masks = settings.masks
    variants = {
        "size": {f"{size[1]} × {size[0]}" if size else "": size for size in sizes},
        "look": {f"look {look}": look for look in command_line.several(cfg.look)},
        "refine": {
            "refined" if require_bool("refine", one) else "not refined": one
            for one in command_line.several(cfg.refine)
        },
        "tta": {str(views): views for views in command_line.several(cfg.tta)},
        "masks": {
            f"threshold {t}": replace(masks, threshold=t)
            for t in command_line.several(cfg.threshold)
        },
    }
    if require_bool("stress", cfg.stress) and any(len(values) > 1 for values in variants.values()):
        raise InputError("stress=true takes one size, and one value each of " + ", ".join(SEVERAL))
    several = command_line.several(cfg.checkpoint)
    truths = labelled_photos(
        hydra.utils.instantiate(cfg.data, augmentation=None, _convert_="all"),
        runs=[find_checkpoint(path).parent.parent for path in several if str(path) not in NETWORKS],
        subset=cfg.subset,
        photo_size=require_size("photo_size", cfg.photo_size),
        rendered=output / "rendered",
        seed=cfg.seed,
    )
    if cfg.stress and any(truth.in_channels == 4 for truth in truths.values()):
        raise InputError(
            "stress=true changes photos, and not the masks in their fourth channel: leave it out"
        )
    run = predictor(cfg)
    results = judge_checkpoint(run, settings, variants, truths, output, name_of(cfg.checkpoint))
    if not cfg.stress:
        return results, []
    return results, [stress_table(run, settings, truths, output, results[0])]


def predictor(cfg: DictConfig) -> Predict:
    """Return what predicts with the trainer of a configuration."""

    def run(settings: PredictionSettings, source: Path, output: Path) -> None:
        trainer = make_trainer(cfg.trainer, enable_progress_bar=False, enable_checkpointing=False)
        report(predict_photos(settings, source, output, trainer), output)

    return run


def mask_settings(cfg: DictConfig) -> PredictionSettings:
    """Return the settings of predictions of which the masks are judged.

    Of several values of an option, the first; of folds, the checkpoint is each run's own.
    """
    first = {key: command_line.several(cfg[key])[0] for key in SEVERAL}
    checkpoint = cfg.checkpoint if cfg.checkpoint is not None else cfg.get("runs")
    own = OmegaConf.merge(cfg, first, {"products": ["mask"], "checkpoint": checkpoint})
    return read_settings(own)


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


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluate from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        evaluate(cfg)


if __name__ == "__main__":
    command_line.run(main)
