import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.scheduler.plateau_lr import PlateauLRScheduler
from torch import nn

from flukeseg import pretrained
from flukeseg.errors import InputError
from flukeseg.masks.metrics import boundary_iou
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.model.layers.skipping import skip_rather_than_stride
from flukeseg.model.losses import BCEDiceLoss
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import FlukeNetwork, resolve_encoder
from flukeseg.model.optimisation import build_schedule, cosine_with_warmup
from flukeseg.model.training_metrics import SoftDice, photo_boundary_iou, photo_dice
from flukeseg.rendering import render


def masks(count=4):
    return st.lists(st.integers(0, 2**12 - 1), min_size=count, max_size=count).map(
        lambda bits: torch.tensor(
            [[[[b >> i & 1 for i in range(4 * r, 4 * r + 4)] for r in range(3)]] for b in bits]
        ).float()
    )


def test_loss_by_hand():
    logits = torch.tensor([[[[0.0, 0.0]]]])
    parts = BCEDiceLoss()(logits, torch.tensor([[[[1.0, 0.0]]]]))
    assert parts["bce"] == pytest.approx(np.log(2))
    assert parts["dice_loss"] == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 1 + 1))
    assert parts["loss"] == pytest.approx(float(parts["bce"] + parts["dice_loss"]))


def test_loss_of_an_empty_batch_is_finite_and_teaches():
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    parts = BCEDiceLoss()(logits, torch.zeros(2, 1, 4, 4))
    parts["loss"].backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad > 0).all()  # every pixel is pushed towards sea
    sure = BCEDiceLoss()(torch.full((2, 1, 4, 4), -30.0), torch.zeros(2, 1, 4, 4))
    assert sure["loss"] == pytest.approx(0, abs=1e-5)


def test_dice_over_photos_is_the_mean_of_each_photos_own():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 16, generator=generator)
    target = (torch.rand(3, 1, 8, 16, generator=generator) > 0.7).float()
    target[1] = 0
    loss = BCEDiceLoss(dice_over="photo", smooth=5)
    each = [
        BCEDiceLoss(smooth=5)(logits[n : n + 1], target[n : n + 1])["dice_loss"] for n in range(3)
    ]
    assert loss(logits, target)["dice_loss"] == pytest.approx(float(torch.stack(each).mean()))
    # a photo all of whose pixels are unknown is right whatever is predicted
    target[2] = 0.5
    each[2] = torch.tensor(0.0)
    assert loss(logits, target)["dice_loss"] == pytest.approx(float(torch.stack(each).mean()))


def test_a_small_fluke_counts_as_much_as_a_large_one_by_dice_over_photos():
    target = torch.zeros(2, 1, 32, 64)
    target[0, :, 4:28, 4:60] = 1
    target[1, :, 16:20, 20:28] = 1
    logits = torch.where(target > 0, 9.0, -9.0)

    def lost(photo, **options):
        missed = logits.clone()
        missed[photo] = -9.0
        return float(BCEDiceLoss(bce_weight=0, **options)(missed, target)["loss"])

    assert lost(1) < 0.05 * lost(0)
    assert lost(1, dice_over="photo") > 0.9 * lost(0, dice_over="photo")


def test_dice_over_something_else_is_refused():
    with pytest.raises(InputError, match="dice_over=pixel must be batch or photo"):
        BCEDiceLoss(dice_over="pixel")


def test_loss_in_half_precision_is_the_same():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 64, 64, generator=generator).bfloat16()
    target = (torch.rand(2, 1, 64, 64, generator=generator) > 0.5).float()
    exact = BCEDiceLoss()(logits.float(), target)["loss"]
    assert BCEDiceLoss()(logits, target)["loss"] == exact


@given(masks(), masks())
def test_photo_dice_is_dice_of_each(predicted, true):
    found = photo_dice(predicted * 2 - 1, true)
    for p, t, dice in zip(predicted, true, found, strict=True):
        total = p.sum() + t.sum()
        assert dice == pytest.approx(float(2 * (p * t).sum() / total) if total else 1.0)


@given(masks(), masks())
def test_soft_dice_pools_batches(predicted, true):
    logits = predicted * 4 - 2
    whole, parts = SoftDice(), SoftDice()
    whole.update(logits, true)
    for i in range(4):
        parts.update(logits[i : i + 1], true[i : i + 1])
    assert whole.compute() == pytest.approx(float(parts.compute()))
    assert 0 <= whole.compute() <= 1


def test_soft_dice_of_nothing_is_one():
    metric = SoftDice()
    metric.update(torch.full((1, 1, 8, 8), -50.0), torch.zeros(1, 1, 8, 8))
    assert metric.compute() == pytest.approx(1)


@settings(max_examples=8)
@given(st.integers(33, 100), st.integers(33, 100))
def test_network_takes_any_size(height, width):
    network = FlukeNetwork("test_resnet").eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, height, width)).shape == (2, 1, height, width)


def test_padding_does_not_touch_sizes_that_fit():
    network = FlukeNetwork("test_resnet").eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = network.unet((image - network.mean) / network.std)
        assert torch.allclose(network(image), expected, atol=1e-5)


def test_normalisation_follows_the_encoder():
    assert FlukeNetwork("test_resnet").mean.flatten().tolist() == pytest.approx(
        list(timm.get_pretrained_cfg("test_resnet").mean)
    )
    lite = FlukeNetwork("tf_efficientnet_lite0")
    assert lite.mean.flatten().tolist() == [0.5] * 3


def test_encoder_names():
    assert resolve_encoder("seresnet34") == "tu-legacy_seresnet34"
    assert resolve_encoder("resnet18") == "resnet18"
    assert resolve_encoder("convnext_tiny") == resolve_encoder("tu-convnext_tiny")
    with pytest.raises(InputError, match="seresnet34"):
        resolve_encoder("seresnet43")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_classifier_weights_fill_the_encoder(tmp_path, suffix):
    classifier = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": classifier.state_dict()}, path)
    else:
        save_file(classifier.state_dict(), path)
    encoder = FlukeNetwork("test_resnet", str(path)).unet.encoder.model
    own = dict(encoder.named_parameters())
    assert len(own) > 10
    for name, tensor in classifier.named_parameters():
        if not name.startswith("fc"):
            assert torch.equal(tensor, own[name])


def test_an_encoder_is_taken_from_a_network_whatever_is_built_around_it(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    first = SegmentationModule("test_resnet")
    torch.save({"state_dict": first.state_dict()}, tmp_path / "checkpoints/one.ckpt")
    lighter = FlukeNetwork(
        "test_resnet", str(tmp_path), decoder={"decoder_channels": [32, 16, 16, 8, 8]}
    )
    own = lighter.unet.encoder.state_dict()
    assert len(own) > 10
    for name, tensor in first.network.unet.encoder.state_dict().items():
        assert torch.equal(tensor, own[name])
    with pytest.raises(InputError, match=r"encoder_weights=.*unfilled"):
        FlukeNetwork("test_efficientnet", str(tmp_path / "checkpoints/one.ckpt"))
    for name, tensor in FlukeNetwork("tf_efficientnet_lite2", "rendered").unet.named_buffers():
        if name.endswith("running_var") and name.startswith("encoder"):
            assert not torch.equal(tensor, torch.ones_like(tensor))


def test_a_run_starts_from_another_networks_weights(tmp_path):
    path = tmp_path / "run.ckpt"
    first = SegmentationModule("test_resnet")
    torch.save({"state_dict": first.state_dict()}, path)
    # nothing is fetched for weights that would be written over
    second = SegmentationModule("test_resnet", encoder_weights="imagenet", start_from=str(path))
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name])
    with pytest.raises(InputError, match=r"model\.start_from.*same model\.encoder"):
        SegmentationModule("test_efficientnet", start_from=str(path))


def test_another_loss_is_no_hindrance_to_loading(tmp_path):
    loss = BCEDiceLoss()
    loss.register_buffer("weight", torch.ones(1))
    module = SegmentationModule("test_resnet", loss=loss)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    assert SegmentationModule.load_from_checkpoint(tmp_path / "m.ckpt").size == (192, 384)


def test_the_plateau_halves_after_five_bad_epochs():
    module = SegmentationModule("test_resnet")
    scheduler = module.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = []
    for dice in (0.5, 0.4, 0.4, 0.5, 0.3, 0.4, 0.4):
        scheduler.step(dice)
        rates.append(scheduler.get_last_lr()[0])
    assert rates == [1e-3] * 5 + [5e-4] * 2


def test_weights_of_the_efficientnet_package_fill_the_encoder(tmp_path):
    """efficientnet_pytorch's names, as the lite packages have them, in timm's order."""
    timm_state = timm.create_model("tf_efficientnet_lite0").state_dict()
    blocks = sorted({tuple(map(int, k.split(".")[1:3])) for k in timm_state if "blocks" in k})
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    outer = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    renamed = {}
    for key, tensor in timm_state.items():
        parts = key.split(".")
        if parts[0] == "blocks":
            number = blocks.index((int(parts[1]), int(parts[2])))
            layer = (later if number else first)[parts[3]]
            renamed[f"_blocks.{number}.{layer}.{parts[4]}"] = tensor
        elif parts[0] in outer:
            renamed[f"{outer[parts[0]]}.{parts[1]}"] = tensor
    path = tmp_path / "lite0.pth"
    torch.save(renamed, path)
    own = FlukeNetwork("tf_efficientnet_lite0", str(path)).unet.encoder.model.state_dict()
    assert all(torch.equal(tensor, timm_state[name]) for name, tensor in own.items())


def test_weights_that_do_not_fill_are_an_error(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    del state["layer2.0.conv1.weight"]
    torch.save(state, tmp_path / "holed.pth")
    with pytest.raises(InputError, match=r"1 of \d+ tensors .*layer2\.0\.conv1"):
        FlukeNetwork("test_resnet", str(tmp_path / "holed.pth"))
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="unfilled"):
        FlukeNetwork("test_resnet", str(tmp_path / "other.pth"))


class Hostile:
    def __reduce__(self):
        return print, ("ran",)


def test_files_that_are_no_weights_are_an_error(tmp_path, capsys):
    path = tmp_path / "w.pth"
    with pytest.raises(InputError, match="not a file"):
        FlukeNetwork("test_resnet", str(path))
    path.write_text("text")
    with pytest.raises(InputError, match="cannot be loaded"):
        FlukeNetwork("test_resnet", str(path))
    torch.save({"a": 1}, path)
    with pytest.raises(InputError, match="holds no weights"):
        FlukeNetwork("test_resnet", str(path))
    torch.save({"state_dict": Hostile()}, path)
    with pytest.raises(InputError, match="cannot be loaded"):
        FlukeNetwork("test_resnet", str(path))
    assert "ran" not in capsys.readouterr().out


def test_encoder_without_imagenet_weights_says_so():
    with pytest.raises(InputError, match="no ImageNet weights"):
        FlukeNetwork("tu-seresnet34", "imagenet")


def test_module_hyperparameters_are_plain():
    module = SegmentationModule("test_resnet", size=[32, 64])
    assert dict(module.hparams) == {
        "encoder": "test_resnet",
        "size": (32, 64),
        "architecture": "unet",
        "decoder": {},
        "in_channels": 3,
        "learnt_from": "",
    }
    with pytest.raises(InputError, match=r"model\.schedule"):
        SegmentationModule("test_resnet", schedule="linear")


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated:FutureWarning")
def test_a_schedule_that_would_wait_for_the_wrong_plateau_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    with pytest.raises(InputError, match="give it mode: max"):
        build_schedule(partial(plateau, patience=1), "epoch", optimizer, 0)
    assert build_schedule(partial(plateau, mode="max"), "epoch", optimizer, 0)["scheduler"]
    with pytest.raises(InputError, match="PlateauLRScheduler is not stepped; give plateau"):
        build_schedule(PlateauLRScheduler, "epoch", optimizer, 0)


def test_cosine_rises_then_falls():
    factors = [cosine_with_warmup(step, 200) for step in range(200)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == 1
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[-1] == pytest.approx(0.01, abs=1e-3)


def test_boundary_iou_is_that_of_the_metrics():
    masks = np.stack([render((6, i), (48, 96)).mask for i in range(12)])
    masks[5] = 0
    others = np.roll(masks, 2, axis=2)
    others[7] = 0
    tensors = (torch.from_numpy(stack)[:, None].float() for stack in (others, masks))
    predicted, true = tensors
    found = photo_boundary_iou(predicted - 0.5, true)
    expected = [boundary_iou(p, t) for p, t in zip(others, masks, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, (2, 4)])
def test_a_convolution_of_single_pixels_skips_as_it_strode(stride):
    torch.manual_seed(0)
    striding = torch.nn.Conv2d(3, 5, 1, stride)
    skipping = copy.deepcopy(striding)
    skip_rather_than_stride(skipping)
    assert (type(skipping) is nn.Conv2d) == (stride == 1)
    for size in ((8, 12), (7, 13), (1, 1)):
        image = torch.rand(2, 3, *size)
        torch.testing.assert_close(skipping(image), striding(image))


def test_an_encoder_whose_first_convolution_is_of_single_pixels_trains():
    program = (
        "import torch; from flukeseg.model.network import FlukeNetwork\n"
        "network = FlukeNetwork('mobileone_s0').to(memory_format=torch.channels_last)\n"
        "image = torch.rand(32, 3, 32, 32).contiguous(memory_format=torch.channels_last)\n"
        "for _ in range(3): network(image).square().mean().backward()\n"
    )
    # a corrupted memory ends the program
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_of_a_diverged_training_is_refused(tiny_runs, tmp_path, value):
    content = torch.load(find_checkpoint(tiny_runs[0]), weights_only=True)
    content["state_dict"]["network.unet.segmentation_head.0.bias"].fill_(value)
    torch.save(content, tmp_path / "diverged.ckpt")
    with pytest.raises(
        InputError, match=r"diverged\.ckpt has weights that are not finite \(first: "
    ):
        load_module(tmp_path / "diverged.ckpt")


def test_an_error_of_loading_keeps_its_cause(tmp_path):
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(InputError) as caught:
        load_module(tmp_path / "text.ckpt")
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)


# Which checkpoint a run folder stands for


@pytest.fixture
def run(tiny_runs, tmp_path) -> Path:
    """A run that was stopped: two checkpoints, of which the older one is the best."""
    files = {}
    for step, dice in ((10, 0.9), (20, 0.8)):
        path = tmp_path / f"run/checkpoints/epoch={step:03d}-dice={dice:.4f}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = torch.load(find_checkpoint(tiny_runs[0]), weights_only=True)
        best = "/elsewhere/epoch=010-dice=0.9000.ckpt"
        content["callbacks"] = {
            "EarlyStop{'monitor': 'val/dice'}": {"wait_count": 1},
            "ModelCheckpoint{'monitor': 'val/dice'}": {
                "monitor": "val/dice",
                "best_model_path": best,
            },
            "ModelCheckpoint{'monitor': None}": {"monitor": None, "best_model_path": "last.ckpt"},
        }
        content["global_step"] = step
        torch.save(content, path)
        files[dice] = path
    return tmp_path / "run"


def test_the_best_checkpoint_is_the_one_that_was_monitored(run):
    (run / "checkpoints/last.ckpt").write_text("no checkpoint")
    for folder in (run, run / "checkpoints"):
        assert find_checkpoint(folder).name == "epoch=010-dice=0.9000.ckpt"


@pytest.mark.parametrize("chosen", ["epoch=010-dice=0.9000.ckpt", "epoch=020-dice=0.8000.ckpt"])
def test_a_result_names_the_best_checkpoint(run, chosen):
    """Whichever was written last: copying a run changes the times of its files."""
    os.utime(run / "checkpoints/epoch=010-dice=0.9000.ckpt", (1, 1))
    (run / "result.json").write_text(json.dumps({"checkpoint": f"checkpoints/{chosen}"}))
    for folder in (run, run / "checkpoints"):
        assert find_checkpoint(folder).name == chosen


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            '{"checkpoint": "checkpoints/gone.ckpt"}',
            r"names checkpoints/gone\.ckpt, which is not in",
        ),
        ('{"checkpoint": "../outside.ckpt"}', r"names \.\./outside\.ckpt, which is not in"),
        ('{"checkpoint": 5}', "cannot be read"),
        ("[1]", "cannot be read"),
        ("half a f", "cannot be read"),
    ],
)
def test_a_result_that_names_no_checkpoint_of_the_run(run, content, sentence):
    (run.parent / "outside.ckpt").write_text("another run's")
    (run / "result.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        find_checkpoint(run)


def test_checkpoints_of_which_none_is_known_to_be_the_best(run):
    (run / "result.json").write_text('{"checkpoint": null}')  # of a training that failed
    for path in run.glob("checkpoints/*.ckpt"):
        content = torch.load(path, weights_only=True)
        del content["callbacks"]
        torch.save(content, path)
    with pytest.raises(InputError, match="holds 2 checkpoints and nothing says which is the best"):
        find_checkpoint(run)


def test_a_name_is_flukesegs_own_network_and_says_so(tmp_path, monkeypatch, caplog, tiny_runs):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("rendered") == pretrained.FOLDER / "rendered.ckpt"
    assert not caplog.records
    shutil.copytree(tiny_runs[0], "rendered")
    assert find_checkpoint("rendered") == pretrained.FOLDER / "rendered.ckpt"
    assert "for what lies here give ./rendered" in caplog.text
    assert find_checkpoint("./rendered").parent == Path("rendered/checkpoints")


def test_a_network_that_is_not_here_is_fetched_once_and_checked(tmp_path, monkeypatch):
    content = find_checkpoint("rendered").read_bytes()
    away = tmp_path / "away.ckpt"
    away.write_bytes(content)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    known = pretrained.NETWORKS["rendered"].sha256
    entry = pretrained.Pretrained("lab.ckpt", known, away.as_uri())
    monkeypatch.setitem(pretrained.NETWORKS, "lab", entry)
    kept = tmp_path / "cache/hub/flukeseg/lab.ckpt"
    assert kept.parent == Path(torch.hub.get_dir()) / "flukeseg"
    assert find_checkpoint("lab") == kept
    away.unlink()
    assert find_checkpoint("lab").read_bytes() == content  # from the cache
    kept.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"its checksum is another: delete .*lab\.ckpt"):
        find_checkpoint("lab")
    kept.unlink()
    with pytest.raises(InputError, match=r"could not be fetched from .*connect to the network"):
        find_checkpoint("lab")
    with pytest.raises(InputError, match="choose rendered, lab"):
        pretrained.locate("other")
