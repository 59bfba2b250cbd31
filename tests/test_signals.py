"""Signals to a job, at moments at which Python would ignore them."""

import signal
import sys
import time

import pytest

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
