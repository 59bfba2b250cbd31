"""Time and memory of merging finished shards, by the number of photos.

`python -m flukeseg.benchmarking.merging --rows 1000 3000 10000` predicts a few rendered photos,
makes prediction folders of so many rows of them, in four shards, and merges each with
`flukeseg.predict shard=merge` in a process of its own. Both are straight lines where each further
row takes the same. `--stages` merges once more under Python's profiler, for the seconds of stages.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from flukeseg.benchmarking.timing import run_program
from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_jpeg
from flukeseg.images.photo_search import STATE
from flukeseg.rendering import render

SHARDS = 4
A_FOLDER = 1000
"""Photos in each folder of photos."""

STAGES = (
    "find_inputs", "find_missing", "refuse_missing", "follow_corrections", "gather",
    "write_fluke_tables", "write_pages",
)  # fmt: skip
"""Functions whose seconds are printed; the last two are part of `gather`."""


class Merging:
    """Folders of many photos that are all predicted already, and what merging them takes.

    Args:
        place: an empty folder for all files.
        checkout: of the revision to measure; its own folder comes first where Python looks.
        options: of `flukeseg.predict`.
    """

    def __init__(self, place: Path, checkout: Path, options: Sequence[str]) -> None:
        self.place, self.checkout, self.options = place, checkout, options
        few = place / "few"
        few.mkdir()
        for number in range(6):
            image = render((0x4E46, number), (96, 192)).image
            (few / f"{number}.jpg").write_bytes(encode_jpeg(image))
        self._predict(few, place / "seed")
        journal = place / "seed" / STATE / "journal-all.jsonl"
        self.lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]

    def measure(self, rows: int, stages: bool) -> dict[str, float]:
        """Return `seconds` and `megabytes` of merging so many rows, and the seconds of stages."""
        photos, output = self.place / "photos", self.place / "output"
        self._fill(rows, photos, output)
        found = self._predict(photos, output, "shard=merge")
        with (output / "predictions.csv").open("rb") as table:
            if (count := sum(1 for _ in table) - 1) != rows:
                raise InputError(f"of {rows} photos {count} are in {table.name}")
        if stages:
            profile = self.place / "profile"
            self._predict(photos, output, "shard=merge", profiler=["-m", "cProfile", "-o", profile])
            timed = pstats.Stats(str(profile)).get_stats_profile().func_profiles
            found |= {stage: timed[stage].cumtime for stage in STAGES if stage in timed}
        shutil.rmtree(photos)
        shutil.rmtree(output)
        return found

    def _predict(
        self, source: Path, output: Path, *more: str, profiler: Sequence[str | Path] = ()
    ) -> dict[str, float]:
        job = [*map(str, profiler), "-m", "flukeseg.predict", f"source={source}"]
        job += [f"output={output}", f"hydra.run.dir={self.place / 'logs'}"]
        return run_program([sys.executable, *job, *self.options, *more], self.checkout)

    def _fill(self, rows: int, photos: Path, output: Path) -> None:
        seed = self.place / "seed"
        (output / STATE).mkdir(parents=True)
        shutil.copyfile(seed / STATE / "settings.json", output / STATE / "settings.json")
        with ExitStack() as stack:
            journals = [
                stack.enter_context((output / STATE / f"journal-{i}-of-{SHARDS}.jsonl").open("w"))
                for i in range(1, SHARDS + 1)
            ]
            for number in range(rows):
                line = self.lines[number % len(self.lines)]
                name = f"{number // A_FOLDER:05d}/whale_{number:08d}"
                files = [file.replace(line["name"], name) for file in line["files"]]
                thumbnails = (f"{STATE}/thumbnails/{one}.jpg" for one in (line["name"], name))
                for old, new in (*zip(line["files"], files, strict=True), tuple(thumbnails)):
                    if (seed / old).exists():  # early revisions keep no thumbnails
                        _link(seed / old, output / new)
                photo = photos / f"{name}.jpg"
                _link(Path(line["key"]), photo)
                made = {"key": str(photo), "path": str(photo), "name": name, "files": files}
                made["mask"] = files[0]
                journals[number % SHARDS].write(json.dumps({**line, **made}) + "\n")


def _link(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:  # the file system has no hard links, or no more of this file
        shutil.copy2(old, new)  # with its time, which the journal knows


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--stages", action="store_true", help="the seconds of each, profiled")
    parser.add_argument("--products", default="coco", help="of all photos together")
    parser.add_argument("--checkout", type=Path, default=".", help="of the revision to measure")
    asked = parser.parse_args()
    last: tuple[int, dict[str, float]] | None = None
    with tempfile.TemporaryDirectory() as place:
        merging = Merging(Path(place), asked.checkout, [f"products=[{asked.products}]"])
        for rows in asked.rows:
            found = merging.measure(rows, asked.stages)
            print(f"{rows:8} rows  " + "  ".join(f"{k} {v:.2f}" for k, v in found.items()))
            if last:
                each = {key: (found[key] - last[1][key]) / (rows - last[0]) for key in found}
                print(f"{'':8} each further row: {each.pop('seconds') * 1e6:.0f} µs", end="")
                if each:
                    cpu, memory = each["cpu"] * 1e6, each["megabytes"] * 2**20
                    print(f", {cpu:.0f} µs of CPU, {memory:.0f} bytes", end="")
                print()
            last = rows, found


if __name__ == "__main__":
    main()
