"""Memory of a whole prediction of one photo of 100 megapixels, loading processes included.

    pytest tests/test_memory.py -m slow -s

prints the peak of the proportional set size of all processes, in MB, every 0.1 s. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from conftest import write_rgb

from flukeseg.rendering import render

ALL = "[probability,uncertainty,overlay,cutout,white,crop,rgbm,edge,aligned,coco,gallery]"
MOST = {("none", 0): 1300, ("mask", 0): 1800, ("mask", 2): 1900, ("all", 0): 3400}
"""MB; the first is of a photo of 1 megapixel."""


def processes(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in processes(int(child)))]


def memory(pid: int) -> float:
    """Return the MB of a process and its descendants; pages that they share count once."""
    total = 0
    for one in processes(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


@pytest.mark.slow
@pytest.mark.parametrize(("products", "workers"), MOST)
def test_a_photo_of_100_megapixels(tmp_path, products, workers):
    image = render((5, 5), (800, 1200)).image
    if products != "none":
        image = cv2.resize(image, (12_240, 8_160), interpolation=cv2.INTER_LINEAR)
    write_rgb(tmp_path / "photos/0.jpg", image)
    del image
    wanted = ALL if products == "all" else "[mask]"
    command = [sys.executable, "-m", "flukeseg.predict", "source=photos", "output=out",
               f"products={wanted}", f"num_workers={workers}"]  # fmt: skip
    highest = 0.0
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            highest = max(highest, memory(process.pid))
            time.sleep(0.1)
    assert process.returncode == 0
    print(f"\nproducts={products} num_workers={workers}: {highest:.0f} MB")
    assert highest < MOST[products, workers]
