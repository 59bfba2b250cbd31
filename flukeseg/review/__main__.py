"""Masks in the browser: `python -m flukeseg.review source=PHOTOS output=MASKS`."""

from __future__ import annotations

import logging
import threading
import webbrowser
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from flukeseg import command_line
from flukeseg.errors import InputError, require_bool, require_int
from flukeseg.installation import CONF, how_to_install

log = logging.getLogger(__name__)


def review(cfg: DictConfig) -> None:
    """Serve the page of a prediction folder until it is stopped; predict first what has no mask.

    Raises:
        InputError: the folder cannot be used, the port is taken, or the server is not installed.
    """
    try:
        from flukeseg.review.server import make_app
        from flukeseg.serving import http_server
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: {how_to_install('review')}") from error
    from flukeseg.images.photo_search import STATE
    from flukeseg.prediction.inputs import find_inputs
    from flukeseg.review.session import ReviewSession

    output, opens = Path(cfg.output), require_bool("open_browser", cfg.open_browser)
    if cfg.source is None and not (output / STATE).is_dir():
        raise InputError(f"output={output} holds no masks yet; give source=PHOTOS")
    if cfg.source is not None:
        find_inputs(cfg.source, leave_out=output)
    with http_server.listen("127.0.0.1", require_int("port", cfg.port, 0, 65535)) as connection:
        address = http_server.address_of(connection)
        session = ReviewSession(
            output,
            cfg.checkpoint,
            OmegaConf.to_container(cfg.train_options),
            OmegaConf.to_container(cfg.predict_options),
        )
        if cfg.source is not None:
            session.predict(
                Path(cfg.source).absolute() if Path(cfg.source).exists() else cfg.source
            )
        # while the browser starts
        threading.Thread(target=session.queue.rows, daemon=True).start()
        log.info("the masks are at %s (Ctrl-C ends)", address)
        if opens:
            webbrowser.open(address)
        try:
            http_server.run(make_app(session), connection)
        finally:
            session.close()
            log.info("ended; all that was saved is kept")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="review")
def main(cfg: DictConfig) -> None:
    """Review from the command line."""
    with command_line.report_user_errors():
        review(cfg)


if __name__ == "__main__":
    command_line.run(main)
