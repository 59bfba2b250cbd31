"""What Hydra, OmegaConf and Lightning raise, as one sentence."""

from __future__ import annotations

import difflib
import re

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from flukeseg.errors import InputError
from flukeseg.installation import CONF

USER_ERRORS = (InputError, HydraException, OmegaConfBaseException, MisconfigurationException)
"""What the user can mend."""


PLUGIN_ERRORS = {
    "No trials are completed": "every trial failed; above is why",
    'Could not detect "srun"': "there is no srun here; start the sweep where Slurm is",
}
"""What Hydra's samplers and launchers say in exceptions of their own, and what we say."""


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
