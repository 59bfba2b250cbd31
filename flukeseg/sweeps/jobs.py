"""What a sweep adds to its runs: one that fails ends no other, and a killed sweep goes on."""

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

from flukeseg.command_line import report_user_errors
from flukeseg.errors import InputError
from flukeseg.option_errors import USER_ERRORS, explain
from flukeseg.sweeps.runs import read_runs
from flukeseg.sweeps.summary import tell_the_rest
from flukeseg.training.provenance import refuse_changes
from flukeseg.training.run_folder import locked, read_result, write_result

log = logging.getLogger(__name__)

MAY_CHANGE = ("ckpt_path", "data.num_workers", "logger", "trainer.accelerator")
"""Options that a sweep may be given anew when it goes on: they change nothing that it compares."""

ALONE = "a sweep, whose jobs hydra/launcher=joblib runs side by side"
"""What takes one device a job."""


class Multirun(Callback):
    """Opens and closes a sweep; Hydra calls it on the machine that starts the jobs.

    Hydra turns an exception in here into a warning, so that errors exit instead.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse what cannot work before anything is made; then settle on the folder."""
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
        # each job composes its configuration, and the folder's name, again; one folder for all
        config.hydra.sweep.dir = str(folder)
        quoted = str(folder).replace("'", r"\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Say what became of the jobs; exit code 1 where one failed."""
        folder = Path(config.hydra.sweep.dir)
        runs = read_runs(folder)
        tell_the_rest(runs)
        print(f"table and curves: python -m flukeseg.sweep {folder}")
        if failed := [run for run in runs if run.status == "failed"]:
            again = "" if _is_optuna(config) else "; ckpt_path=last tries them again"
            print(f"error: {len(failed)} of {len(runs)} jobs failed{again}", file=sys.stderr)
            sys.exit(1)


def run_job(cfg: DictConfig, train: Callable[[DictConfig], dict[str, float]]) -> float | None:
    """Run one job of a sweep, go on with it, or return what it had come to.

    Returns:
        The validation Dice; None where it failed, which Optuna counts as a failed trial.

    Raises:
        InputError: the folder holds a run with other options, or another process is at it.
    """
    folder = Path(cfg.folder)
    with locked(folder):
        return _run_alone(cfg, train, folder)


def _run_alone(
    cfg: DictConfig, train: Callable[[DictConfig], dict[str, float]], folder: Path
) -> float | None:
    if (folder / "config.yaml").is_file():
        refuse_changes(cfg, folder)
    result = read_result(folder)
    # of a failed trial the sampler knew when it chose the later ones
    if result is not None and ("error" not in result or _is_optuna(HydraConfig.get())):
        log.info("%s is done", folder)
        return result.get("figures", {}).get("val/dice")
    cfg.ckpt_path = "last" if (folder / "checkpoints/last.ckpt").is_file() else None
    try:
        refuse_ddp(cfg.trainer.get("strategy", "auto"), cfg.trainer.devices, ALONE)
        return train(cfg).get("val/dice")
    except Exception as error:
        plain = isinstance(error, USER_ERRORS) and os.environ.get("FLUKESEG_TRACEBACK") != "1"
        sentence = explain(error) if plain else f"{type(error).__name__}: {error}"
        log.error("error: %s", sentence, exc_info=not plain)
        write_result(folder, {"error": " ".join(sentence.split())})
        return None


def refuse_ddp(strategy: Any, devices: Any, job: str) -> None:
    """Refuse several devices for one job.

    Lightning starts the program again for each, and the copies would replay the sweep in a folder
    of their own; where it spawns instead, processes share the sums behind the last figures.

    Args:
        strategy: the trainer's.
        devices: the trainer's.
        job: what does not go with it.

    Raises:
        InputError: there are several.
    """
    many = torch.cuda.device_count() if str(devices) in ("auto", "-1") else devices
    if OmegaConf.is_list(many):
        many = len(many)
    text = str(strategy).lower()
    if str(many) not in ("0", "1") or any(kind in text for kind in ("ddp", "fsdp", "deepspeed")):
        raise InputError(
            "several devices for one job, or DDP, do not go with "
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
    """Give each value that an option takes in a sweep, as far as the command line says."""
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
