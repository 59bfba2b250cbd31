"""What Hydra, OmegaConf and Lightning raise, as one sentence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install
from flukeseg.option_suggestions import (
    Command,
    compose_choices,
    instead_of,
    is_group,
    near_choice,
)

PLUGIN_ERRORS = {
    "No trials are completed": "every trial failed; the messages above say why",
    'Could not detect "srun"': "there is no srun here; start the sweep where Slurm is installed",
}
"""What Hydra's samplers and launchers raise as plain exceptions, and what to say instead."""


def user_errors() -> tuple[type[Exception], ...]:
    """Return the classes of errors that the user can correct.

    Lightning's is among them only where Lightning is imported: that takes seconds, which jobs that
    do not need it should not cost.
    """
    lightning = sys.modules.get("lightning_fabric.utilities.exceptions")
    own = (InputError, HydraException, OmegaConfBaseException)
    return (*own, lightning.MisconfigurationException) if lightning else own


def explain(error: BaseException, command: Command | None = None) -> str:
    """Return one sentence for the user about an error of the input or the configuration.

    Args:
        error: one of `user_errors`.
        command: what was run; with it, unknown options are answered with those that exist.
    """
    chain: list[BaseException] = [error]
    while link := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(link)
    for link in chain:
        if isinstance(link, InputError):
            return str(link)
        if isinstance(link, MissingMandatoryValue):
            key = re.search(r"(?:full_key|mandatory value): (\S+)", str(link))
            return f"{key[1] if key else link} has no value; give it on the command line"
    if isinstance(error, OverrideParseException):
        return _explain_unreadable(error.override, command)
    text = str(error)
    if plugin := re.search(r"Could not find 'hydra/\w+/(joblib|submitit_\w+|optuna)'", text):
        return f"{plugin[1]} is not installed; {how_to_install('sweep')}"
    if isinstance(error, InstantiationException):
        # whatever a library says about an argument that it does not take
        part = re.search(r"full_key: (\S+)", text)
        reason = " ".join(str(chain[1] if chain[1:] else text).split())
        return f"{part[1] if part else 'configuration'}: {reason}"
    if command and (sentence := _explain_composition(text, command)):
        return sentence
    return " ".join(text.split("\nConfig search path")[0].split())


def _explain_composition(text: str, command: Command) -> str | None:
    """Return what an option does wrong that Hydra can read but not apply."""
    if found := re.search(r"Ambiguous value for argument '([^'=]+)=([^']*)'", text):
        key, value = found[1], found[2]
        if is_group(key):
            return f"{key}={value} names several; choose one, or run a job for each with -m"
        several = "; to run a job for each value, add -m" if command.job == "train" else ""
        default = OmegaConf.select(compose_choices(command), key, throw_on_missing=False)
        is_share = default is None and value.startswith("0,")
        if re.fullmatch(r"\d+,\d+", value) and (isinstance(default, float) or is_share):
            return f"{key}={value}: write a point: {key}={value.replace(',', '.')}{several}"
        is_text = isinstance(default, str | None) and re.search(r"[^\d,.\s]", value)
        text = f", for a text with a comma '{key}=\"{value}\"'" if is_text else ""
        return f"{key}={value}: for a list write '{key}=[{value}]'{text}{several}"
    if found := re.search(r"Sweep parameters '([^']+)' requires --multirun", text):
        return f"{found[1]} stands for several values; add -m to run a job for each"
    if found := re.search(r"Could not find '([\w/]+)/([^/']+)'", text):
        known = re.findall(r"^\t(\S+)$", text.partition("Available options")[2], re.MULTILINE)
        return f"there is no {found[1]}={found[2]}; {near_choice(found[1], found[2], known)}"
    if found := re.search(r"An item is already at '([^']+)'", text):
        given = _given(found[1], command).lstrip("+")
        return f"{found[1]} has a value already; leave out the plus: {given}"
    if found := re.search(r"Multiple values for ([\w/]+)\.", text):
        given = _given(found[1], command).lstrip("+")
        return f"{found[1]} is chosen already; leave out the plus: {given}"
    if found := re.search(r"Could not delete (?:from config\. )?'([^'=]+)", text):
        return f"there is no {found[1]} to take out; {instead_of(found[1], '', command)}"
    if found := re.search(r"Could not override '([^'@]+)", text):
        key, value = found[1], _given(found[1], command).partition("=")[2]
        if key == "experiment":
            return f"an experiment is added with a plus: +experiment={value or 'NAME'}"
        if is_group(key):
            return f"flukeseg.{command.job} has no {key} to choose"
        return f"there is no option {key}; {instead_of(key, value, command)}"
    return None


def _explain_unreadable(option: str, command: Command | None) -> str:
    """Return what is wrong with an option that Hydra cannot read."""
    key, equals, _ = option.partition("=")
    if command and not equals:
        cfg = compose_choices(command)
        has_source = any(re.match(r"source=.", given) for given in command.options)
        # a word of a folder called "Day 1/north", rather than a source
        if (
            "source" in {*cfg}
            and not has_source
            and (re.search(r"[/\\.*]", option) or Path(option).exists())
        ):
            return f"{option} has no name; write source={option}"
        if option in {*cfg}:
            return f"{option} has no value; write {option}=VALUE, without spaces around ="
        return (
            f"{option} is not an option; write NAME=VALUE, without spaces around =, and one that "
            "has spaces in quotes: 'NAME=A B'"
        )
    if re.search(r"\s$", key):
        return f"{option}: write {key.strip()}=VALUE, without spaces around ="
    return (
        f"{option} cannot be read as an option; write NAME=VALUE, the value in quotes if it has "
        "commas, brackets or ="
    )


def _given(key: str, command: Command) -> str:
    """Return the option as it was written."""
    written = (o for o in command.options if o.lstrip("+~").partition("=")[0] == key)
    return next(written, f"{key}=")
