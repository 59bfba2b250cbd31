"""What the three jobs share as programs: run folders, and errors told in a sentence."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from flukeseg.errors import InputError


def run(job: Callable[[], None]) -> None:
    """Run a job's Hydra main; what the user can mend ends in one line on stderr and exit code 1."""
    # without it Hydra prints its own report and exits, and a typo becomes six lines
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        job()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1)


def explain(error: BaseException) -> str | None:
    """Put an error in words for the user; None if it is a fault of the program."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, InputError):
            return str(link)
        if isinstance(link, MissingMandatoryValue):
            key = re.search(r"(?:full_key|value): (\S+)", str(link))
            return f"{key[1] if key else link} has no value; give it on the command line"
        link = link.__cause__ or link.__context__
    text = str(error)
    if key := re.search(r"Could not override '([^']+)'", text):
        return f"there is no option {key[1]}{_near_option(key[1])}"
    if isinstance(error, MissingConfigException) or "Could not find" in text:
        return " ".join(text.split("\nConfig search path")[0].split())
    if isinstance(error, InstantiationException):
        return None if error.__cause__ and not isinstance(error.__cause__, TypeError) else text
    return text.splitlines()[0]


def run_dir(name: str, ckpt_path: str | None) -> str:
    """Folder for a run: a new one by date, or with `last` the newest of this name to go on with.

    Raises:
        InputError: there is none to go on with.
    """
    runs = Path("outputs") / name
    if ckpt_path != "last":
        return str(runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    found = sorted(runs.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            f"ckpt_path=last finds no checkpoints/last.ckpt in {runs}/*; leave it out to start anew"
        )
    return str(found[-1].parent.parent)


def _near_option(key: str) -> str:
    """Name an option that looks like a mistyped one, from the configuration files."""
    known = set()
    for path in (Path(__file__).parent.parent / "conf").rglob("*.yaml"):
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
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else "; see --cfg job for those there are"
