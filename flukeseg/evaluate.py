"""How good masks are: `python -m flukeseg.evaluate predictions=DIR truth=DIR output=DIR`."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError, require_size
from flukeseg.evaluation import stress
from flukeseg.evaluation.labelled import render_pairs, stressed_pairs, validation_names
from flukeseg.evaluation.pairing import (
    TrueMask,
    find_predicted,
    find_predicted_of,
    find_true_masks,
    pair,
)
from flukeseg.evaluation.report import write_report
from flukeseg.evaluation.results import MatchedMasks, Result, Table, judge_pairs, write_metrics
from flukeseg.evaluation.statistics import compare
from flukeseg.evaluation.thresholds import threshold_table
from flukeseg.installation import CONF
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.predict import predict
from flukeseg.prediction.inputs import write_list
from flukeseg.sweeps.jobs import refuse_ddp
from flukeseg.training.run_folder import read_result
from flukeseg.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Judge masks and leave `per_photo.csv`, `summary.json` and `report.html` in `cfg.output`.

    Returns:
        What is in `summary.json`.

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
        results = judge_folders(cfg)
    elif cfg.runs is not None:
        results, tables = judge_folds(cfg, output)
    else:
        results, tables = judge_checkpoint(cfg, output)
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
    log.info("look at: %s", output / "report.html")
    return summary


def refuse_parts(cfg: DictConfig, job: str) -> None:
    """Refuse several devices or machines for a job that needs all masks to go on.

    Raises:
        InputError: there are several.
    """
    refuse_ddp(cfg.trainer.get("strategy", "auto"), cfg.trainer.devices, job)
    if cfg.shard is not None:
        raise InputError(f"shard={cfg.shard} goes with flukeseg.predict, not with {job}")


def judge_folders(cfg: DictConfig) -> list[Result]:
    """Judge folders of masks against one folder of true ones."""
    if cfg.truth is None:
        raise InputError("truth has no value; give the folder of true masks")
    truths = find_true_masks(cfg.truth)
    folders = [cfg.predictions] if isinstance(cfg.predictions, str) else list(cfg.predictions)
    names = {str(folder): Path(folder).name for folder in folders}
    if len(set(names.values())) < len(names):
        names = {folder: folder for folder in names}
    return [
        judge_pairs(names[str(folder)], pair(truths, find_predicted(folder)), cfg.max_pixels)
        for folder in folders
    ]


def judge_checkpoint(cfg: DictConfig, output: Path) -> tuple[list[Result], list[Table]]:
    """Predict on labelled photos with every setting asked for, and judge."""
    sizes = [cfg.size] if cfg.sizes is None else [require_size("sizes", s) for s in cfg.sizes]
    truths = labelled_photos(cfg, output)
    settings = list(itertools.product(sizes, several(cfg.tta), several(cfg.threshold)))
    results = []
    for size, tta, threshold in settings:
        name = ", ".join(
            text
            for text, values in (
                (f"{size[1]} × {size[0]}" if cfg.sizes else "", sizes),
                (str(tta), several(cfg.tta)),
                (f"threshold {threshold}", several(cfg.threshold)),
            )
            if len(values) > 1
        )
        own = predict_and_pair(
            cfg, truths, output / "predictions" / (slug(name) or "plain"),
            size=size, tta=tta, threshold=threshold,
        )  # fmt: skip
        results.append(judge_pairs(name or name_of(cfg.checkpoint), own, cfg.max_pixels))
    if not cfg.stress:
        return results, []
    if len(results) > 1:
        raise InputError("stress=true takes one size, one tta and one threshold")
    return results, [stress_table(cfg, output, truths, results[0])]


def labelled_photos(cfg: DictConfig, output: Path) -> dict[str, TrueMask]:
    """Return the photos of `data=` that are to be judged, with their truth."""
    if cfg.get("data") is None:
        raise InputError("data has no value; give data=folder data.root=DIR, or data=synthetic")
    if cfg.subset not in ("val", "all"):
        raise InputError(f"subset={cfg.subset} must be val or all")
    if "root" not in cfg.data:  # rendered: written down, so that they are looked at as photos are
        size = require_size("photo_size", cfg.photo_size)
        return find_true_masks(
            render_pairs(output / "rendered", cfg.data.test_count, size, cfg.seed)
        )
    truths = find_true_masks(cfg.data.root, cfg.data.mask_threshold, "data.root")
    if cfg.subset == "all":
        return truths
    root = Path(cfg.data.root).absolute()
    # a run in this folder of pairs has learnt from all but its own validation photos
    runs = [folder_of(find_checkpoint(path).parent.parent) for path in several(cfg.checkpoint)]
    own = [data for data in runs if data is not None and Path(data.root).absolute() == root]
    first, *others = [validated(data) for data in own or [cfg.data]]
    if any(names != first for names in others):
        raise InputError(
            "checkpoint= gives runs that did not validate on the same photos; cross-validation is "
            "judged with runs=SWEEP"
        )
    if own:
        log.info("judging the %d photos that the run validated on", len(first))
    return {name: truths[name] for name in first}


def folder_of(run: Path) -> DictConfig | None:
    """Return the configuration of a run's data, if it learnt from a folder of pairs."""
    path = run / "config.yaml"
    data = OmegaConf.load(path).get("data") if path.is_file() else None
    return data if data is not None and "root" in data else None


def validated(data: DictConfig) -> list[str]:
    """Return the names of the photos that data of this configuration is validated on."""
    return validation_names(hydra.utils.instantiate(data, augmentation=None, _convert_="all"))


def judge_folds(cfg: DictConfig, output: Path) -> tuple[list[Result], list[Table]]:
    """Judge each photo by the run whose validation fold it was in."""
    configs = sorted(Path(cfg.runs).glob("*/config.yaml"))
    if not configs:
        raise InputError(
            f"runs={cfg.runs} holds no runs; name the folder of a sweep over data.fold"
        )
    truths: dict[str, TrueMask] = {}
    pairs: MatchedMasks = {}
    fold_of: dict[str, int] = {}
    for path in configs:
        data = folder_of(path.parent)
        if data is None or data.get("fold") is None:
            raise InputError(f"{path.parent} is not a run of one fold; train it with data.fold=")
        if "figures" not in (read_result(path.parent) or {}):
            raise InputError(f"{path.parent} is not finished; go on with the sweep: ckpt_path=last")
        truths |= find_true_masks(data.root, data.mask_threshold)
        names = validated(data)
        if twice := sorted(set(names) & pairs.keys()):
            raise InputError(
                f"{twice[0]} is in two folds; {cfg.runs} must hold each fold once, of one seed"
            )
        pairs |= predict_and_pair(
            cfg,
            {name: truths[name] for name in names},
            output / "predictions" / f"fold_{data.fold}",
            checkpoint=str(path.parent),
            products=["mask", "probability"],
        )
        fold_of |= dict.fromkeys(names, data.fold)
    if lacking := sorted(truths.keys() - pairs.keys()):
        raise InputError(
            f"{len(lacking)} photos are in no fold of {cfg.runs} (say {lacking[0]}); train the "
            "folds that are missing"
        )
    judged = judge_pairs("out of fold", dict(sorted(pairs.items())), cfg.max_pixels)
    cleaning = hydra.utils.instantiate(cfg.cleaning)
    return [judged], [threshold_table(judged.pairs, fold_of, cleaning, cfg.max_pixels)]


def stress_table(
    cfg: DictConfig, output: Path, truths: Mapping[str, TrueMask], plain: Result
) -> Table:
    """Judge the same photos under each condition; what each costs against the plain ones."""
    header = ["condition", "Dice", "difference", "95 % interval", "Boundary IoU 2 %", "missed"]
    rows = [header, ["plain", *_cost(plain, plain)]]
    for condition in stress.CONDITIONS:
        folder = stressed_pairs(output / "stress" / condition, condition, truths, cfg.max_pixels)
        pairs = predict_and_pair(cfg, find_true_masks(folder), output / "predictions" / condition)
        rows.append([condition, *_cost(judge_pairs(condition, pairs, cfg.max_pixels), plain)])
    meaning = f"The same photos under other conditions (stress suite, version {stress.VERSION})."
    return "Stress", meaning, rows


def predict_and_pair(
    cfg: DictConfig, truths: Mapping[str, TrueMask], folder: Path, **changes: Any
) -> MatchedMasks:
    """Predict on labelled photos into a folder of their own, and match."""
    if without := [name for name, truth in truths.items() if truth.photo is None]:
        raise InputError(f"the mask {truths[without[0]].mask} has no photo beside it in images/")
    folder.mkdir(parents=True, exist_ok=True)
    photos = folder / "photos.txt"
    write_list(photos, [truth.photo for truth in truths.values()])
    asked = {"source": str(photos), "output": str(folder), "products": ["mask"], **changes}
    predict(OmegaConf.merge(cfg, asked))
    return pair(dict(truths), find_predicted_of(folder, truths))


def name_of(checkpoint: Any) -> str:
    """Return what to call the result of a checkpoint: its run's name and date, or its file's."""
    if OmegaConf.is_list(checkpoint):
        return f"mean of {len(checkpoint)} checkpoints"
    path = Path(checkpoint)
    return "/".join(path.resolve().parts[-2:]) if path.is_dir() else path.name


def several(value: Any) -> list[Any]:
    """Return an option's values, of which there may be one."""
    return list(value) if OmegaConf.is_list(value) else [value]


def slug(name: str) -> str:
    """Return a folder's name for a result."""
    return "_".join(name.replace("×", "x").replace(",", " ").split())


def _cost(one: Result, plain: Result) -> Iterable[str]:
    figures, change = one.summary["figures"], compare(one.rows, plain.rows)["dice"]
    low, high = change["ci95"]
    return (
        f"{figures['dice']['mean']:.3f}",
        f"{change['difference']:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        f"{figures['boundary_iou_2']['mean']:.3f}",
        f"{figures['missed']['mean']:.1%}",
    )


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluate from the command line."""
    with command_line.report_user_errors(), quiet_lightning():
        evaluate(cfg)


if __name__ == "__main__":
    command_line.run(main)
