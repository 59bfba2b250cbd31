"""Faults at random moments of a job; afterwards it is resumed and compared with an unbroken run.

    python tests/faults.py predict --rounds 20

prints a table of faults and rounds: `lost` counts photos that were done before the fault and were
done again, `hung` runs that did not end, `wrong` runs whose resumed result is not the unbroken one
byte for byte. Exits with 1 where one of these is not 0. Runs are forked from this process, as
importing takes longer than they do; Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

cv2.setNumThreads(0)  # threads do not survive a fork
torch.set_num_threads(1)

from conftest import write_rgb  # noqa: E402
from test_predict import files  # noqa: E402

from flukeseg import command_line, predict  # noqa: E402
from flukeseg.rendering import render  # noqa: E402

PHOTOS = 40
LONGEST = 180
"""Seconds after which a run hangs."""

FAULTS = ("kill -9", "SIGTERM", "SIGINT", "killed worker", "removed input")
CODES = {"kill -9": -9, "SIGTERM": 143, "SIGINT": 130, "killed worker": 1, "removed input": 0}
"""Exit codes after a fault; 0 is accepted too, as the run may have ended before it."""

OPTIONS = ("checkpoint=rendered", "source=photos", "products=[overlay,coco]", "size=[32,64]",
           "batch_size=2", "runtime=torch", "trainer.accelerator=cpu",
           "trainer.precision=32")  # fmt: skip


def start(output: str, workers: int) -> int:
    """Start a prediction in a process group of its own and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["flukeseg.predict", *OPTIONS, f"output={output}", f"num_workers={workers}"]
        command_line.run(predict.main)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os._exit(code)


def wait(pid: int) -> int | None:
    """Return a process's exit code, negative for a signal; None where it had to be ended."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def wait_for_lines(output: str, pid: int, count: int) -> bool:
    """Wait until so many photos are done; False where the run ended before."""
    lines = Path(output, ".flukeseg/journal-all.jsonl")
    while not lines.exists() or lines.read_bytes().count(b"\n") < count:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.001)
    return True


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def do(fault: str, pid: int, rng: random.Random) -> None:
    """Let a fault happen to a running prediction."""
    if fault == "removed input":
        photo = rng.choice(sorted(Path("photos").iterdir()))
        photo.rename(f"removed-{photo.name}")
    elif fault == "killed worker":
        if workers := children(pid):
            os.kill(rng.choice(workers), signal.SIGKILL)
    else:
        number = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
        os.kill(pid, number[fault])


def one_round(fault: str, output: str, rng: random.Random, unbroken: dict[str, bytes]) -> Counter:
    """Let one fault happen, resume, and count what went wrong."""
    found = Counter(rounds=1)
    pid = start(output, workers=2 if fault == "killed worker" else rng.choice([0, 1]))
    if wait_for_lines(output, pid, rng.randrange(0, PHOTOS - 4)):
        time.sleep(rng.random() * 0.05)
        do(fault, pid, rng)
    code = wait(pid)
    done = {row["key"] for row in read_journal(output) if row["status"] in ("ok", "no_fluke")}
    for photo in Path().glob("removed-*"):
        photo.rename(f"photos/{photo.name.removeprefix('removed-')}")
    found["hung"] += code is None
    found["wrong"] += code not in (None, 0, CODES[fault])
    resumed = wait(start(output, workers=0))
    found["hung"] += resumed is None
    found["wrong"] += resumed != 0 or files(output) != unbroken
    lines = Counter(row["key"] for row in read_journal(output))
    found["lost"] += sum(lines[key] > 1 for key in done)
    return found


def read_journal(output: str) -> list[dict]:
    """Lines of the journal but for one that is not ended."""
    path = Path(output, ".flukeseg/journal-all.jsonl")
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def predict_faults(folder: Path, rounds: int, seed: int, faults: Sequence[str]) -> dict:
    """Run the rounds of each fault in a folder; return the counts by fault."""
    os.chdir(folder)
    pictures = [render((seed, i), (40, 80)).image for i in range(4)]
    for i in range(PHOTOS):
        write_rgb(Path(f"photos/{i:02d}.png"), pictures[i % 4][:, i:])
    if wait(start("unbroken", workers=0)) != 0:
        raise SystemExit(Path("unbroken.log").read_text())
    unbroken = files("unbroken")
    rng, counts = random.Random(seed), {}
    for fault in faults:
        counts[fault] = sum(
            (
                one_round(fault, f"{fault.replace(' ', '')}-{i}", rng, unbroken)
                for i in range(rounds)
            ),
            Counter(),
        )
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("job", choices=["predict"])
    parser.add_argument("--rounds", type=int, default=2, help="of each fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = predict_faults(Path(folder), arguments.rounds, arguments.seed, arguments.faults)
        os.chdir("/")
    columns = ("rounds", "lost", "hung", "wrong")
    print(f"{'fault':16}" + "".join(f"{column:>8}" for column in columns))
    for fault, found in counts.items():
        print(f"{fault:16}" + "".join(f"{found[column]:8d}" for column in columns))
    sys.exit(any(found[bad] for found in counts.values() for bad in columns[1:]))


if __name__ == "__main__":
    main()
