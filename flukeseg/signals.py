"""Ctrl-C and SIGTERM end every job alike."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

_running: list[None] = []
"""An entry while a job runs in this process, or ran where it was forked."""


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
        elif str(ignored.exc_value).startswith("DataLoader worker"):
            log.debug("a loading process ended after its work was done: %s", ignored.exc_value)
        else:
            show_ignored(ignored)

    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield
        return
    _let_forks_end()
    _running.append(None)
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
        _running.pop()
        sys.unraisablehook = show_ignored
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        _mind_no_loading_process_at_exit()


@functools.cache
def _mind_no_loading_process_at_exit() -> None:
    # torch raises wherever Python is when one ends, also in what others do at exit; what is
    # registered last is done first
    if hasattr(signal, "SIGCHLD"):
        atexit.register(signal.signal, signal.SIGCHLD, signal.SIG_DFL)


@functools.cache
def _let_forks_end() -> None:
    """Leave Ctrl-C in a loading process to the job, which ends it by SIGTERM.

    Before torch has set handlers of its own there, one of ours would show where it was; and Python
    forgets a signal that arrives while it forks, so that it waits until the handlers are set.
    """
    masks = threading.local()

    def hold() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def end_plainly() -> None:
        if _running:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        go_on()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=end_plainly)
