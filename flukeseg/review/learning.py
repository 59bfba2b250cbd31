"""From corrected masks to a better network, and from that to better masks of the rest."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.errors import InputError
from flukeseg.exchange.corrections import write_corrections
from flukeseg.exchange.predicted_photos import PredictedPhoto
from flukeseg.images.reading import read_mask
from flukeseg.masks.metrics import dice
from flukeseg.prediction.folder import PredictionFolder, read_settings
from flukeseg.prediction.inputs import write_list
from flukeseg.prediction.journal import is_same_photo
from flukeseg.prediction.kept_masks import mask_name
from flukeseg.prediction.table import SUMMARY_PLACES
from flukeseg.review.looked_at import leave_out_copies, read_looked_at
from flukeseg.review.saving import MaskStore
from flukeseg.review.work import Step, Work

FEWEST = 5
"""Masks that a network is fine-tuned on."""

HELD_OUT = 4
"""Of so many corrected masks one is not trained on, to see what training did."""

SETTINGS = (
    "runtime", "size", "tta", "threshold", "cleaning", "review", "crop_margin", "probability_bits",
    "rgbm_size", "aligned_size", "look", "refine", "recognition",
)  # fmt: skip
"""Keys of `settings.json` that are options of a prediction."""


class Learning:
    """Fine-tunes the network on what people corrected, and predicts the other photos again.

    Args:
        folder: the prediction folder.
        train_options: further options of `flukeseg.train`.
    """

    def __init__(self, folder: Path, train_options: list[str]) -> None:
        self.predictions = PredictionFolder(folder)
        self.store = MaskStore(folder)
        self.train_options = train_options

    def learnable(self) -> dict[str, Any]:
        """Say whether there is enough to train on."""
        count = len(self._kept_rows())
        sentence = (
            f"You have looked at {count} masks. A network is trained on them on this computer, "
            "which takes minutes. Then the photos that nobody has looked at get new masks; those "
            "you corrected or approved stay as they are."
        )
        if count < FEWEST:
            sentence = f"Look at {FEWEST} photos or more first; so far it is {count}."
        return {"possible": count >= FEWEST, "sentence": sentence}

    def work(self) -> Work:
        """Plan the steps.

        Raises:
            InputError: there is not enough to train on.
        """
        if not self.learnable()["possible"]:
            raise InputError(self.learnable()["sentence"])
        date = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        place = self.predictions.state.resolve() / "learning" / date
        rows = sorted(self._kept_rows(), key=lambda row: row["name"])
        corrected = [row for row in rows if self._is_corrected(row)]
        count = len(corrected) // HELD_OUT
        # spread over the names, which often go by date and place
        held = [corrected[(2 * i + 1) * len(corrected) // (2 * count)] for i in range(count)]
        run = place / "run"
        options = self.settings()
        write_list(place / "held_out.txt", [row["key"] for row in held])
        photos = [row["key"] for row in self.predictions.rows() if is_same_photo(row)]
        write_list(place / "all.txt", photos)
        train = ["flukeseg.train", "+experiment=few", f"root={place / 'pairs'}"]
        train += [f"hydra.run.dir={run}", *self.train_options]
        predict = ["flukeseg.predict", f"checkpoint={run}", *options]
        again = [f"source={place / 'all.txt'}", f"output={self.predictions.folder}", "remake=true"]
        check = [f"source={place / 'held_out.txt'}", f"output={place / 'held_out'}"]
        steps = [
            Step("Collecting pairs", lambda: self._collect(place, [row["name"] for row in held])),
            Step("Training", train),
        ]
        if held:
            steps += [
                Step("Trying it on masks it has not seen", [*predict, *check]),
                Step("Comparing", lambda: self._compare(place, held)),
            ]
        steps += [
            Step("Predicting the other photos again", [*predict, *again, self._products()]),
            Step("Noting which network it is", lambda: self._note(run)),
        ]
        return Work("learning", steps, place / "log.txt", lambda: self._result(place))

    def settings(self) -> list[str]:
        """Return the options that the folder's masks are made with, but for the checkpoint.

        The folder may be somebody else's: whatever else stands there is no option.

        Raises:
            InputError: a value is none of such an option.
        """
        path = self.predictions.state / "settings.json"
        if not path.exists():
            return []
        # folders of single looks, without refined edges, recognition or `unsure` do not record it
        off = {"look": "once", "refine": False, "recognition": {"remove": 0, "doubt": 0}}
        settings = off | read_settings(path)
        if isinstance(settings.get("review"), dict):
            settings["review"] = {"unsure": 0} | settings["review"]
        return [
            option
            for key in SETTINGS
            if key in settings
            for option in _options(path, key, settings[key])
        ]

    def checkpoint(self, default: str) -> str:
        """Return the network that learnt last, or another where none has.

        Raises:
            InputError: the folder, which may be somebody else's, names one outside.
        """
        path = self.predictions.state / "network.txt"
        if not path.exists():
            return default
        run = path.read_text(encoding="utf-8")
        if not Path(run).resolve().is_relative_to(self.predictions.state.resolve()):
            raise InputError(f"{path} names {run}, outside the folder; delete it to use {default}")
        return run

    def _kept_rows(self) -> list[Mapping[str, Any]]:
        rows = self.predictions.rows()
        kept = self.predictions.kept
        seen = (r for r in rows if "width" in r and is_same_photo(r) and kept.is_kept(r))
        return [row for row in seen if not kept.is_outdated(row)]

    def _note(self, run: Path) -> None:
        with atomic_write(self.predictions.state / "network.txt") as partial:
            partial.write_text(str(run), encoding="utf-8")

    def _products(self) -> str:
        products = {p for row in self.predictions.rows() for p in row["products"]}
        folder = self.predictions.folder
        products |= {p for p, name in SUMMARY_PLACES.items() if (folder / name).exists()}
        names = sorted(p for p in products if re.fullmatch("[a-z_]+", p))
        return f"products=[{','.join(names)}]"

    def _is_corrected(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a mask can be compared: one with a fluke, whose former self is kept."""
        return (
            self.predictions.kept.is_changed(row)
            and self.store.original(row["name"]).exists()
            and read_mask(self.predictions.folder / mask_name(row["name"])).any()
        )

    def _collect(self, place: Path, held: list[str]) -> None:
        """Write pairs; training validates on those held out, or else on the first with a fluke."""
        with_fluke: list[str] = []

        there = {row["name"] for row in self._kept_rows()}

        def looked_at() -> Iterator[tuple[PredictedPhoto, np.ndarray]]:
            for photo, mask in read_looked_at(self.predictions.folder):
                if photo.name not in there:  # it is away
                    continue
                if mask.any():
                    with_fluke.append(photo.name)
                yield photo, mask

        write_corrections(place / "pairs", looked_at())
        if not with_fluke:
            raise InputError("no mask that you looked at holds a fluke: look at some that do")
        stems = [name.replace("/", "__") for name in held or with_fluke[:1]]
        leave_out_copies(place / "pairs", stems)
        with atomic_write(place / "pairs" / "val.txt") as partial:
            partial.write_text("\n".join(stems) + "\n", encoding="utf-8")

    def _compare(self, place: Path, held: list[Mapping[str, Any]]) -> None:
        made = {row["key"]: row for row in PredictionFolder(place / "held_out").rows()}
        before, after = [], []
        for row in held:
            truth = read_mask(self.predictions.folder / mask_name(row["name"]))
            new = place / "held_out" / mask_name(made[row["key"]]["name"])
            before.append(dice(read_mask(self.store.original(row["name"])), truth))
            after.append(dice(read_mask(new), truth))
        means = [round(float(np.mean(values)), 3) for values in (before, after)]
        result = {"count": len(held), "before": means[0], "after": means[1]}
        with atomic_write(place / "result.json") as partial:
            partial.write_text(json.dumps(result), encoding="utf-8")
        if means[1] < means[0]:
            raise InputError(
                f"on {len(held)} corrected masks that it was not trained on, the new network has a "
                f"Dice of {means[1]}, the old one {means[0]}: the masks stay as they are; correct "
                "more photos and try again"
            )

    def _result(self, place: Path) -> str:
        path = place / "result.json"
        if not path.exists():
            return (
                f"Done. With {HELD_OUT} corrected masks or more, one in {HELD_OUT} is kept from "
                "training to say by how much the network got better."
            )
        found = json.loads(path.read_text(encoding="utf-8"))
        return (
            "Done. The Dice (1 is perfect) of corrected masks that it was not trained on, "
            f"{found['count']} in number, was {found['before']} and is {found['after']} now."
        )


def _options(path: Path, key: str, value: Any) -> list[str]:
    """Write a setting of a file as options of the command line."""
    if isinstance(value, Mapping):
        named = [(f"{key}.{k}", v) for k, v in value.items() if re.fullmatch("[a-z][a-z_]*", k)]
        return [option for pair in named for option in _options(path, *pair)]
    if isinstance(value, float) and math.isfinite(value):
        return [f"{key}={value!r}"]
    text = json.dumps(value).strip('"')
    if not re.fullmatch(r"\w+|\[\d+, \d+\]", text):
        raise InputError(f"{path} has {key}={text[:200]}, which is no value of it; restore it")
    return [f"{key}={text}"]
