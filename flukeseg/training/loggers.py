"""Where else figures and pictures go: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import hydra
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from flukeseg.errors import InputError
from flukeseg.installation import how_to_install

PACKAGES = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}
"""The package of a logger, and the extra of flukeseg that installs it."""


def make_logger(cfg: DictConfig | None) -> Logger | bool:
    """Return the logger of `logger=`, or False for none.

    Raises:
        InputError: its package is not installed.
    """
    if cfg is None:
        return False
    package = PACKAGES.get(str(cfg.get("_target_")).rpartition(".")[2])
    if package and find_spec(package) is None:
        raise InputError(f"logger={package} is not installed; {how_to_install(package)}")
    if package == "wandb":
        import wandb

        wandb.finish()  # or the next job of a sweep would go on in the run of the last
    return hydra.utils.instantiate(cfg, _convert_="all")


def log_picture(logger: Logger, path: Path, step: int) -> None:
    """Show a picture wherever a logger can."""
    if isinstance(logger, TensorBoardLogger):
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        logger.experiment.add_image(path.stem, photo, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(path.stem, [str(path)], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_artifact(logger.run_id, str(path))


def run_id(folder: str) -> str:
    """Name a run by its folder below outputs/: letters, digits and dashes that loggers take."""
    parts = Path(folder).parts
    below = parts[parts.index("outputs") + 1 :] if "outputs" in parts else parts[-2:]
    return "-".join(below).replace(":", "-")[-120:]


OmegaConf.register_new_resolver("run_id", run_id, replace=True)
