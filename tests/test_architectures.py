"""Every architecture that smp has: trained, stored, predicted with, exported."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, write_rgb

from flukeseg.errors import InputError
from flukeseg.model.architectures import ARCHITECTURES
from flukeseg.model.checkpoints import load_module, load_predictor
from flukeseg.model.conversion import to_torchscript
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import FlukeNetwork
from flukeseg.model.tta import views_of
from flukeseg.rendering import render
from flukeseg.train import check_network_runs

VIT = "test_vit2"
FIXED = "swin_tiny_patch4_window7_224"
CNNS = [name for name in ARCHITECTURES if name != "dpt"]
DECODERS = {
    "unet": {"decoder_attention_type": "scse", "decoder_channels": [64, 32, 16, 16, 16]},
    "unetplusplus": {"decoder_channels": [32, 16, 8, 8, 4]},
    "fpn": {"decoder_merge_policy": "cat"},
    "segformer": {"decoder_segmentation_channels": 16},
    "upernet": {"decoder_channels": 16},
}


def save(module, path):
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)


def step(module):
    module.train()
    optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(2):
        optimizer.zero_grad()
        logits = module(torch.rand(2, 3, *module.size))
        assert logits.shape == (2, 1, *module.size)
        module.loss(logits, torch.zeros_like(logits))["loss"].backward()
        optimizer.step()
    module.eval()


@pytest.mark.parametrize("architecture", CNNS)
def test_architecture_trains_loads_and_exports(architecture, tmp_path):
    torch.manual_seed(0)
    # sides that have to be padded; pan takes none below 128
    size = (120, 200) if architecture == "pan" else (60, 100)
    options = {"architecture": architecture, "decoder": DECODERS.get(architecture)}
    module = SegmentationModule("test_resnet", size=size, **options)
    step(module)
    save(module, tmp_path / "a.ckpt")
    loaded = load_module(tmp_path / "a.ckpt")
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        assert torch.equal(loaded(image), module(image))
        script = to_torchscript(loaded.network)
        assert torch.allclose(script(image), torch.sigmoid(module(image)), atol=1e-4)
        save(SegmentationModule("test_resnet", size=size), tmp_path / "unet.ckpt")
        predictor = load_predictor([tmp_path / "a.ckpt", tmp_path / "unet.ckpt"])
        assert predictor(image).probability.shape == (1, 1, *size)
    again = SegmentationModule(
        "test_resnet", size=size, start_from=str(tmp_path / "a.ckpt"), **options
    )
    with torch.inference_mode():
        assert torch.equal(again.eval()(image), module(image))


def test_dpt_takes_a_vit(tmp_path):
    decoder = {"decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8}
    module = SegmentationModule(VIT, size=(60, 100), architecture="dpt", decoder=decoder)
    step(module)
    save(module, tmp_path / "a.ckpt")
    image = torch.rand(1, 3, 60, 100)
    with torch.inference_mode():
        assert torch.equal(load_module(tmp_path / "a.ckpt")(image), module(image))


def test_checkpoint_of_before_is_a_unet(tmp_path):
    module = SegmentationModule("test_resnet", size=(32, 64))
    save(module, tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    for key in ("architecture", "decoder"):
        del content["hyper_parameters"][key]
    torch.save(content, tmp_path / "old.ckpt")
    assert load_module(tmp_path / "old.ckpt").hparams["architecture"] == "unet"


@pytest.mark.parametrize(
    "named",
    [
        {"architecture": "os.system"},
        {"architecture": ["unet"]},
        {"decoder": {"_target_": "os.system"}},
        {"decoder": {"encoder_weights": "imagenet"}},
        {"decoder": {"activation": "sigmoid"}},
        {"decoder": {"decoder_channels": [10**9] * 5}},
        {"decoder": {"decoder_use_norm": {"type": "batchnorm"}}},
        {"decoder": "unet"},
    ],
    ids=str,
)
def test_checkpoint_names_only_registered_networks_and_plain_values(tmp_path, named):
    save(SegmentationModule("test_resnet", size=(32, 64)), tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["hyper_parameters"] |= named
    torch.save(content, tmp_path / "hostile.ckpt")
    with pytest.raises(InputError, match=r"hostile\.ckpt cannot be loaded"):
        load_module(tmp_path / "hostile.ckpt")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"architecture": "unetpp"}, "choose unet, unetplusplus"),
        ({"architecture": "dpt"}, "ViT"),
        ({"encoder": VIT}, "a CNN"),
        ({"decoder": {"decoder_channel": [1]}}, "did you mean decoder_channels"),
    ],
    ids=str,
)
def test_network_that_cannot_be_built_is_a_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        FlukeNetwork(**{"encoder": "test_resnet", **options})


def test_architecture_from_the_command_line(run_train, run_predict, tmp_path):
    run_train(
        *TINY, "hydra.run.dir=run", "data.train_count=4", "data.val_count=4", "data.test_count=1",
        "model.architecture=fpn", "+model.decoder.decoder_merge_policy=cat",
        "trainer.max_epochs=1",
    )  # fmt: skip
    write_rgb(tmp_path / "photo.jpg", render((1, 1), (40, 70)).image)
    run_predict("checkpoint=run", "source=photo.jpg", "output=masks")
    assert (tmp_path / "masks/predictions.csv").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"architecture": "pan", "size": (60, 100)}, r"it takes data\.size=\[120, 200\]"),
        ({"encoder": FIXED}, r"it takes data\.size=\[224, 224\]"),
    ],
    ids=str,
)
def test_size_that_a_network_does_not_take_names_one_that_it_does(options, sentence):
    module = SegmentationModule(**{"encoder": "test_resnet", "size": (64, 128), **options})
    with pytest.raises(InputError, match=sentence):
        check_network_runs(module)


def test_sizes_of_the_first_epochs_are_tried_too():
    module = SegmentationModule("test_resnet", architecture="pan", size=(128, 128))
    check_network_runs(module, [(128, 256)])
    with pytest.raises(InputError, match=r"\[60, 100\], a size of data\.start: "):
        check_network_runs(module, [(128, 256), (60, 100)])


@pytest.mark.parametrize(
    ("options", "size", "tta", "sentence"),
    [
        (
            {"architecture": "pan", "size": (128, 128)},
            (60, 100),
            "none",
            r"it takes size=\[128,128",
        ),
        ({"encoder": FIXED, "size": (224, 224)}, (64, 64), "none", r"it takes size=\[224,224"),
        ({"encoder": FIXED, "size": (224, 224)}, None, "flip_scale", "give tta=flip"),
    ],
    ids=str,
)
def test_size_that_a_network_does_not_predict_at_is_a_sentence(
    tmp_path, options, size, tta, sentence
):
    save(SegmentationModule(**{"encoder": "test_resnet", **options}), tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=sentence):
        load_predictor([tmp_path / "a.ckpt"], views_of(tta), size)
    load_predictor([tmp_path / "a.ckpt"], views_of("flip"), None)


def test_learning_rates_of_the_encoder_decay_by_layer():
    module = SegmentationModule("test_resnet", encoder_lr_scale=0.5, encoder_lr_decay=0.9)
    optimizer = module.configure_optimizers()["optimizer"]
    decoder, *layers = [group["lr"] for group in optimizer.param_groups]
    assert layers[-1] == pytest.approx(0.5 * decoder)
    assert layers[0] == pytest.approx(0.9 ** (len(layers) - 1) * layers[-1])
    first = next(module.network.encoder().parameters())
    assert optimizer.param_groups[1]["params"][0] is first
    trained = sum(len(group["params"]) for group in optimizer.param_groups)
    assert trained == len([*module.parameters()])


def test_batch_of_one_where_photos_are_pooled_is_a_sentence():
    module = SegmentationModule("test_resnet", size=(64, 128), architecture="deeplabv3plus")
    batch = {"image": torch.rand(1, 3, 64, 128), "mask": torch.zeros(1, 1, 64, 128), "name": "a"}
    with pytest.raises(InputError, match=r"data\.batch_size"):
        module.training_step(batch, 0)
