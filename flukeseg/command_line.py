"""What the three jobs share as programs: run folders, and errors told in a sentence."""

from __future__ import annotations

import difflib
import itertools
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import hydra
import pytorch_lightning as pl
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from flukeseg.errors import InputError
from flukeseg.processor import choose_precision

CONF = Path(__file__).resolve().parent.parent / "conf"
"""Configuration lies beside the package; flukeseg runs from a clone."""

PATHS = frozenset({
    "checkpoint", "source", "output", "predictions", "truth", "runs", "data.root",
    "data.test_root", "model.start_from", "model.encoder_weights", "root", "calibrate_on",
})  # fmt: skip
"""Options that hold a path."""


USER_ERRORS = (InputError, HydraException, OmegaConfBaseException, MisconfigurationException)
"""What the user can mend."""

PLUGIN_ERRORS = {
    "No trials are completed": "every trial failed; above is why",
    'Could not detect "srun"': "there is no srun here; start the sweep where Slurm is",
}
"""What Hydra's samplers and launchers say in exceptions of their own, and what we say."""


def run(job: Callable[[], None]) -> None:
    """Run a job's Hydra main; errors in the options themselves are told in a sentence too."""
    # otherwise Hydra prints a report of its own and exits, and a typo becomes six lines
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not {"-m", "--multirun"} & set(sys.argv):  # there a comma parts the values to try
        sys.argv[1:] = [quote_path(argument) for argument in sys.argv[1:]]
    try:
        with told_in_a_sentence():
            see_experiment(sys.argv)
            job()
    except OSError as error:
        # Hydra makes the run's folder before the job begins
        if os.environ.get("FLUKESEG_TRACEBACK") == "1" or error.filename is None:
            raise
        _end(f"{error.filename} cannot be written ({error.strerror}); name another folder")
    except (ValueError, RuntimeError) as error:
        for sign, sentence in PLUGIN_ERRORS.items():
            if sign in str(error):
                _end(sentence)
        raise
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def see_experiment(argv: Sequence[str]) -> None:
    """See that an experiment is one of this job's: its file opens with its command.

    Raises:
        InputError: it is another job's, and here it would do nothing or something else.
    """
    job = re.search(r"(\w+)(\.py)?$", argv[0])[1]
    for name in (a.removeprefix("+experiment=") for a in argv if a.startswith("+experiment=")):
        path = CONF / "experiment" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        command = re.search(r"python -m flukeseg\.(\w+).*", text)
        if command and job not in (command[1], "benchmark"):
            raise InputError(f"experiment={name} is not for flukeseg.{job}; run: {command[0]}")


def quote_path(argument: str) -> str:
    """Put a path in the quotes that Hydra wants about `=`, brackets, commas and letters like é.

    Our own checkpoints are called `epoch=011-dice=0.7351.ckpt`.
    """
    key, equals, value = argument.partition("=")
    if key.lstrip("+") not in PATHS or not equals or value in ("", "null", "???"):
        return argument
    # a list is of one's own quoting, as is what is quoted already
    if value[0] in "'\"" or (value[0] == "[" and value[-1] == "]"):
        return argument
    # backslashes count double only before a quote
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
    return f"{key}='{escaped}'"


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """End with one line on stderr and exit code 1 for what the user can mend.

    With FLUKESEG_TRACEBACK=1 in the environment it ends in a traceback instead.
    """
    try:
        yield
    except USER_ERRORS as error:
        if os.environ.get("FLUKESEG_TRACEBACK") == "1":
            raise
        _end(explain(error))


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning says that a user can do nothing about."""
    info = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    before = info.level
    info.setLevel(logging.WARNING)  # no advertisement, no list of absent accelerators
    try:
        with warnings.catch_warnings():
            # a resumed run goes on in its own folder
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            # Lightning 2.6 against torch 2.14; nothing of ours
            warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*", FutureWarning)
            yield
    finally:
        info.setLevel(before)


def explain(error: BaseException) -> str:
    """Put an error of the configuration or the input in words for the user."""
    chain: list[BaseException] = [error]
    while link := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(link)
    for link in chain:
        if isinstance(link, InputError):
            return str(link)
        if isinstance(link, MissingMandatoryValue):
            key = re.search(r"(?:full_key|mandatory value): (\S+)", str(link))
            return f"{key[1] if key else link} has no value; give it on the command line"
    text = str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read as an option; write key=value, the value in "
            "quotes if it has commas, brackets or ="
        )
    if several := re.search(r"Ambiguous value for argument '([^'=]+)=([^']*)'", text):
        return f"{several[1]}={several[2]}: write a list, '{several[1]}=[{several[2]}]'"
    if "Could not override 'experiment'" in text:
        return "an experiment is added with a plus: +experiment=NAME"
    if key := re.search(r"Could not override '([^']+)'", text):
        return f"there is no option {key[1]}{_near_option(key[1])}"
    if plugin := re.search(r"Could not find 'hydra/\w+/(joblib|submitit_\w+|optuna)'", text):
        return f"{plugin[1]} needs: pip install -e '.[sweep]'"
    if isinstance(error, InstantiationException):
        # whatever a library says of an argument that it does not take
        part = re.search(r"full_key: (\S+)", text)
        return f"{part[1] if part else 'configuration'}: {chain[1] if chain[1:] else text}"
    return " ".join(text.split("\nConfig search path")[0].split())


def make_trainer(trainer: DictConfig, **arguments: Any) -> pl.Trainer:
    """Build the trainer of a job's configuration, `precision=auto` settled."""
    precision = choose_precision(trainer.precision, trainer.accelerator)
    try:
        return hydra.utils.instantiate(trainer, precision=precision, _convert_="all", **arguments)
    except InstantiationException as error:
        named = ("accelerator", "devices", "precision")
        given = ", ".join(f"trainer.{key}={trainer[key]}" for key in named)
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"{given} cannot be had ({reason}); auto takes what there is") from error


def run_dir(name: str, ckpt_path: str | None) -> str:
    """Folder for a run: a new one by date, or with `last` the newest of this name to go on with.

    Raises:
        InputError: there is none to go on with, or several processes would each make their own.
    """
    # torchrun and srun start all processes alike; Lightning's own are told the folder of the first
    started = max(int(os.environ.get(key, 1)) for key in ("WORLD_SIZE", "SLURM_NTASKS"))
    if started > 1 and ckpt_path != "last":
        raise InputError(
            f"{started} processes were started together: name one folder for them, such as "
            f"hydra.run.dir=outputs/{name}/RUN"
        )
    return _folder(Path("outputs") / name, "", ckpt_path, "checkpoints/last.ckpt")


def sweep_dir(name: str, ckpt_path: str | None) -> str:
    """Folder for a sweep, as `run_dir`."""
    return _folder(Path("outputs") / name, "sweep_", ckpt_path, "sweep.yaml")


def _folder(runs: Path, prefix: str, ckpt_path: str | None, sign: str) -> str:
    if ckpt_path == "last":
        found = list(runs.glob(f"{prefix}*/{sign}"))
        if not found:
            raise InputError(
                f"ckpt_path=last finds no {sign} in {runs}/{prefix}*; leave it out to start anew"
            )
        return str(max(found, key=lambda p: (p.stat().st_mtime, p)).parents[sign.count("/")])
    date = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    # made here and now, so that two runs that start in one second do not share it
    for number in itertools.count(1):
        folder = runs / f"{prefix}{date}{'' if number == 1 else f'-{number}'}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return str(folder)


# where jobs in other processes import it; cached, so that every part of one run is given one folder
for resolver in (run_dir, sweep_dir):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, use_cache=True, replace=True)


def _end(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)


def _near_option(key: str) -> str:
    """Name an option that looks like a mistyped one, from the configuration files."""
    known = set()
    for path in CONF.rglob("*.yaml"):
        if path.parent.name in ("experiment", "sweep"):  # keys of other files
            continue
        group = path.parent.name if path.parent.name != "conf" else ""
        pending = [(group, OmegaConf.load(path))]
        while pending:
            prefix, node = pending.pop()
            for name in node:
                full = f"{prefix}.{name}" if prefix else str(name)
                known.add(full)
                child = node._get_node(name)
                if OmegaConf.is_dict(child):
                    pending.append((full, child))
    near = difflib.get_close_matches(key, sorted(known - {key}), n=1)
    return f"; did you mean {near[0]}?" if near else "; see --cfg job for those there are"
