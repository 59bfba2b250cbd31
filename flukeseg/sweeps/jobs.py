"""Jobs of a sweep: one that fails does not end the others, and a killed sweep can go on."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from flukeseg.atomic_files import locked_folder
from flukeseg.command_line import report_user_errors
from flukeseg.errors import InputError
from flukeseg.option_errors import explain, user_errors
from flukeseg.sweeps.runs import METRIC, read_runs
from flukeseg.sweeps.summary import report_unfinished
from flukeseg.training.provenance import refuse_changes
from flukeseg.training.run_folder import read_result, write_result

log = logging.getLogger(__name__)

MAY_CHANGE = ("ckpt_path", "data.num_workers", "logger", "trainer.accelerator")
"""Options that may differ when a sweep goes on: they change nothing that it compares."""

ALONE = "a sweep, whose jobs hydra/launcher=joblib runs side by side"
"""A kind of job that takes one device."""


class Multirun(Callback):
    """Opens and closes a sweep; Hydra calls it on the machine that starts the jobs.

    Hydra turns an exception in here into a warning, so errors end the program instead.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse what cannot work before anything is written, then fix the folder."""
        with report_user_errors():
            for strategy in _values(config, "trainer.strategy", "auto"):
                for devices in _values(config, "trainer.devices", 1):
                    refuse_ddp(strategy, devices, ALONE)
            folder = Path(config.hydra.sweep.dir)
            try:
                _start_or_go_on(config, folder)
            except OSError as error:
                raise InputError(f"{folder} cannot be written ({error.strerror})") from error
        logging.getLogger("alembic").setLevel(logging.WARNING)  # what Optuna keeps databases with
        # each job composes its configuration, and the folder's name, again; all get one
        config.hydra.sweep.dir = str(folder)
        quoted = str(folder).replace("'", r"\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Report the jobs; exit code 1 where one failed."""
        folder = Path(config.hydra.sweep.dir)
        runs = read_runs(folder)
        report_unfinished(runs)
        print(f"table and curves: python -m flukeseg.sweep {folder}")
        if failed := [run for run in runs if run.status == "failed"]:
            again = "" if _is_optuna(config) else "; ckpt_path=last tries them again"
            print(f"error: {len(failed)} of {len(runs)} jobs failed{again}", file=sys.stderr)
            sys.exit(1)


def run_job(cfg: DictConfig, train: Callable[[DictConfig], dict[str, float]]) -> float | None:
    """Run one job of a sweep, resume it, or return the result it has.

    Returns:
        `METRIC` of the run; None where it failed, which Optuna counts as a failed trial.

    Raises:
        InputError: the folder holds a run with other options, or is locked by another process.
    """
    folder = Path(cfg.folder)
    with locked_folder(folder):
        return _run_alone(cfg, train, folder)


def _run_alone(
    cfg: DictConfig, train: Callable[[DictConfig], dict[str, float]], folder: Path
) -> float | None:
    if (folder / "config.yaml").is_file():
        refuse_changes(cfg, folder)
    result = read_result(folder)
    # a failed trial stays failed: the sampler chose the later ones by it
    if result is not None and ("error" not in result or _is_optuna(HydraConfig.get())):
        log.info("%s is finished", folder)
        figures = result.get("figures", {})
        return figures.get(METRIC, figures.get("val/dice"))  # of a run made before there was METRIC
    cfg.ckpt_path = "last" if (folder / "checkpoints/last.ckpt").is_file() else None
    try:
        refuse_ddp(cfg.trainer.get("strategy", "auto"), cfg.trainer.devices, ALONE)
        return train(cfg).get(METRIC)
    except Exception as error:
        plain = isinstance(error, user_errors()) and os.environ.get("FLUKESEG_TRACEBACK") != "1"
        sentence = explain(error) if plain else f"{type(error).__name__}: {error}"
        log.error("error: %s", sentence, exc_info=not plain)
        write_result(folder, {"error": " ".join(sentence.split())})
        return None


def refuse_ddp(strategy: Any, devices: Any, job: str) -> None:
    """Refuse several devices for one job.

    Lightning starts the program again for each, and the copies would replay the sweep in another
    folder; where it spawns instead, the metrics of the best checkpoint would be sums of all.

    Args:
        strategy: the trainer's.
        devices: the trainer's.
        job: what does not support them.

    Raises:
        InputError: there are several.
    """
    many = torch.cuda.device_count() if str(devices) in ("auto", "-1") else devices
    if OmegaConf.is_list(many):
        many = len(many)
    text = str(strategy).lower()
    if str(many) not in ("0", "1") or any(kind in text for kind in ("ddp", "fsdp", "deepspeed")):
        raise InputError(
            "several devices for one job, or DDP, do not work with "
            f"{job}; give trainer=default trainer.devices=1"
        )


def _start_or_go_on(config: DictConfig, folder: Path) -> None:
    asked = {
        "options": [o for o in config.hydra.overrides.task if not o.startswith(MAY_CHANGE)],
        "sweeper": OmegaConf.to_container(config.hydra.sweeper, resolve=True),
    }
    asked["sweeper"].pop("n_trials", None)  # one may want more of them
    record = folder / "sweep.yaml"
    if record.is_file():
        if config.ckpt_path != "last":
            raise InputError(f"{folder} holds a sweep; give ckpt_path=last to go on with it")
        before = OmegaConf.to_container(OmegaConf.load(record))
        if before["options"] != asked["options"]:
            was = [o for o in before["options"] if o not in asked["options"]]
            now = [o for o in asked["options"] if o not in before["options"]]
            told = f"{' '.join(was) or 'less'} (now {' '.join(now) or 'less'})"
            raise InputError(
                f"{folder} was started with {told if was or now else 'options in another order'}; "
                "go on with the same, or leave ckpt_path=last out to start anew"
            )
        if before["sweeper"] != OmegaConf.to_container(OmegaConf.create(asked["sweeper"])):
            raise InputError(
                f"{folder} was started with another hydra.sweeper, see {record}; go on with the "
                "same, or leave ckpt_path=last out to start anew"
            )
    elif config.ckpt_path is not None:
        raise InputError(f"ckpt_path={config.ckpt_path} finds no {record}; leave it out to start")
    elif any(folder.glob("*/config.yaml")):
        raise InputError(f"{folder} holds other runs; give hydra.sweep.dir a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(asked), record)


def _values(config: DictConfig, key: str, default: Any) -> Iterator[Any]:
    """Yield each value that the command line gives an option of a sweep."""
    given = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    given += config.hydra.overrides.task
    for override in OverridesParser.create().parse_overrides(given):
        if override.key_or_group == key:
            if override.is_sweep_override():
                yield from override.sweep_iterator()
            else:
                yield override.value()
            return
    yield OmegaConf.select(config, key, default=default)


def _is_optuna(config: DictConfig) -> bool:
    hydra = config.get("hydra", config)
    return "optuna" in str(hydra.sweeper.get("_target_")).lower()
