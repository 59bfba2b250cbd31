"""Losses, optimisers and schedules of any library, by override."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY, read_metrics
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from segmentation_models_pytorch import losses as smp_losses

from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.model.losses import BCEDiceLoss, WeightedSum, compute_loss
from flukeseg.model_config import build_module

SMP = "model.loss._target_=segmentation_models_pytorch.losses."
SUM = (
    "model.loss._target_=flukeseg.model.losses.WeightedSum",
    "+model.loss.losses.bce._target_=torch.nn.BCEWithLogitsLoss",
    f"+{SMP.replace('loss.', 'loss.losses.lovasz.', 1)}LovaszLoss",
    "+model.loss.losses.lovasz.mode=binary",
    "+model.loss.weights.lovasz=0.5",
)
LOSSES = {
    "bce_dice": ("model.loss.bce_weight=0.5", "model.loss.smooth=2"),
    "bce": ("model.loss._target_=torch.nn.BCEWithLogitsLoss",),
    "mse": ("model.loss._target_=torch.nn.MSELoss",),
    "dice": (f"{SMP}DiceLoss", "+model.loss.mode=binary"),
    "jaccard": (f"{SMP}JaccardLoss", "+model.loss.mode=binary"),
    "focal": (f"{SMP}FocalLoss", "+model.loss.mode=binary"),
    "lovasz": (f"{SMP}LovaszLoss", "+model.loss.mode=binary"),
    "tversky": (f"{SMP}TverskyLoss", "+model.loss.mode=binary", "+model.loss.alpha=0.3"),
    "soft_bce": (f"{SMP}SoftBCEWithLogitsLoss", "+model.loss.smooth_factor=0.1"),
    "mcc": (f"{SMP}MCCLoss",),
    "sum": SUM,
}
OPTIMIZERS = {
    "adam": (),
    "adamw": ("model.optimizer._target_=torch.optim.AdamW",),
    "sgd": ("model.optimizer._target_=torch.optim.SGD", "+model.optimizer.momentum=0.9"),
    "radam": ("model.optimizer._target_=torch.optim.RAdam",),
    "nadam": ("model.optimizer._target_=torch.optim.NAdam",),
    "rmsprop": ("model.optimizer._target_=torch.optim.RMSprop",),
    "adagrad": ("model.optimizer._target_=torch.optim.Adagrad",),
    "lamb": ("model.optimizer._target_=timm.optim.Lamb",),
    "lion": ("model.optimizer._target_=timm.optim.Lion", "model.optimizer.lr=1e-4"),
    "clip": ("+trainer.gradient_clip_val=1.0", "trainer.precision=bf16-mixed"),
    "clip_value": ("+trainer.gradient_clip_val=0.1", "+trainer.gradient_clip_algorithm=value"),
    "accumulate": ("+trainer.accumulate_grad_batches=2",),
    "encoder_lr": ("model.encoder_lr_scale=0.1", "model.schedule=cosine"),
    "freeze": ("callbacks=freeze", "callbacks.freeze.epochs=1"),
    "torch_schedule": (
        "model.schedule={_target_:torch.optim.lr_scheduler.CosineAnnealingLR,T_max:2}",
    ),
    "torch_schedule_by_step": (
        "model.schedule={_target_:torch.optim.lr_scheduler.OneCycleLR,max_lr:0.01,total_steps:4}",
        "model.schedule_interval=step",
    ),
    "timm_schedule": ("model.schedule={_target_:timm.scheduler.CosineLRScheduler,t_initial:2}",),
}


def compose_train(*options):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*TINY, *options], return_hydra_config=True)
        # without the folder that only a run has
        cfg.folder = "run"
        return cfg


def run(run_train, *options):
    run_train(
        *TINY,
        "hydra.run.dir=run",
        "data.train_count=8",
        "data.val_count=4",
        "data.test_count=1",
        "callbacks.sheets=null",
        *options,
    )


@pytest.mark.parametrize("name", LOSSES)
def test_loss_trains(name):
    torch.manual_seed(0)
    module = build_module(compose_train(*LOSSES[name]))
    image, target = torch.rand(2, 3, 32, 64), torch.zeros(2, 1, 32, 64)
    target[0, :, 8:20, 10:40] = 1
    optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(2):
        optimizer.zero_grad()
        parts = compute_loss(module.loss, module(image), target)
        parts["loss"].backward()
        optimizer.step()
    assert all(value.ndim == 0 and torch.isfinite(value) for value in parts.values())
    assert any(p.grad.abs().sum() > 0 for p in module.network.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_pixels_have_no_gradient(name):
    loss = build_module(compose_train(*LOSSES[name])).loss
    torch.manual_seed(0)
    target = (torch.rand(2, 1, 8, 8) > 0.5).float()
    target[:, :, 2:5, 2:6] = 0.5
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    compute_loss(loss, logits, target)["loss"].backward()
    unknown = target == 0.5
    assert not logits.grad[unknown].any()
    assert logits.grad[~unknown].any()


def test_sum_adds_up_and_names_its_parts():
    bce, dice = torch.nn.BCEWithLogitsLoss(), smp_losses.DiceLoss("binary")
    logits, target = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    parts = compute_loss(WeightedSum({"bce": bce, "dice": dice}, {"dice": 2}), logits, target)
    assert {*parts} == {"loss", "bce", "dice"}
    assert float(parts["loss"]) == pytest.approx(
        float(bce(logits, target) + 2 * dice(logits, target))
    )
    with pytest.raises(InputError, match="names focal"):
        WeightedSum({"bce": bce}, {"focal": 1})


def test_loss_that_gives_no_scalar_is_an_error():
    loss = torch.nn.BCEWithLogitsLoss(reduction="none")
    with pytest.raises(InputError, match="must give a scalar"):
        compute_loss(loss, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))


def test_loss_of_the_recipe_takes_its_weights_from_the_configuration():
    loss = build_module(compose_train("model.loss.dice_weight=3")).loss
    assert (type(loss), loss.bce_weight, loss.dice_weight, loss.smooth) == (BCEDiceLoss, 1, 3, 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_trains(run_train, name):
    run(run_train, *OPTIMIZERS[name])
    assert len(read_metrics(Path("run"))) == 2
    assert json.loads(Path("run/result.json").read_text())["checkpoint"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("model.loss._target_=torch.nn.BCELoss",), "model.loss=BCELoss"),
        (("model.loss._target_=torch.nn.CrossEntropyLoss", "model.loss.smooth=3"), "smooth"),
        (("model.optimizer._target_=torch.optim.RAdam", "+model.optimizer.typo=1"), "typo"),
        (("model.schedule=linear",), "model.schedule"),
        (("model.schedule={_target_:torch.optim.lr_scheduler.StepLR}",), "model.schedule"),
        (("model.encoder_lr_scale=-1",), "encoder_lr_scale"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(run_train, capsys, options, sentence):
    with pytest.raises(SystemExit):
        run(run_train, *options)
    told = capsys.readouterr()
    assert sentence in told.err + told.out
    assert "Traceback" not in told.err + told.out


def values_of_sweeps():
    """Every value of the sweeps in conf/sweep, as an option of its own; optuna.yaml has ranges."""
    parser = OverridesParser.create()
    for path in sorted({*(CONF / "sweep").glob("*.yaml")} - {CONF / "sweep/optuna.yaml"}):
        sweeper = OmegaConf.load(path).hydra.sweeper
        for key, value in sweeper.params.items():
            option = parser.parse_override(f"{key}={value}")
            values = option.sweep_string_iterator() if option.is_sweep_override() else [value]
            for one in values:
                yield pytest.param(f"{option.get_key_element()}={one}", id=f"{path.stem} {one}")


@pytest.mark.parametrize("option", [*values_of_sweeps()])
def test_every_value_of_a_sweep_is_an_option(option):
    cfg = compose_train(option)
    if "model." in option:
        build_module(cfg)
