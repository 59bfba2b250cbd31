"""Two rounds of each fault of `tests/faults.py`, dealt to two jobs: resumed runs lose nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

JOBS = ("predict", "merge")
"""The quickest."""
SCRIPT = Path(__file__).parent / "faults.py"


def can_mount(place: Path) -> bool:
    """Tell whether a small disk can be made, to be filled."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="the harness forks and reads /proc")
def test_broken_runs_are_resumed_without_loss(tmp_path):
    faults = ["kill -9", "SIGTERM", "SIGINT", "read-only", "removed input", "killed worker"]
    faults += ["full disk"] if can_mount(tmp_path) else []
    command = [sys.executable, str(SCRIPT), "--deal", "--rounds", "2", "--jobs", *JOBS]
    command += ["--faults", *faults]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    rounds, jobs = Counter(), set()
    for line in done.stdout.splitlines()[1:]:
        job, fault, count, _, *bad = line[:10].strip(), line[11:25].strip(), *line[25:].split()
        rounds[fault] += int(count)
        jobs.add(job)
        assert bad == ["0", "0", "0"]
    assert rounds == dict.fromkeys(faults, 2)
    assert jobs == {*JOBS}
