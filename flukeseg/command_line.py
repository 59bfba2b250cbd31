"""What the three jobs share as programs: run folders, and errors told in a sentence."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.option_errors import PLUGIN_ERRORS, USER_ERRORS, explain

PATHS = frozenset({
    "checkpoint", "source", "output", "predictions", "truth", "runs", "data.root",
    "data.test_root", "model.start_from", "model.encoder_weights", "root", "calibrate_on",
    "individuals", "prefix",
})  # fmt: skip
"""Options that hold a path."""


def run(job: Callable[[], None]) -> None:
    """Run a job's Hydra main; errors in the options themselves are told in a sentence too."""
    # otherwise Hydra prints a report of its own and exits, and a typo becomes six lines
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not {"-m", "--multirun"} & set(sys.argv):  # there a comma parts the values to try
        sys.argv[1:] = [quote_path(argument) for argument in sys.argv[1:]]
    try:
        with report_user_errors():
            check_experiment(sys.argv)
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


def check_experiment(argv: Sequence[str]) -> None:
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
def report_user_errors() -> Iterator[None]:
    """End with one line on stderr and exit code 1 for what the user can mend.

    With FLUKESEG_TRACEBACK=1 in the environment it ends in a traceback instead.
    """
    try:
        yield
    except USER_ERRORS as error:
        if os.environ.get("FLUKESEG_TRACEBACK") == "1":
            raise
        _end(explain(error))


def _end(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
