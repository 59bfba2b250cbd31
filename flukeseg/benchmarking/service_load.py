"""The service under load: requests a second, how long they take, and the server's memory."""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from flukeseg.errors import InputError

SAMPLES = 20
"""Of the server's memory, evenly over the time."""


def load_service(
    photos: Sequence[str], options: Sequence[str], seconds: float, clients: int
) -> dict[str, float]:
    """Send photos to `flukeseg.serve`, started for that, from threads of this process.

    Args:
        photos: files, sent by their path again and again.
        options: of the service.
        seconds: of load, after a warm-up of a request for each photo.
        clients: requests at a time.

    Returns:
        `photos a second`; `median, s` and `95 %, s` of a request; `refused`, the requests that were
        not answered with 200; and on Linux the server's memory, `MB`, after the warm-up, over the
        second quarter of the time and over the last.

    Raises:
        InputError: the service does not start.
    """
    folders = sorted({str(Path(photo).resolve().parent) for photo in photos})
    command = [f"photo_folders=[{','.join(map(repr, folders))}]", "port=0", *options]
    with _running(command) as (server, address):
        client = _Client(address)
        for photo in photos:
            client.ask(photo)
        memory = [_megabytes(server.pid)]
        found = _Found()
        ends = time.monotonic() + seconds
        queue = itertools.cycle(photos)
        threads = [
            threading.Thread(target=_send, args=(_Client(address), queue, ends, found))
            for _ in range(clients)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for _ in range(SAMPLES):
            time.sleep(seconds / SAMPLES)
            memory.append(_megabytes(server.pid))
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    quarter = SAMPLES // 4
    return {
        "photos a second": found.statuses[200] / took,
        "median, s": float(np.median(found.seconds)),
        "95 %, s": float(np.quantile(found.seconds, 0.95)),
        "refused": found.statuses.total() - found.statuses[200],
        "MB, warm": memory[0],
        "MB, second quarter": float(np.mean(memory[quarter + 1 : 2 * quarter + 1])),
        "MB, last quarter": float(np.mean(memory[-quarter:])),
    }


class _Found:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()


class _Client:
    """One connection that stays open."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=120)

    def ask(self, photo: str) -> int:
        wanted = {"model_id": "flukeseg", "image_uri": str(Path(photo).resolve())}
        body = json.dumps(wanted | {"model_params": {"masks": "rle"}})
        self.connection.request("POST", "/predict/", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def _send(client: _Client, photos: Iterator[str], ends: float, found: _Found) -> None:
    while (began := time.monotonic()) < ends:
        with found.lock:
            photo = next(photos)
        status = client.ask(photo)
        with found.lock:
            found.statuses[status] += 1
            found.seconds.append(time.monotonic() - began)


@contextmanager
def _running(options: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "flukeseg.serve", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    stream: Any = server.stdout
    try:
        said = []
        for line in stream:
            said.append(line.strip())
            if " served at " in line:
                break
        else:
            raise InputError(f"{' '.join(command)} ended: {said[-1] if said else ''}")
        yield server, line.split(" served at ")[1].split()[0]
    finally:
        server.terminate()
        stream.close()
        server.wait()


def _megabytes(pid: int) -> float:
    """Return the resident memory of a process; NaN where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * 4096 / 2**20
