"""The section `model` of a job's configuration -> the LightningModule."""

from __future__ import annotations

import inspect
from typing import Any

import hydra
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.model.architectures import import_network
from flukeseg.model.module import SegmentationModule


def build_module(cfg: DictConfig, **fixed: Any) -> SegmentationModule:
    """Build the module that `cfg.model` describes.

    Options that `conf/model/unet.yaml` gives its own loss or optimiser are dropped where another
    `_target_` does not take them, so that this alone has to be overridden; what was set to
    anything else is passed on. Optimiser and schedule need no `_partial_`.

    Args:
        cfg: of the job.
        **fixed: arguments in place of those configured.

    Raises:
        InputError: something in the configuration cannot be used.
    """
    model = OmegaConf.to_container(cfg.model, resolve=True, throw_on_missing=True)
    defaults = OmegaConf.to_container(OmegaConf.load(CONF / "model" / "unet.yaml"), resolve=False)
    for part in ("loss", "optimizer"):
        model[part] = _fit_to_target(model[part], defaults[part])
    for part in ("optimizer", "schedule"):
        if isinstance(model[part], dict):
            model[part] = {"_partial_": True, **model[part]}
    own = model.pop("network") or {}
    if not isinstance(own, dict):
        raise InputError(f"model.network={own} is given as model.network._target_={own}")
    target = own.pop("_target_", None)
    if target is None and own:
        raise InputError(
            f"model.network.{next(iter(own))} is an option of no class; name it with "
            "model.network._target_=PACKAGE.CLASS"
        )
    network = None if target is None else import_network(target)
    # under its name, which errors give
    node = OmegaConf.create({"model": model}).model
    return hydra.utils.instantiate(
        node, network=network, network_options=own, **fixed, _convert_="all"
    )


def _fit_to_target(options: dict[str, Any] | None, default: dict[str, Any]) -> Any:
    """Return a part's options without those defaults that are of another class."""
    if not isinstance(options, dict) or options.get("_target_") == default["_target_"]:
        return options
    try:
        taken = {*inspect.signature(get_object(options["_target_"])).parameters}
    except Exception:  # Hydra says what is wrong with it when it is built
        return options
    own = {key for key in options if key.startswith("_")}
    return {
        key: value
        for key, value in options.items()
        if key in taken | own or key not in default or value != default[key]
    }
