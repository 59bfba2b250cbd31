"""The command line of the jobs: paths as they are, and errors in one sentence."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from tqdm import tqdm

from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.option_errors import PLUGIN_ERRORS, explain, user_errors
from flukeseg.option_suggestions import Command, instead_of, is_group, is_read, required_options
from flukeseg.signals import stop_on_signals

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors of writing where there is no room."""


def run(job: Callable[[], Any]) -> None:
    """Run a job's Hydra main; errors in the options themselves become one sentence too."""
    # otherwise Hydra prints a report of its own and exits, and a typo becomes six lines
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with stop_on_signals():
            _run(job)
    except BrokenPipeError:  # what it printed is read by no one any more, say by head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ValueError, RuntimeError) as error:
        for sign, sentence in PLUGIN_ERRORS.items():
            if sign in str(error):
                _end(sentence)
        # Hydra makes the output folder before the job begins; logging wraps what its file raises
        cause = error if isinstance(error, OSError) else error.__cause__
        plain = os.environ.get("FLUKESEG_TRACEBACK") != "1"
        if plain and isinstance(cause, InputError):
            _end(str(cause))
        if plain and isinstance(cause, OSError) and cause.filename is not None:
            _end(f"{cause.filename} cannot be written ({cause.strerror}); name another folder")
        if plain and isinstance(cause, OSError) and cause.errno in FULL:
            _end(f"{cause.strerror}; what was written before is kept: make room, and start again")
        raise


def _run(job: Callable[[], Any]) -> None:
    # a job with a folder of its own is that folder's __main__.py
    path = re.sub(r"([/\\]__main__)?\.py$", "", sys.argv[0])
    name = re.split(r"[./\\]", path)[-1]
    several = bool({"-m", "--multirun"} & set(sys.argv))
    if not several:  # there a comma separates the values to try
        sys.argv[1:] = [quote_text(argument, name) for argument in sys.argv[1:]]
    sys.argv[1:] = _flags_first(sys.argv[1:])
    with report_user_errors(Command(name, sys.argv[1:])):
        check_arguments(name, sys.argv[1:])
        job()


def check_arguments(job: str, arguments: Sequence[str]) -> None:
    """Refuse what Hydra would answer with its usage, or take and ignore.

    Raises:
        InputError: an argument is a flag that does not exist, an experiment of another job, or
            adds an option that nothing reads.
    """
    parser = get_args_parser()

    def fail(message: str) -> NoReturn:
        raise InputError(message)

    parser.error = fail  # type: ignore[method-assign]
    known, unknown = parser.parse_known_args(list(arguments))
    if flags := [argument for argument in unknown if argument.startswith("-")]:
        name, equals, value = flags[0].lstrip("-").partition("=")
        follows = arguments[arguments.index(flags[0]) + 1 :]
        value = value if equals else next(iter(follows), "VALUE")
        write = f"{name}={value}" if len(name) > 1 else "NAME=VALUE"
        raise InputError(f"{flags[0]} is not an option; write {write}")
    command = Command(job, [*known.overrides, *unknown])
    empty = [option for option in command.options if re.fullmatch(r"[^~=][^=]*=", option)]
    for option in command.options:
        key, equals, value = option.lstrip("+").partition("=")
        if equals and not key:
            raise InputError(f"{option} has no name; write NAME=VALUE, without spaces around =")
        if not option.startswith("+") or "@" in key:
            continue
        if key == "experiment":
            check_experiment(job, value, command)
        elif key.isidentifier() and not is_group(key) and not is_read(key, command):
            raise InputError(f"nothing reads the option {key}; {instead_of(key, value, command)}")
    # of a variable of the shell that is not set, say; words without = have an answer of their own
    if empty and all("=" in option or option.startswith("~") for option in command.options):
        raise InputError(f"{empty[0]} has no value; write {empty[0]}VALUE, or {empty[0]}null")


def job_groups() -> str:
    """Return a paragraph for --help: each group that the job takes, with its alternatives.

    Empty where it takes none. Experiments are its own, see `check_experiment`.
    """
    config = HydraConfig.get()
    lines = []
    for group in sorted({"experiment", *config.runtime.choices}):
        found = sorted((CONF / group).glob("*.yaml"))
        if group == "experiment":
            found = [path for path in found if _is_for(config.job.name, _job_of(path))]
        names = [path.stem for path in found]
        if names and "/" not in group:
            plus = "+" if group == "experiment" else ""
            lines.append(f"{plus}{group}: {', '.join(names)}")
    return "\n".join(["", "Groups, chosen by GROUP=NAME:", "", *lines, ""]) if lines else ""


OmegaConf.register_new_resolver("job_groups", job_groups, replace=True)


def _flags_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with flags such as -m before the options: argparse wants no mixture."""

    def is_option(argument: str) -> bool:
        return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))

    return sorted(arguments, key=is_option)


def check_experiment(job: str, name: str, command: Command) -> None:
    """Refuse an experiment of another job, which would do nothing here or something else.

    An experiment is for `train` unless it sets `hydra.job.name`.

    Raises:
        InputError: it is another job's.
    """
    path = CONF / "experiment" / f"{name}.yaml"
    if not path.is_file():
        return
    own = _job_of(path)
    if not _is_for(job, own):
        again = shlex.join(["python", "-m", f"flukeseg.{own}", *command.options])
        raise InputError(f"experiment={name} is not for flukeseg.{job}; run: {again}")


def _is_for(job: str, own: str) -> bool:
    """Return whether a job takes the experiments of `own`: its own, and to be measured all."""
    return job in (own, "benchmark")


def _job_of(experiment: Path) -> str:
    name: str = OmegaConf.select(OmegaConf.load(experiment), "hydra.job.name", default="train")
    return name


def quote_text(argument: str, job: str) -> str:
    """Put a value that is text in quotes where Hydra's grammar would read something else.

    Our own checkpoints are called `epoch=011-dice=0.7351.ckpt`, and folders of photos have spaces,
    brackets, commas and letters like é. Text is what the grammar cannot read, and every value of
    an option without a default, such as `source`: of a folder called 2024 too.
    """
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not key or not equals or value in ("", "null", "???"):
        return argument
    # lists, interpolations and quotes are the user's own to write
    if value[0] in "'\"" or (value[0] + value[-1]) in ("[]", "{}") or "${" in value:
        return argument
    try:
        read = OverridesParser.create().parse_override(f"key={value}")
        text = isinstance(read.value(), str) and read.value() == value
    except HydraException:
        return _quote(key, value)
    if text:
        return argument
    if read.is_sweep_override() and re.search(r"[/\\]", value):
        return _quote(key, value)
    return _quote(key, value) if key.lstrip("+") in _required(job) else argument


def _quote(key: str, value: str) -> str:
    # backslashes count double only before a quote
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
    return f"{key}='{escaped}'"


_required = cache(required_options)


@contextmanager
def report_user_errors(command: Command | None = None) -> Iterator[None]:
    """End with one line on stderr and exit code 1 for errors that the user can correct.

    With FLUKESEG_TRACEBACK=1 in the environment it ends in a traceback instead.
    """
    try:
        yield
    except user_errors() as error:
        if os.environ.get("FLUKESEG_TRACEBACK") == "1":
            raise
        _end(explain(error, command))


def several(value: Any) -> list[Any]:
    """Return an option's values, of which there may be one."""
    return list(value) if isinstance(value, list) or OmegaConf.is_list(value) else [value]


def _end(sentence: str) -> NoReturn:
    if getattr(tqdm, "_instances", None):  # a progress bar is on the line
        print(file=sys.stderr)
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
