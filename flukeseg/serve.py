"""Masks over HTTP for other programs: `python -m flukeseg.serve`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import (
    InputError,
    require_bool,
    require_int,
    require_number,
    require_size,
    require_text,
)
from flukeseg.installation import CONF, how_to_install
from flukeseg.model.precision import has_gpu
from flukeseg.predict import read_mask_settings
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.prediction.settings import PredictionSettings

log = logging.getLogger(__name__)

SHORTEST_TOKEN = 16


def serve(cfg: DictConfig) -> None:
    """Answer requests until the job is stopped.

    Raises:
        InputError: something in the configuration cannot be used, or the server is not installed.
    """
    try:
        from flukeseg.serving import http_server
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: {how_to_install('review')}") from error
    with http_server.listen(cfg.host, require_int("port", cfg.port, 0, 65535)) as connection:
        is_local = http_server.is_loopback(connection)
        check_token(cfg.token, is_local, cfg.host)
        app = make_app(cfg, is_local)
        log.info("masks are served at %s (Ctrl-C ends)", http_server.address_of(connection))
        http_server.run(app, connection)


def make_app(cfg: DictConfig, is_local: bool = True) -> Any:
    """Load the network, and build the ASGI application of a configuration.

    Raises:
        InputError: a value is out of range, or a checkpoint cannot be loaded.
    """
    from flukeseg.serving.photo_sources import PhotoSources
    from flukeseg.serving.prediction_api import make_service
    from flukeseg.serving.prediction_service import PredictionService
    from flukeseg.serving.request_guard import RequestLimits
    from flukeseg.serving.url_fetch import UrlRules

    seconds = {
        key: require_number(key, cfg[key], 0.1, 3600)
        for key in ("seconds", "upload_seconds", "fetch_seconds")
    }
    limits = RequestLimits(
        max_bytes=require_int("max_bytes", cfg.max_bytes),
        max_requests=require_int("max_requests", cfg.max_requests),
        upload_seconds=seconds["upload_seconds"],
        seconds=seconds["seconds"],
    )
    urls = UrlRules(
        hosts=tuple(str(host).lower() for host in command_line.several(cfg.url_hosts)),
        private_addresses=require_bool("private_addresses", cfg.private_addresses),
        max_bytes=limits.max_bytes,
        seconds=seconds["fetch_seconds"],
    )
    sources = PhotoSources(
        tuple(Path(folder) for folder in command_line.several(cfg.photo_folders)), urls
    )
    segmenter = Segmenter(read_settings(cfg), choose_device(cfg.device))
    if segmenter.predictor.in_channels != 3:
        raise InputError(
            f"checkpoint={cfg.checkpoint} takes photos with masks, which requests do not have; "
            "give one for photos alone"
        )
    workers = require_int("workers", cfg.workers)
    names = require_text("model_id", cfg.model_id), require_text("class_name", cfg.class_name)
    service = PredictionService(segmenter, sources, workers)
    return make_service(service, limits, *names, cfg.token, is_local)


def read_settings(cfg: DictConfig) -> PredictionSettings:
    """Return how photos are predicted.

    Raises:
        InputError: a value is out of range.
    """
    return PredictionSettings(
        checkpoints=tuple(command_line.several(cfg.checkpoint)),
        tta=cfg.tta,
        size=None if cfg.size is None else require_size("size", cfg.size),
        look=cfg.look,
        refine=cfg.refine,
        masks=read_mask_settings(cfg),
        runtime=cfg.runtime,
        batch_size=cfg.batch_size,
        max_pixels=cfg.max_pixels,
    )


def choose_device(device: str) -> str:
    """Return the device of torch that an option names; `auto` is a GPU if there is one.

    Raises:
        InputError: there is no such device.
    """
    if device == "auto":
        return "cuda" if has_gpu() else "cpu"
    if device == "cpu":
        return device
    import torch  # takes seconds, which the processor alone need not wait for

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={device} is not there; give auto, cpu or cuda:0") from error
    return device


def check_token(token: str | None, is_local: bool, host: str) -> None:
    """Check that not everybody on a network can use the service.

    Raises:
        InputError: the host is not of this machine alone and there is no token, or it is short.
    """
    if token is None and not is_local:
        raise InputError(
            f"host={host} can be reached from other machines: set FLUKESEG_TOKEN in the "
            "environment to a secret that requests must carry"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise InputError(f"FLUKESEG_TOKEN must have at least {SHORTEST_TOKEN} characters")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="serve")
def main(cfg: DictConfig) -> None:
    """Serve from the command line."""
    with command_line.report_user_errors():
        serve(cfg)


if __name__ == "__main__":
    command_line.run(main)
