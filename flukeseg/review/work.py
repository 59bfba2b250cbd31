"""Programs that the review page starts: one after the other, watched, and stopped with it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flukeseg.errors import InputError


class Step(NamedTuple):
    """A part of some work: `act` is a function, or the arguments of `python -m`."""

    title: str
    act: Callable[[], None] | Sequence[str]


class Work:
    """Steps that run in the background, and what they are at.

    Args:
        kind: prediction or learning.
        steps: done in this order; the first that fails ends it.
        log: file for what the programs say.
        result: says in a sentence what came of it.
    """

    def __init__(
        self, kind: str, steps: Sequence[Step], log: Path, result: Callable[[], str]
    ) -> None:
        self.kind, self.steps, self.log, self.result = kind, steps, log, result
        self.taken: list[float | None] = [None] * len(steps)
        self.current = 0
        self.problem = self.outcome = ""
        self.is_stopped = False
        self._process: subprocess.Popen | None = None
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin with the first step."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self._thread.start()

    def stop(self) -> None:
        """End the program that runs, as Ctrl-C does, and start no further one."""
        self.is_stopped = True
        if self._process and self._process.poll() is None:
            self._process.terminate()
        self._thread.join(timeout=20)

    def status(self) -> dict[str, Any]:
        """Describe what it is at, for the page."""
        states = [
            "done" if taken is not None else "now" if i == self.current and self.is_running else ""
            for i, taken in enumerate(self.taken)
        ]
        return {
            "kind": self.kind,
            "running": self.is_running,
            "step": self.steps[min(self.current, len(self.steps) - 1)].title,
            "seconds": round(time.monotonic() - self._started, 1),
            "line": self._last_line(),
            "problem": self.problem,
            "result": self.outcome,
            "steps": [
                {"title": step.title, "state": state, "seconds": taken}
                for step, state, taken in zip(self.steps, states, self.taken, strict=True)
            ],
        }

    def _run(self) -> None:
        for number, step in enumerate(self.steps):
            self.current = number
            self._started = time.monotonic()
            try:
                if callable(step.act):
                    step.act()
                else:
                    self._run_program(step.act)
            except (InputError, OSError) as error:
                self.problem = f"{step.title}: {error}"
                return
            self.taken[number] = round(time.monotonic() - self._started, 1)
        self.outcome = self.result()

    def _run_program(self, arguments: Sequence[str]) -> None:
        if self.is_stopped:
            raise InputError("stopped")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
            code = self._process.wait()
        if code:
            raise InputError(self._last_line().removeprefix("error: ") or f"ended with {code}")

    def _last_line(self) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 2000))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
        return lines[-1][-160:] if lines else ""
