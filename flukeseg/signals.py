"""Ctrl-C and SIGTERM end every job alike."""

from __future__ import annotations

import os
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
    again: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    def send_again(ignored: sys.UnraisableHookArgs) -> None:
        # Python ignores what is raised while it deletes an object, such as a loader that is done
        if received and isinstance(ignored.exc_value, KeyboardInterrupt):
            again.append(threading.Timer(0.05, os.kill, (os.getpid(), received[-1])))
            again[-1].start()
        else:
            show_ignored(ignored)

    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield
        return
    show_ignored, sys.unraisablehook = sys.unraisablehook, send_again
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:  # also what a loading process killed with the job leads to
        if not received:
            raise
        print(f"stopped by {signal.Signals(received[0]).name}", file=sys.stderr)
        raise SystemExit(128 + received[0]) from error
    finally:
        sys.unraisablehook = show_ignored
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
