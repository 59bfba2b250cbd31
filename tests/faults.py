"""Faults at random moments of a job; afterwards it is resumed and compared with an unbroken run.

    python tests/faults.py                           # two rounds of each fault and job
    python tests/faults.py --rounds 20 --jobs merge
    python tests/faults.py --deal                    # two rounds of each fault, dealt to the jobs

prints a table of jobs, faults and rounds. `struck`: rounds in which the job still ran when the
fault came. `lost`: photos, labels or epochs that were saved before the fault
and had to be done again. `hung`: runs that did not end. `wrong`: runs that ended in a traceback or
with another exit code than that of the fault, and resumed runs whose files are not those of the
unbroken run, byte for byte but for clocks. Exits with 1 where one of the three is not 0.

Runs are forked from this process, as importing takes longer than they do. Linux only; a full disk
(a tmpfs) needs root.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import cv2
import torch

cv2.setNumThreads(0)  # threads do not survive a fork
torch.set_num_threads(1)

from fault_jobs import OUT, Job, make_jobs  # noqa: E402

from flukeseg import command_line  # noqa: E402

LONGEST = 120
"""Seconds after which a run hangs."""

CODES = {"kill -9": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, "full disk": 1,
         "read-only": 1, "removed input": 1, "killed worker": 1}  # fmt: skip
"""Exit codes after a fault; 0 is accepted too, as the run may have got round it."""

SHOWN = ("rounds", "struck", "lost", "hung", "wrong")


def start(module: ModuleType, options: list[str], log: str) -> int:
    """Start a job in a process group of its own and return its id."""
    Path(log).unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        while is_running(pid) and not Path(log).exists():
            time.sleep(0.001)
        return pid
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):  # until the job's own are in place
            signal.signal(number, lambda number, _: os._exit(128 + number))
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        drop_rights()
        sys.argv = [module.__name__, *options]
        command_line.run(module.main)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def drop_rights() -> None:
    """Let permissions bind root too, in this process."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32
        library.capget(header, sets)
        for i in (0, 1, 2):
            sets[i] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        library.capset(header, sets)


def is_running(pid: int) -> bool:
    return not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def wait(pid: int, seconds: float = LONGEST) -> int | None:
    """Return a process's exit code, negative for a signal; None where it had to be ended."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextmanager
def place_for(fault: str) -> Iterator[None]:
    """Make the folder of the output, as a fault needs it."""
    OUT.mkdir()
    if fault == "full disk":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", OUT], check=True)
    try:
        yield
    finally:
        if fault == "full disk":
            subprocess.run(["umount", "--lazy", OUT], check=True)


def send(pid: int, number: int, rng: random.Random) -> Callable[[], object]:
    """Send a signal, to the process alone or as a terminal does to its group."""
    (os.killpg if number == signal.SIGINT and rng.random() < 0.5 else os.kill)(pid, number)
    return tuple


def fill_disk() -> Callable[[], object]:
    filler = OUT / ".filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler.unlink


def forbid_writing() -> Callable[[], object]:
    modes = {path: path.stat().st_mode for path in [OUT, *OUT.rglob("*")] if path.exists()}
    for path in modes:
        with suppress(FileNotFoundError):
            path.chmod(modes[path] & ~0o222)

    def undo() -> None:
        for path, mode in modes.items():
            with suppress(FileNotFoundError):
                path.chmod(mode)

    return undo


def remove_photo(photos: Path) -> Callable[[], object]:
    """Remove the first photo, always the same one, as a run without it is compared too."""
    photo = min(photos.iterdir())
    moved = photos.with_name("moved")
    photo.rename(moved)
    return lambda: moved.rename(photo)


def cause(fault: str, job: Job, pid: int, rng: random.Random) -> Callable[[], object]:
    """Let a fault happen to a running job; return what undoes it."""
    if fault == "full disk":
        return fill_disk()
    if fault == "read-only":
        return forbid_writing()
    if fault == "removed input":
        return remove_photo(job.photos)
    if fault == "killed worker":
        while not (workers := children(pid)) and is_running(pid):
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        with suppress(ProcessLookupError, IndexError):
            os.kill(rng.choice(workers), signal.SIGKILL)
        return tuple
    number = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
    return send(pid, number[fault], rng)


def complaint(log: str, code: int) -> str:
    """Return what is wrong with how a run ended, if anything."""
    text = Path(log).read_text(errors="replace")
    errors = re.findall(r"(?:^|\r|\]|  )error: ", text, re.MULTILINE)
    if "Traceback" in text:
        return f"traceback, exit code {code}"
    return f"exit code 1 with {len(errors)} sentences" if code == 1 and len(errors) != 1 else ""


def one_round(
    job: Job, fault: str, rng: random.Random, unbroken: list[dict], seconds: float
) -> Counter[str]:
    """Let one fault happen, resume, and count what went wrong; in a folder of its own."""
    found = Counter(rounds=1)

    def report(kind: str, what: str) -> None:
        found[kind] += 1
        print(f"{kind}: {what} in {Path.cwd()}", flush=True)

    with place_for(fault):
        job.prepare()
        workers = 2 if fault == "killed worker" else rng.choice([0, 0, 1])
        pid = start(job.module, job.command(workers), "broken.log")
        until = time.monotonic() + rng.random() * seconds
        while is_running(pid) and time.monotonic() < until:
            time.sleep(0.002)
        before = job.saved()
        found["struck"] += is_running(pid)
        undo = cause(fault, job, pid, rng)
        code = wait(pid)
        undo()
        if code is None:
            report("hung", "broken run")
        elif code not in (0, CODES[fault]):
            report("wrong", f"exit code {code}")
        elif what := complaint("broken.log", code):
            report("wrong", what)
        before |= job.saved()
        resumed = wait(start(job.module, job.command(0, *job.resumed()), "resumed.log"))
        if resumed is None:
            report("hung", "resumed run")
        elif resumed:
            report("wrong", f"resumed: exit code {resumed}")
        elif (results := job.results()) not in unbroken:
            changed = [
                k for k in {**results, **unbroken[0]} if results.get(k) != unbroken[0].get(k)
            ]
            report("wrong", f"other files: {', '.join(sorted(changed))}")
        after = job.saved()
        for name in before:
            if after.get(name) != before[name]:
                report("lost", name)
    return found


def kill_one_shard(
    job: Job, rng: random.Random, unbroken: list[dict], seconds: float
) -> Counter[str]:
    """Let three processes predict a shard each, kill one of them, run it again, and merge."""
    found = Counter(rounds=1)
    options = [[*job.command(0)[:-2], f"shard={number}/3", "num_workers=0"] for number in (1, 2, 3)]
    shards = [start(job.module, one, f"shard-{i}.log") for i, one in enumerate(options)]
    time.sleep(rng.random() * seconds)
    killed = rng.randrange(3)
    found["struck"] += is_running(shards[killed])
    os.kill(shards[killed], signal.SIGKILL)
    codes = [wait(pid) for pid in shards]
    before = job.saved()
    early = wait(start(job.module, job.command(0), "early.log"))
    again = wait(start(job.module, options[killed], "again.log"))
    merged = wait(start(job.module, job.command(0), "merged.log"))
    others = {code for i, code in enumerate(codes) if i != killed}
    found["hung"] += None in (*codes, early, again, merged)
    unmerged = early not in (0, 1) or complaint("early.log", early)
    wrong = others != {0} or unmerged or again or merged or job.results() not in unbroken
    found["wrong"] += bool(wrong)
    found["lost"] += sum(job.saved().get(name) != value for name, value in before.items())
    if wrong:
        print(f"wrong: {codes} {early} {unmerged} {again} {merged} in {Path.cwd()}", flush=True)
    return found


@contextmanager
def working_folder(path: Path) -> Iterator[None]:
    path.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def run_unbroken(
    job: Job, root: Path, name: str, undo: Callable[[], object] | None = None
) -> tuple[dict, float]:
    """Return what a job comes to, and its seconds; with `undo` it is run once more after that."""
    with working_folder(root / name):
        OUT.mkdir()
        job.prepare()
        started = time.monotonic()
        if wait(start(job.module, job.command(0), "log")) != 0:
            raise SystemExit(Path("log").read_text())
        seconds = time.monotonic() - started
        if undo:
            undo()
            wait(start(job.module, job.command(0), "log"))
        return job.results(), seconds


def deal(jobs: list[str], faults: list[str], rounds: int, seed: int) -> dict[str, Counter[str]]:
    """Deal the rounds of each fault to the jobs in turn, at random; return each job's by fault."""
    turns = [fault for fault in faults for _ in range(rounds)]
    random.Random(seed).shuffle(turns)
    return {job: Counter(turns[i :: len(jobs)]) for i, job in enumerate(jobs)}


def break_job(name: str, job: Job, root: Path, faults: Mapping[str, int], seed: int) -> dict:
    """Run the rounds of each fault; return their counts."""
    if name == "merge":
        for shard in ("1/3", "2/3", "3/3"):
            options = [*job.command(0)[:-2], f"shard={shard}", "num_workers=0"]
            if wait(start(job.module, options, f"{root}/shard.log")):
                raise SystemExit(Path(f"{root}/shard.log").read_text())
        OUT.rename(root / "shards")
    unbroken, seconds = run_unbroken(job, root, f"{name}/unbroken")
    accepted = [unbroken]
    # its labels are final once the teacher has looked at every photo
    if name == "selftrain" and "removed input" in faults:
        undo = remove_photo(job.photos)
        accepted.append(run_unbroken(job, root, f"{name}/without", undo)[0])
    counts = {}
    for fault, rounds in faults.items():
        counts[fault] = Counter()
        for number in range(rounds):
            rng = random.Random(f"{seed} {name} {fault} {number}")
            with working_folder(root / name / f"{fault.replace(' ', '-')}-{number}"):
                if (name, fault) == ("merge", "killed worker"):
                    counts[fault] += kill_one_shard(job, rng, accepted, seconds)
                else:
                    counts[fault] += one_round(job, fault, rng, accepted, seconds)
        print(
            f"{name:10} {fault:14}" + "".join(f"{counts[fault][c]:8d}" for c in SHOWN), flush=True
        )
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = ["predict", "train", "merge", "selftrain"]  # the slowest last: it is dealt least
    parser.add_argument("--jobs", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=2, help="of each fault")
    parser.add_argument("--deal", action="store_true", help="in all jobs together, not in each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", nargs="+", choices=CODES, default=list(CODES))
    parser.add_argument("--keep", type=Path, help="folder for the runs, which is kept")
    arguments = parser.parse_args()
    counts = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.keep or Path(temporary)).absolute()
        root.mkdir(parents=True, exist_ok=True)
        jobs = make_jobs(root / "input")
        for job in {job.module.__name__ for job in jobs.values()}:
            command_line.required_options(job.rpartition(".")[2])  # reads Hydra's plug-ins, once
        os.chdir(root)
        print(f"{'job':10} {'fault':14}" + "".join(f"{column:>8}" for column in SHOWN))
        chosen, faults, rounds = arguments.jobs, arguments.faults, arguments.rounds
        shares: dict[str, Mapping[str, int]] = dict.fromkeys(chosen, dict.fromkeys(faults, rounds))
        if arguments.deal:
            shares = deal(chosen, faults, rounds, arguments.seed)
        for name, share in shares.items():
            found = break_job(name, jobs[name], root, share, arguments.seed)
            counts += sum(found.values(), Counter())
        os.chdir("/")
    sys.exit(any(counts[bad] for bad in SHOWN[2:]))


if __name__ == "__main__":
    main()
