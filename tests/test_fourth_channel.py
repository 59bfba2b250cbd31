"""A mask as the fourth channel of photos: made, trained on, predicted with, exported."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, TINY, predict_with, run_job, write_pairs, write_rgb
from hydra import compose, initialize_config_dir
from PIL import Image

from flukeseg import MaskDropout, Segmenter, evaluate, export, train
from flukeseg.data.augmentation import Augmentation
from flukeseg.data.pseudo_labels import UNKNOWN
from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import PredictedMask, TrueMask
from flukeseg.evaluation.pictures import draw_masks
from flukeseg.images.rgbm import read_rgbm
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module
from flukeseg.model.module import SegmentationModule
from flukeseg.rendering import render
from flukeseg.serve import make_app

SETTINGS = (
    "+experiment=seresnet34", "data=folder", "data.root=pairs", "data.val_count=2", *TINY,
    "trainer.max_epochs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_runs):
    """A folder with pairs whose masks were predicted, and a run that was trained on both."""
    root = tmp_path_factory.mktemp("rgbm")
    write_pairs(root / "pairs", 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        predict_with(
            f"checkpoint={tiny_runs[0]}", "source=pairs/images", "output=pairs", "products=[rgbm]"
        )
        run_job(
            train, *SETTINGS, "model.in_channels=4", f"model.start_from={tiny_runs[0]}",
            "hydra.run.dir=run",
        )  # fmt: skip
    return root


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_photos_without_their_masks_are_not_judged_as_empty(here, capsys):
    with pytest.raises(SystemExit):
        run_job(evaluate, "checkpoint=run", "data=folder", "data.root=pairs", "output=wrong",
                "trainer.accelerator=cpu", "num_workers=0", "runtime=torch")  # fmt: skip
    assert "want data.in_channels=4" in capsys.readouterr().err


def test_requests_over_http_have_no_masks(here):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("serve", ["checkpoint=run", "runtime=torch", "device=cpu"])
    with pytest.raises(InputError, match="checkpoint=run takes photos with masks"):
        make_app(cfg)


def test_checkpoint_says_that_it_takes_masks(trained):
    module = load_module(find_checkpoint(trained / "run"))
    assert module.hparams["in_channels"] == 4
    assert module.network.mean.flatten().tolist()[3] == 0
    assert module(torch.rand(1, 4, 32, 64)).shape == (1, 1, 32, 64)


def test_products_show_the_photo_and_not_what_alpha_hides(here):
    predict_with(
        "checkpoint=run", "source=pairs/rgbm", "output=masks",
        "products=[overlay,rgbm,coco,gallery]", "rgbm_size=null",
    )  # fmt: skip
    names = sorted(path.name for path in (here / "masks/mask").iterdir())
    assert names == [f"fluke_{i:02d}.png" for i in range(6)]
    for name in names:
        made, given = (read_rgbm(here / folder / name) for folder in ("masks/rgbm", "pairs/rgbm"))
        np.testing.assert_array_equal(made[..., :3], given[..., :3])
    # a mask that a person changed is followed with the same photo
    cv2.imwrite("masks/mask/fluke_00.png", np.full((64, 128), 255, np.uint8))
    predict_with(
        "checkpoint=run", "source=pairs/rgbm", "output=masks",
        "products=[overlay,rgbm,coco,gallery]", "rgbm_size=null",
    )  # fmt: skip
    made, given = (read_rgbm(here / f / names[0]) for f in ("masks/rgbm", "pairs/rgbm"))
    np.testing.assert_array_equal(made[..., :3], given[..., :3])
    assert (made[..., 3] == 255).all()


def test_photos_without_masks_are_named_and_say_what_is_needed(here):
    predict_with("checkpoint=run", "source=pairs/images", "output=none")
    assert "give a PNG of four channels" in (here / "none/predictions.csv").read_text()


def test_from_python_it_takes_files_pictures_arrays_and_tensors(here):
    segmenter = Segmenter.from_checkpoint("run", runtime="torch")
    path = here / "pairs/rgbm/fluke_01.png"
    rgbm = read_rgbm(path)
    expected = segmenter(path).probability
    for same in (rgbm, Image.open(path), torch.from_numpy(rgbm).permute(2, 0, 1)):
        np.testing.assert_array_equal(segmenter(same).probability, expected)
    with pytest.raises(InputError, match="must have 4 channels"):
        segmenter(rgbm[..., :3])


def test_it_is_judged_and_exported(here):
    run_job(
        evaluate, "runtime=torch", "checkpoint=run", "data=folder", "data.root=pairs",
        "data.in_channels=4", "output=report", "num_workers=0", "trainer.accelerator=cpu",
    )  # fmt: skip
    assert len((here / "report/per_photo.csv").read_text().splitlines()) == 3
    run_job(export, "checkpoint=run", "format=torchscript", "output=a.pt")
    predict_with("checkpoint=a.pt", "source=pairs/rgbm/fluke_01.png", "output=exported")
    assert (here / "exported/mask/fluke_01.png").is_file()


def test_report_shows_the_photo_and_not_what_alpha_hides(here):
    rgbm, mask = here / "pairs/rgbm/fluke_01.png", here / "pairs/masks/fluke_01.png"
    write_rgb(here / "shown/fluke_01.png", read_rgbm(rgbm)[..., :3])
    guess = PredictedMask(mask)
    shown = [
        draw_masks(truth, guess, 10_000)
        for truth in (
            TrueMask(mask, photo=rgbm, in_channels=4),
            TrueMask(mask, photo=here / "shown/fluke_01.png"),
        )
    ]
    assert shown[0] == shown[1]
    assert shown[0] != draw_masks(TrueMask(mask), guess, 10_000)


def test_stress_suite_takes_photos_alone(here, capsys):
    with pytest.raises(SystemExit):
        run_job(
            evaluate, "checkpoint=run", "data=folder", "data.root=pairs", "data.in_channels=4",
            "output=stressed", "stress=true",
        )  # fmt: skip
    assert "stress=true changes photos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["data=synthetic"], "data=folder"),
        (["data=folder", "data.root=bare", "data.val_count=2"], r"products=\[rgbm\]"),
    ],
    ids=str,
)
def test_data_without_masks_is_a_sentence(tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    write_pairs(Path("bare"), 1, (16, 32))
    with pytest.raises(SystemExit):
        run_job(train, *TINY, *options, "model.in_channels=4")
    assert re.search(sentence, capsys.readouterr().err)


def test_a_photo_network_becomes_one_for_masks_that_does_the_same(tiny_runs):
    alone = load_module(find_checkpoint(tiny_runs[0]))
    start = str(tiny_runs[0])
    both = SegmentationModule("test_resnet", start_from=start, size=(32, 64), in_channels=4).eval()
    image = torch.rand(2, 3, 32, 64)
    with torch.inference_mode():
        for mask in (torch.zeros(2, 1, 32, 64), torch.ones(2, 1, 32, 64)):
            torch.testing.assert_close(both(torch.cat([image, mask], 1)), alone(image))
        with pytest.raises(InputError, match="fourth channel"):
            both(image)
        with pytest.raises(InputError, match="fourth channel"):
            alone(torch.rand(1, 4, 32, 64))


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_masks_are_dropped_in_training_only(tiny_runs):
    module = SegmentationModule("test_resnet", size=(32, 64), in_channels=4, mask_dropout=1)
    seen = []
    module.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = {"image": torch.ones(2, 4, 32, 64), "mask": torch.zeros(2, 1, 32, 64), "name": "a"}
    module.training_step(batch, 0)
    module.eval()
    module.predict_step(batch)
    assert not seen[0][:, 3].any()
    assert seen[0][:, :3].all()
    assert seen[1][:, 3].all()


@pytest.mark.parametrize("unknown", [False, True])
def test_the_mask_of_a_photo_moves_as_its_own_mask(unknown):
    picture = render((3, 1), (64, 128))
    truth = picture.mask.copy()
    if unknown:
        truth[:8] = UNKNOWN
    rgbm = np.dstack([picture.image, (truth == 1) * np.uint8(255)])
    moved, mask = Augmentation(2.0)(rgbm, truth, (1, 2))
    assert moved.shape == rgbm.shape
    assert set(np.unique(moved[..., 3])) <= {0, 255}
    np.testing.assert_array_equal((moved[..., 3] > 0) & (mask != UNKNOWN), mask == 1)
    alone, same = Augmentation(2.0)(picture.image, truth, (1, 2))
    np.testing.assert_array_equal(moved[..., :3], alone)
    assert (mask != same).mean() < 0.002  # OpenCV rounds two planes otherwise than one


def test_dropout_takes_arrays_and_pictures():
    rgbm = np.full((5, 6, 4), 255, np.uint8)
    torch.manual_seed(0)
    gone = MaskDropout(1)(rgbm)
    assert not gone[..., 3].any()
    assert rgbm.all()
    assert gone[..., :3].all()
    batch = MaskDropout(0.5)(np.stack([rgbm] * 40))
    assert 5 < sum(one[..., 3].any() for one in batch) < 35
    picture = MaskDropout(1)(Image.fromarray(rgbm))
    np.testing.assert_array_equal(np.asarray(picture), gone)
    for wrong in (rgbm[..., :3], Image.fromarray(rgbm[..., :3])):
        with pytest.raises(InputError, match="photos with masks are"):
            MaskDropout()(wrong)


def test_a_list_is_segmented_in_batches(tiny_runs, tmp_path):
    segmenter = Segmenter.from_checkpoint(tiny_runs[0], runtime="torch", batch_size=2)
    photos = [render((6, i), (40 + i, 70)).image for i in range(3)]
    write_rgb(tmp_path / "a.png", photos[0])
    found = segmenter([tmp_path / "a.png", torch.from_numpy(photos[1]).permute(2, 0, 1), photos[2]])
    for one, photo in zip(found, photos, strict=True):
        np.testing.assert_allclose(one.probability, segmenter(photo).probability, atol=1e-5)
    grey = torch.from_numpy(photos[0][..., :1]).permute(2, 0, 1)
    expected = segmenter(photos[0][..., 0]).probability
    np.testing.assert_array_equal(segmenter(grey / 255).probability, expected)
    np.testing.assert_array_equal(segmenter(grey[0]).probability, expected)
    assert segmenter([]) == []
    with pytest.raises(InputError, match=r"0\.\.1"):
        segmenter(grey.float())


def test_the_recipe_for_timm_runs(tmp_path, monkeypatch):
    recipes = (Path(__file__).parents[1] / "conf" / "RECIPES.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```python\n(import flukeseg, timm.*?)```", recipes, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    picture = render(3, (40, 80))
    content = np.dstack([picture.image[..., ::-1], 255 * picture.mask])
    Path("MASKS/rgbm").mkdir(parents=True)
    cv2.imwrite("MASKS/rgbm/photo.png", content)
    names: dict = {}
    # the weights come from a hub
    exec(recipe.replace("pretrained=True", "pretrained=False"), names)
    assert names["embedding"].shape == (1, 1280)
    assert tuple(names["rgbm"].shape) == (4, 256, 512)
    assert names["rgbm"].max() == 1
