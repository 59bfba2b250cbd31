"""What to write instead of an option that a job does not have."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flukeseg.installation import CONF


class Command(NamedTuple):
    """A job and the options it was given, as on the command line."""

    job: str
    options: Sequence[str]


def instead_of(key: str, value: str, command: Command) -> str:
    """Return a clause that says what to write instead of `key=value`."""
    cfg = compose_choices(command)
    known = {name: node for name, node in _walk(cfg) if name != key}
    parent, _, last = key.rpartition(".")
    takers = {name: _arguments(node) for name, node in known.items()}
    if last in takers.get(parent, ()):
        target = OmegaConf.select(cfg, parent)["_target_"]
        return f"{target} takes it, add it with a plus: +{key}={value}"
    if files := _files_with(key):
        return f"{' and '.join(files)} have it" if len(files) > 1 else f"{files[0]} has it"
    guesses = [
        [*_typos(key, known), *_ends_in(last, known)],
        [f"+{name}" for name in _typos(key, [f"{parent}.{a}" for a in takers.get(parent, ())])],
        [f"+{name}.{last}" for name, taken in takers.items() if last in taken],
    ]
    for guess in guesses:
        if 0 < len(names := list(dict.fromkeys(guess))) < 4:
            return f"did you mean {' or '.join(names)}?"
    return f"python -m flukeseg.{command.job} --help lists the options"


def is_read(key: str, command: Command) -> bool:
    """Return whether a job has an option of this name at the top of its configuration."""
    return key in {*compose_choices(command)}


def compose_choices(command: Command) -> DictConfig:
    """Compose a job's configuration with those of the options that choose a file of a group."""
    chosen = [option for option in command.options if is_group(option.partition("=")[0])]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return compose(command.job, chosen)
        except (HydraException, OmegaConfBaseException):  # one of them is what is wrong
            return compose(command.job)


def is_group(key: str) -> bool:
    """Return whether a key is one of those that choose among the files of a folder."""
    name = key.lstrip("+~")
    return name.isidentifier() and (CONF / name).is_dir()


def near_choice(group: str, name: str, known: Sequence[str]) -> str:
    """Return a clause that names what a group has, the nearest first."""
    near = difflib.get_close_matches(name, known, n=1)
    listed = f"choose {', '.join(known)}"
    return f"did you mean {group}={near[0]}? {listed}" if near else listed


def _walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the full name of every option, and what is there, unresolved."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return
    for name in node:
        full = f"{prefix}.{name!s}" if prefix else str(name)
        child = node._get_node(name)
        yield full, child
        yield from _walk(child, full)


def _arguments(node: Any) -> tuple[str, ...]:
    """Return what the class or function that a node names as its `_target_` may be given."""
    if not isinstance(node, DictConfig) or node._is_none() or not node.get("_target_"):
        return ()
    try:
        target: Callable[..., Any] = get_object(node["_target_"])
        found = inspect.signature(target).parameters.values()
    except Exception:  # whatever importing a module of somebody else raises: it is only a hint
        return ()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(parameter.name for parameter in found if parameter.kind in kinds)


def _typos(key: str, known: Iterable[str]) -> list[str]:
    """Return the name that a mistyped one is nearest to, if any is near."""
    names = [*known]
    parent, _, last = key.rpartition(".")
    siblings = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == parent]
    if near := difflib.get_close_matches(last, siblings, n=1, cutoff=0.75):
        # a decoder is no encoder: few typos are in the first letter
        return [f"{parent}.{near[0]}".lstrip(".")] if near[0][0] == last[:1] else []
    if parent in names:
        return [name for name in names if name.startswith(f"{parent}.{last[:6]}")]
    return difflib.get_close_matches(key, names, n=1, cutoff=0.85)


def _ends_in(last: str, known: Iterable[str]) -> list[str]:
    """Return the options of this last name, or else those that have it as one of their words."""
    ends = {name: name.rpartition(".")[2] for name in known}
    same = [name for name, end in ends.items() if end == last]
    return same or [name for name, end in ends.items() if last in end.split("_")]


def _files_with(key: str) -> list[str]:
    """Return the choices of a group that have an option which the chosen one lacks."""
    group, _, rest = key.partition(".")
    if not rest or not is_group(group):
        return []
    files = sorted((CONF / group).glob("*.yaml"))
    return [f"{group}={file.stem}" for file in files if rest in dict(_walk(OmegaConf.load(file)))]


def required_options(job: str) -> frozenset[str]:
    """Return the options that have no default and must be given to a job, all of them text."""
    found = set()
    others = {path for path in CONF.glob("*.yaml") if path not in _files_of(job)}
    for path in sorted({*CONF.rglob("*.yaml")} - others):
        folder = path.parent.relative_to(CONF).as_posix()
        group = "" if folder in (".", "experiment", "sweep") else f"{folder}."
        loaded: DictConfig | ListConfig = OmegaConf.load(path)
        found |= {group + name for name, node in _walk(loaded) if node._is_missing()}
    return frozenset(found)


def _files_of(job: str) -> list[Path]:
    """Return a job's own file and those of the jobs whose options it has too."""
    path = CONF / f"{job}.yaml"
    if not path.is_file():
        return []
    defaults = OmegaConf.select(OmegaConf.load(path), "defaults", default=[])
    return [path, *(file for name in defaults if isinstance(name, str) for file in _files_of(name))]
