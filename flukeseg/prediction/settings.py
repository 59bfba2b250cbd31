"""Everything that decides how photos are predicted, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from flukeseg.anatomy.alignment import SIZE
from flukeseg.data.workers import loading_processes
from flukeseg.errors import InputError, require_bool, require_int, require_size
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.second_look import LOOKS, second_size
from flukeseg.model.checkpoint_files import find_checkpoint, has_masks_of
from flukeseg.model.checkpoints import Classes, load_predictor, runtime_of
from flukeseg.model.runtimes import RUNTIMES
from flukeseg.model.tta import views_of
from flukeseg.prediction.looking import Looker
from flukeseg.prediction.products import FILE_PRODUCTS, ProductSettings
from flukeseg.prediction.table import SUMMARY_PLACES

SUMMARIES = tuple(SUMMARY_PLACES)


@dataclass(frozen=True)
class PredictionSettings:
    """How photos are predicted; see `conf/predict.yaml`.

    Args:
        checkpoints: run folders, checkpoints, exported files or names of `flukeseg.pretrained`; the
            probabilities of several are averaged.
        tta: a name of `flukeseg.model.tta.TTA`.
        size: (height, width) that photos are resized to; None is the size of training.
        look: `auto` looks again at flukes that are small in the frame, `once` does not.
        refine: whether the edges of masks follow the photo's colours.
        masks: how masks are made of probabilities.
        products: which files each photo has.
        summaries: names of `SUMMARY_PLACES`.
        runtime: what computes the networks, see `flukeseg.model.runtimes.choose_runtime`.
        precision: of the networks; `auto` is bf16 where that is faster.
        batch_size: photos computed together.
        num_workers: processes that load photos, or threads with another runtime than torch; None
            is half the processors, at most 8.
        max_pixels: photos with more are not read.
        networks: classes of networks of one's own that checkpoints may name, see `load_module`.

    Raises:
        InputError: a value is out of range.
    """

    checkpoints: tuple[str, ...] = ("rendered",)
    tta: str = "flip"
    size: tuple[int, int] | None = None
    look: str = "auto"
    refine: bool = True
    masks: MaskSettings = field(default_factory=MaskSettings)
    products: ProductSettings = field(default_factory=ProductSettings)
    summaries: tuple[str, ...] = ()
    runtime: str = "auto"
    precision: str | int = "auto"
    batch_size: int = 8
    num_workers: int | None = None
    max_pixels: int = MAX_PIXELS
    networks: Classes = ()

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise InputError("checkpoint=[] must not be empty")
        is_fitted = all(has_masks_of(str(path), "rendered") for path in self.checkpoints)
        recognition = self.masks.recognition.settled(is_fitted)
        object.__setattr__(self, "masks", replace(self.masks, recognition=recognition))
        views_of(self.tta)
        if self.size is not None:
            require_size("size", self.size)
        if self.look not in LOOKS:
            raise InputError(f"look={self.look} must be one of {', '.join(LOOKS)}")
        require_bool("refine", self.refine)
        if self.runtime not in RUNTIMES:
            raise InputError(f"runtime={self.runtime} must be one of {', '.join(RUNTIMES)}")
        require_int("batch_size", self.batch_size)
        require_int("max_pixels", self.max_pixels)
        loading_processes("num_workers", self.num_workers)

    def checkpoint_files(self) -> list[Path]:
        """Return the file of each checkpoint, see `find_checkpoint`."""
        return [find_checkpoint(checkpoint) for checkpoint in self.checkpoints]

    def chosen_runtime(self) -> str:
        """Return what computes the networks, see `runtime_of`."""
        return runtime_of(self.checkpoint_files(), self.runtime)

    def load_looker(self, together: int = 1) -> Looker:
        """Load the networks, see `flukeseg.model.checkpoints.load_predictor` and `Looker`.

        A given size is that of both looks.
        """
        predictor = load_predictor(
            self.checkpoint_files(),
            views_of(self.tta),
            self.size,
            self.runtime,
            self.precision,
            self.networks,
        )
        second = self.size or second_size(predictor.size)
        # a photo with a mask as its fourth channel has been looked at already
        twice = self.look == "auto" and predictor.in_channels == 3
        refine, most = self.refine, self.max_pixels
        return Looker(predictor, self.masks, second, twice, refine, most, together)

    def recorded(self) -> dict[str, Any]:
        """Return what all masks of one output folder share, by the option's name."""
        return {
            "size": self.size,
            "tta": self.tta,
            "threshold": self.masks.threshold,
            "cleaning": _with_target(self.masks.cleaning),
            # unsure is not in output folders of version 0.1.0: 0 goes on with them
            "review": {
                name: value
                for name, value in _with_target(self.masks.review).items()
                if name != "unsure" or value
            },
            "crop_margin": self.products.crop_margin,
            "probability_bits": self.products.probability_bits,
            "rgbm_size": self.products.rgbm_size,
            # not in output folders of version 0.1.0
            **(
                {}
                if self.products.aligned_size == SIZE
                else {"aligned_size": self.products.aligned_size}
            ),
            **({} if self.look == "once" else {"look": self.look}),
            **({"refine": True} if self.refine else {}),
            **(
                {}
                if not self.masks.recognition.is_on
                else {"recognition": _with_target(self.masks.recognition)}
            ),
        }


def split_products(
    products: Sequence[str], others: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a list's products of each photo, `mask` among them, and those of all photos together.

    Args:
        products: names.
        others: names that are left to the caller.

    Raises:
        InputError: there is no such product.
    """
    if isinstance(products, str):
        raise InputError(f"products={products} must be a list: ['{products}']")
    known = (*FILE_PRODUCTS, *SUMMARIES, *others)
    if unknown := [product for product in products if product not in known]:
        # it imports Hydra, which use from Python need not wait for
        from flukeseg.option_suggestions import near_choice

        name = str(unknown[0])
        raise InputError(f"there is no products={name}; {near_choice('products', name, known)}")
    files = tuple(p for p in FILE_PRODUCTS if p == "mask" or p in products)
    return files, tuple(p for p in SUMMARIES if p in products)


def _with_target(part: Any) -> dict[str, Any]:
    # output folders of version 0.1.0 recorded the section of the configuration, class and all
    return {"_target_": f"{type(part).__module__}.{type(part).__qualname__}", **asdict(part)}
