"""One prediction folder under review: its queue, what is saved, and the programs at work on it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np

from flukeseg.atomic_files import atomic_write, refuse_links
from flukeseg.errors import InputError
from flukeseg.images.reading import IMAGE_SUFFIXES, MAX_PIXELS
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import stamp, write_list
from flukeseg.prediction.journal import read_row_photo
from flukeseg.review.learning import Learning
from flukeseg.review.queue import ReviewQueue, Row
from flukeseg.review.saving import MaskStore
from flukeseg.review.work import Step, Work

log = logging.getLogger(__name__)


class ReviewSession:
    """What the server serves.

    Args:
        folder: the prediction folder; made if it does not exist.
        checkpoint: what predicts on photos until there is a network that learnt here.
        train_options: further options of `flukeseg.train`.
        predict_options: further options of `flukeseg.predict`.

    Raises:
        InputError: the folder cannot be written to, or a link leads out of it.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: str = "rendered",
        train_options: list[str] | None = None,
        predict_options: list[str] | None = None,
    ) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.predict_options = predict_options or []
        self.predictions = PredictionFolder(folder)
        state, added = self.predictions.state, folder / "added"
        own = [self.predictions.kept.verdicts.path, *state.iterdir(), *added.glob("*")]
        refuse_links(folder, own)
        self.queue, self.store = ReviewQueue(folder), MaskStore(folder)
        self.learning = Learning(folder, train_options or [])
        self.work: Work | None = None
        self._lock = threading.Lock()
        self._photo: tuple[Any, np.ndarray] | None = None

    def status(self) -> dict[str, Any]:
        """Say how far everything is."""
        return {
            "version": self.queue.version,
            "progress": self.queue.progress(),
            "work": self.work.status() if self.work else None,
        }

    def photo(self, row: Row) -> np.ndarray:
        """Return a photo H×W×3 uint8 RGB; the last one is kept, as clicks follow each other.

        Raises:
            InputError: it cannot be read.
        """
        key = row["key"], stamp(row["key"])
        kept = self._photo
        if kept is None or kept[0] != key:
            kept = self._photo = key, read_row_photo(row, MAX_PIXELS)
        return kept[1]

    def predict(self, source: str | Path) -> None:
        """Start a prediction of what has no mask yet.

        Raises:
            InputError: something is at work already.
        """
        arguments = ["flukeseg.predict", f"source={source}", f"output={self.folder}"]
        arguments += [f"checkpoint={self.learning.checkpoint(self.checkpoint)}"]
        arguments += [*self.learning.settings(), *self.predict_options]
        step = Step("Making masks", arguments)
        self._begin(
            Work(
                "prediction", [step], self.queue.state / "prediction.log", lambda: "Masks are ready"
            )
        )

    def add(self, name: str, content: bytes) -> Path:
        """Put a photo that was dropped on the page into the folder, as `added/NAME`.

        Raises:
            InputError: its name is no photo's, or another photo has it.
        """
        path = self.folder / "added" / Path(name.replace("\\", "/")).name
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            raise InputError(
                f"{path.name} is no photo by its name; add {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        if path.exists() and path.read_bytes() != content:
            raise InputError(f"another photo called {path.name} was added before; rename this one")
        with atomic_write(path, sync=True) as partial:
            partial.write_bytes(content)
        return path

    def predict_added(self) -> None:
        """Start a prediction of the photos that were dropped on the page.

        Raises:
            InputError: there are none, or something is at work already.
        """
        photos = sorted(p for p in (self.folder / "added").glob("*") if p.name[0] != ".")
        if not photos:
            raise InputError("no photo was added")
        # a folder inside the output is not searched for photos; a list says which are meant
        added = self.queue.state / "added.txt"
        write_list(added, photos)
        self.predict(added)

    def learn(self) -> None:
        """Start learning from what was corrected.

        Raises:
            InputError: there is too little of it, or something is at work already.
        """
        self._begin(self.learning.work())

    def bring_up_to_date(self) -> None:
        """Let tables and products follow corrections, unless a run is on that will do so."""
        with self._lock:
            if not self.queue.rows() or (self.work and self.work.is_running):
                return
            # it brings torch, which takes seconds that nobody should wait for at the start
            from flukeseg.review.zip_archive import bring_up_to_date

            try:
                bring_up_to_date(self.predictions)
            except InputError as error:
                log.warning("tables do not follow the corrections yet: %s", error)

    def close(self) -> None:
        """End what is at work, and leave tables and products as the masks are."""
        if self.work:
            self.work.stop()
        self.bring_up_to_date()

    def _begin(self, work: Work) -> None:
        with self._lock:
            if self.work and self.work.is_running:
                raise InputError(f"{self.work.status()['step']} is not finished; try again then")
            self.work = work
            work.start()
