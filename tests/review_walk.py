"""The walk from a prediction to a better network, by the requests of the review page.

    python tests/review_walk.py --photos DIR --pairs DIR DIR --output DIR

Photos without masks and pairs (`images/`, `masks/`), whose masks stand in for what a person would
draw, go into one folder. The five pairs whose predicted masks are worst are corrected, "Learn from
these" is started with its own settings or those of --train, and the minutes of each step are
printed, and the Dice with the true masks before and after: of the pairs that nobody corrected, and
of the corrected ones by the new network.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from flukeseg.images.reading import find_photos, read_mask
from flukeseg.masks.metrics import dice
from flukeseg.prediction.kept_masks import mask_name
from flukeseg.prediction.segmenter import Segmenter
from flukeseg.review.server import make_app
from flukeseg.review.session import ReviewSession

CORRECTED = 5


def collect(photos: Path, pairs: list[Path], count: int, output: Path) -> dict[str, Path]:
    """Copy photos into one folder; return the true masks by the photos' names."""
    truths = {}
    for folder in pairs:
        for photo in find_photos(folder / "images"):
            truths[photo.stem] = folder / "masks" / f"{photo.stem}.png"
            shutil.copy(photo, output / photo.name)
    unknown = [p for p in find_photos(photos) if p.stem not in truths]
    for photo in unknown[: count - len(truths)]:
        shutil.copy(photo, output / photo.name)
    return truths


def wait(session: ReviewSession) -> dict:
    """Wait until the work is done; return its description."""
    while session.work.is_running:
        time.sleep(0.5)
    status = session.work.status()
    if status["problem"]:
        print(session.work.log.read_text(encoding="utf-8")[-2000:])
    return status


def scores(output: Path, truths: dict[str, Path]) -> dict[str, float]:
    """Return the Dice of each mask in a prediction folder."""
    return {
        name: dice(read_mask(output / mask_name(name)), read_mask(truth))
        for name, truth in truths.items()
    }


def mean(found: dict[str, float], names: list[str]) -> float:
    return round(float(np.mean([found[name] for name in names])), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--train", nargs="*", default=[], help="options of flukeseg.train")
    arguments = parser.parse_args()
    source, output = arguments.output / "photos", arguments.output / "masks"
    source.mkdir(parents=True)
    truths = collect(arguments.photos, arguments.pairs, arguments.count, source)
    session = ReviewSession(output, train_options=arguments.train)
    began = time.monotonic()
    session.predict(source)
    wait(session)
    minutes = {"predicting": (time.monotonic() - began) / 60}

    before = scores(output, truths)
    worst = sorted(before, key=before.__getitem__)[:CORRECTED]
    others = [name for name in truths if name not in worst]
    with TestClient(make_app(session), base_url="http://127.0.0.1") as client:
        photos = {photo["name"]: photo for photo in client.get("/api/queue").json()["photos"]}
        for name in worst:
            address = f"/api/photos/{photos[name]['id']}"
            etag = client.get(f"{address}/mask").headers["ETag"]
            client.put(
                address,
                params={"verdict": "right", "who": "walk"},
                headers={"If-Match": etag},
                content=(read_mask(truths[name]) * np.uint8(255)).tobytes(),
            ).raise_for_status()
        client.post("/api/learning").raise_for_status()
    status = wait(session)
    minutes |= {step["title"]: (step["seconds"] or 0) / 60 for step in status["steps"]}
    after = scores(output, truths)
    kept = all(after[name] == 1 for name in worst)
    learnt = Segmenter.from_checkpoint(session.learning.checkpoint("rendered"))
    again = {
        name: dice(learnt(next(source.glob(f"{name}.*"))).mask > 0, read_mask(truths[name]))
        for name in worst
    }
    found = {
        "photos": len(list(source.iterdir())),
        "minutes": {name: round(value, 1) for name, value in minutes.items()},
        "said": status["result"] or status["problem"],
        "not learnt": {"photos": len(others), "before": mean(before, others),
                       "after": mean(after, others)},
        "corrected": {"photos": worst, "before": mean(before, worst),
                      "by the new network": mean(again, worst)},
        "corrections are kept": kept,
        "each, before and after": {
            name: [round(before[name], 4), round((again | after)[name], 4)] for name in others
        } | {name: [round(before[name], 4), round(again[name], 4)] for name in worst},
    }  # fmt: skip
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
