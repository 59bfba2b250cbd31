"""A prediction folder of five photos, and the review server on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from conftest import predict_with, write_rgb
from PIL import Image

from flukeseg.rendering import render
from flukeseg.review.server import make_app
from flukeseg.review.session import ReviewSession

SIZES = ((64, 128), (90, 60), (33, 150), (64, 128), (120, 200))


def write_photos(folder: Path) -> None:
    """Five photos of different sizes; one is a JPEG that lies on its side, as EXIF says."""
    for i, size in enumerate(SIZES):
        photo = render((11, i), size).image
        if i == 1:
            exif = Image.Exif()
            exif[274] = 6  # turn right by 90 degrees to see it upright
            path = folder / f"deep/{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rot90(photo)).save(path, exif=exif, quality=95)
        else:
            write_rgb(folder / f"{i}.png", photo)


def predict_photos(checkpoint: Path, folder: Path) -> Path:
    """Write five photos and their masks; return the prediction folder."""
    write_photos(folder / "photos")
    out = folder / "out"
    predict_with(f"checkpoint={checkpoint}", f"source={folder / 'photos'}", f"output={out}")
    return out


@contextmanager
def serving(session: ReviewSession) -> Iterator[str]:
    """Serve a session on a free port of this machine; gives the address."""
    server = uvicorn.Server(uvicorn.Config(make_app(session), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()
