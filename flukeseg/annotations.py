"""Predictions to annotation tools and back: `python -m flukeseg.annotations direction=export …`."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.errors import InputError, require_text
from flukeseg.exchange import coco_files, cvat, label_studio, labelme, via
from flukeseg.exchange.corrections import write_corrections
from flukeseg.exchange.outside_files import PhotoFinder
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.installation import CONF

log = logging.getLogger(__name__)

FORMATS = ("label_studio", "label_studio_polygons", "cvat", "labelme", "via", "coco")

CANNOT_TELL = ("cvat", "via", "coco")
"""Formats in which a photo that nobody annotated is like one without a fluke."""


def exchange(cfg: DictConfig) -> Counter[str]:
    """Export a prediction folder for a tool, or import what was corrected there.

    Returns:
        How many photos were exported; how many masks came back unchanged, changed and emptied,
        and how many of an earlier import were replaced.

    Raises:
        InputError: something in the configuration or in the tool's file cannot be used.
    """
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} must be one of {', '.join(FORMATS)}")
    label = require_text("label", cfg.label)
    if cfg.direction == "export":
        return export_annotations(cfg, label)
    if cfg.direction == "import":
        return import_annotations(cfg, label)
    raise InputError(f"direction={cfg.direction} must be export or import")


def export_annotations(cfg: DictConfig, label: str) -> Counter[str]:
    """Write predictions as pre-annotations to `cfg.output`, as `exchange`."""
    if cfg.format == "cvat":
        raise InputError(
            "format=cvat has no file to export: CVAT takes format=coco, or annotates its tasks by "
            "cvat-cli with --function-module flukeseg.exchange.cvat_function"
        )
    photos, output = Predictions(cfg.predictions, cfg.photos), Path(cfg.output)
    prefix = require_text("prefix", cfg.prefix)
    write = {
        "label_studio": partial(label_studio.write_tasks, prefix=prefix, polygons=False),
        "label_studio_polygons": partial(label_studio.write_tasks, prefix=prefix, polygons=True),
        "labelme": labelme.write_files,
        "via": via.write_project,
        "coco": coco_files.write_instances,
    }[cfg.format]
    write(output, photos, label)
    count = sum(1 for _ in photos)
    log.info("%d photos: %s", count, output)
    return Counter(exported=count)


def import_annotations(cfg: DictConfig, label: str) -> Counter[str]:
    """Write the pairs of `cfg.source`, what a tool saved, to `cfg.output`, as `exchange`."""
    if cfg.source is None:
        raise InputError("source=null must name what the tool saved")
    source = Path(cfg.source)
    finder = PhotoFinder(Predictions(cfg.predictions, cfg.photos))
    if not source.exists():
        raise InputError(f"source={source} does not exist; name what the tool saved")
    read = {
        "label_studio": label_studio.read_tasks,
        "label_studio_polygons": label_studio.read_tasks,
        "cvat": cvat.read_archive,
        "labelme": labelme.read_files,
        "via": via.read_project,
        "coco": coco_files.read_instances,
    }[cfg.format]
    origin = f"annotations of {Path(cfg.predictions).resolve()}"
    counts = write_corrections(Path(cfg.output), read(source, finder, label), origin)
    if not counts["unchanged"] + counts["changed"]:
        raise InputError(f"source={source} has no photo that anybody went through; export it again")
    log.info(
        "%d masks unchanged, %d changed, %d of them to none: %s",
        counts["unchanged"],
        counts["changed"],
        counts["emptied"],
        cfg.output,
    )
    log.info("the masks in %s stay as they are", cfg.predictions)
    if counts["emptied"] and cfg.format in CANNOT_TELL:
        log.warning(
            "%d photos had a fluke and have no annotation in %s: they count as photos without one; "
            "if nobody looked at them, leave them out of the export",
            counts["emptied"],
            source,
        )
    if counts["replaced"]:
        log.warning(
            "%d masks took the place of those of an earlier import; to keep what several people "
            "drew, give each an output= of its own",
            counts["replaced"],
        )
    return counts


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="annotations")
def main(cfg: DictConfig) -> None:
    """Export or import from the command line."""
    with command_line.report_user_errors():
        exchange(cfg)


if __name__ == "__main__":
    command_line.run(main)
