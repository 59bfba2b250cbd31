"""Times of the review page in a real browser, and the memory of its server.

    python tests/review_speed.py FOLDER --steps 300

opens a prediction folder and prints the seconds until the first picture is shown, those from a key
to the next picture (median, 95th percentile, worst), and the memory of server and page before and
after. With --strokes each photo is painted on and saved too, which changes FOLDER. Needs chromium;
Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from test_review_page import CHROMIUM, FLAGS

SHOWN = """name => document.getElementById('name').textContent !== name
  && document.getElementById('about').textContent.includes('×')
  && !document.getElementById('view').classList.contains('waiting')"""


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def heap(page: Page) -> float:
    """Return the page's own memory, in MB."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"] / 1e6


def start_server(folder: str) -> tuple[subprocess.Popen, str, float]:
    """Start the review of a folder; return it, its address, and seconds until it answers."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "flukeseg.review", f"output={folder}", "port=0",
               "open_browser=false"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = ""
    while "http://" not in line:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
    address = line.split("are at ")[1].split()[0]
    while True:
        try:
            urllib.request.urlopen(address).read()
            return server, address, time.perf_counter() - began
        except OSError:
            time.sleep(0.01)


def steps(page: Page, count: int, key: str, paint: bool) -> list[float]:
    """Press a key so many times; return seconds until the next picture is shown."""
    seconds = []
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for _ in range(count):
        name = page.locator("#name").text_content()
        if paint:
            page.mouse.move(x - 60, y)
            page.mouse.down()
            page.mouse.move(x + 60, y + 10)
            page.mouse.up()
        began = time.perf_counter()
        page.keyboard.press(key)
        page.wait_for_function(SHOWN, arg=name, timeout=60_000)
        seconds.append(time.perf_counter() - began)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered), 3),
        "95 %": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "worst": round(ordered[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=10, help="photos that are not timed")
    parser.add_argument("--strokes", action="store_true", help="paint on each photo and save it")
    arguments = parser.parse_args()
    server, address, seconds = start_server(arguments.folder)
    found: dict[str, object] = {"server answers, s": round(seconds, 2)}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_function(SHOWN, arg="", timeout=120_000)
            found["first picture, s"] = round(time.perf_counter() - began, 2)
            steps(page, arguments.warm_up, "ArrowRight", False)
            found["server, MB"], found["page, MB"] = round(memory(server.pid)), round(heap(page), 1)
            key = "Enter" if arguments.strokes else "ArrowRight"
            found["next picture, s"] = summary(steps(page, arguments.steps, key, arguments.strokes))
            found["server after, MB"] = round(memory(server.pid))
            found["page after, MB"] = round(heap(page), 1)
            list_ = page.locator("#list")
            began = time.perf_counter()
            for turn in range(20):
                list_.evaluate("(list, share) => { list.scrollTop = share * list.scrollHeight; }",
                               turn / 20)  # fmt: skip
                page.wait_for_function(
                    "() => [...document.querySelectorAll('#list img')].every((i) => i.complete)"
                )
            found["20 places of the queue, s"] = round(time.perf_counter() - began, 2)
            found["server after scrolling, MB"] = round(memory(server.pid))
            browser.close()
    finally:
        server.terminate()
        server.wait()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
