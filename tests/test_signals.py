"""Signals to a job, at moments at which Python would ignore them."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

import pytest
from conftest import close_logs
from hydra.core.global_hydra import GlobalHydra

from flukeseg import command_line
from flukeseg.review import __main__ as review
from flukeseg.signals import stop_on_signals


class Deleted:
    """Something during whose deletion a signal arrives."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def delete_and_wait() -> None:
    with stop_on_signals():
        Deleted()
        time.sleep(10)


def test_a_signal_while_an_object_is_deleted_stops_the_job(capsys):
    hook = sys.unraisablehook
    with pytest.raises(SystemExit) as ended:
        delete_and_wait()
    assert ended.value.code == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"
    assert sys.unraisablehook == hook


def test_a_job_that_ends_before_is_done():
    with stop_on_signals():
        Deleted()
    time.sleep(0.1)


class Loader:
    """Something whose loading process was killed when it had nothing left to do."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence

    def __del__(self):
        raise RuntimeError(self.sentence)


def test_a_loading_process_that_is_missed_by_nobody(capsys, monkeypatch):
    with stop_on_signals():
        Loader("DataLoader worker (pid 7) is killed by signal: Killed. ")
    assert capsys.readouterr().err == ""
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: shown.append(str(ignored.exc_value)))
    with stop_on_signals():
        Loader("something else")
    assert shown == ["something else"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is inherited")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loading_process_that_has_just_begun_says_nothing(capfd, number):
    with stop_on_signals():
        context = multiprocessing.get_context("fork")
        child = context.Process(target=time.sleep, args=(0.5,))
        child.start()
        os.kill(child.pid, number)
        child.join()
    assert child.exitcode == (0 if number == signal.SIGINT else -signal.SIGTERM)
    assert capfd.readouterr().err == ""


ENDS = """
import atexit, os, signal, time
from flukeseg.signals import stop_on_signals

def end_a_process():
    if not os.fork():
        os._exit(1)
    time.sleep(0.3)

def handler(number, frame):
    raise RuntimeError("DataLoader worker is killed")

atexit.register(end_a_process)
with stop_on_signals():
    signal.signal(signal.SIGCHLD, handler)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is signalled")
def test_a_loading_process_that_ends_while_the_job_exits_is_minded_by_nobody():
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_review_says_that_what_was_saved_is_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "out/.flukeseg").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def end_once_it_answers() -> None:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(address, timeout=30).close()
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.chdir(tmp_path)
    options = ["output=out", f"port={port}", "open_browser=false"]
    monkeypatch.setattr(sys, "argv", ["flukeseg.review", *options])
    GlobalHydra.instance().clear()
    threading.Thread(target=end_once_it_answers, daemon=True).start()
    try:
        with pytest.raises(SystemExit) as ended:
            command_line.run(review.main)
    finally:
        close_logs()
    assert ended.value.code == 128 + signal.SIGINT
    assert "ended; all that was saved is kept" in capsys.readouterr().out
