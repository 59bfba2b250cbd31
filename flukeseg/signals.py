"""Ctrl-C and SIGTERM end every job alike."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Stop where the job is at Ctrl-C or SIGTERM, and exit with 130 or 143.

    Both raise KeyboardInterrupt, so that whatever has to clean up does. Lightning alone exits with
    1 after Ctrl-C, and notes a SIGTERM but predicts on to the end.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:  # also what a loading process killed with the job leads to
        if not received:
            raise
        print(f"stopped by {signal.Signals(received[0]).name}", file=sys.stderr)
        raise SystemExit(128 + received[0]) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
