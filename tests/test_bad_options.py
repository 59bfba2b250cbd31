"""Options out of range, of another type, or that name what is not there: one sentence each."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY
from exchange_data import random_masks, write_predictions
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from flukeseg import (
    benchmark,
    collect,
    command_line,
    evaluate,
    export,
    predict,
    selftrain,
    tables,
    train,
)
from flukeseg.annotations import exchange
from flukeseg.installation import CONF
from flukeseg.review import __main__ as review
from flukeseg.training.trainer import quiet_lightning

JOBS: dict[str, tuple[Callable[[DictConfig], Any], list[str]]] = {
    "predict": (predict.predict, ["source={pairs}/images", "output=out"]),
    "train": (train.train, ["data=folder", "data.root={pairs}", "data.val_count=4", *TINY,
                            "folder=out"]),
    "evaluate": (evaluate.evaluate, ["output=out", "data=folder", "data.root={pairs}",
                                     "data.size=[32,64]",
                                     "data.val_count=4"]),
    "export": (export.export, ["checkpoint={run}", "format=torchscript", "output=out.pt"]),
    "selftrain": (selftrain.selftrain, ["source={pairs}/images", "output=out",
                                        *(o for o in TINY if "encoder" not in o)]),
    "benchmark": (benchmark.benchmark, ["source={pairs}/images", "output=out",
                                        "data.root={pairs}", "parts=[machine]"]),
    "annotations": (exchange, ["predictions={predicted}", "output=out", "format=coco",
                                           "direction=export"]),
    "tables": (tables.make_tables, ["predictions={predicted}", "output=out"]),
    "collect": (collect.collect, ["predictions={predicted}", "output=out"]),
    "review": (review.review, ["output=out", "source={pairs}/images", "open_browser=false"]),
}  # fmt: skip

PREDICTS = ("predict", "evaluate", "selftrain", "benchmark")

OPTIONS: dict[str, str] = {
    "predict source=null": "source=None",
    "predict remake=perhaps": "remake=perhaps must be true or false",
    "evaluate checkpoint={run} stress=perhaps": "stress=perhaps must be true or false",
    "export int8=perhaps": "int8=perhaps must be true or false",
    "review open_browser=perhaps": "open_browser=perhaps must be true or false",
    "train augmentation.extra_first=perhaps": "extra_first=perhaps must be true or false",
    "predict source=[]": "source=[]",
    "predict source=nowhere": "nowhere",
    "predict source=nowhere/*.jpg": "nowhere/*.jpg",
    "predict source=[nowhere]": "nowhere",
    "predict source=empty": "empty",
    "predict output=null": "output=None",
    "predict output=file": "file cannot be written",
    "predict output=file/out": "file/out cannot be written",
    "predict checkpoint=null": "checkpoint=None",
    "predict checkpoint=nowhere": "nowhere",
    "predict checkpoint=file": "file",
    "predict checkpoint=empty": "empty",
    "predict checkpoint=[]": "checkpoint",
    "predict checkpoint=[rendered,nowhere]": "nowhere",
    "predict checkpoint=7": "checkpoint=7",
    "predict products=[masks]": "masks",
    "predict products=masks": "masks",
    "predict products=[7]": "7",
    "predict products=[[mask]]": "mask",
    "predict crop_margin=-1": "crop_margin=-1",
    "predict crop_margin=wide": "crop_margin=wide",
    "predict crop_margin=.nan": "crop_margin=nan",
    "predict probability_bits=12": "probability_bits=12",
    "predict rgbm_size=256": "rgbm_size=256",
    "predict rgbm_size=[256,0]": "rgbm_size=0",
    "predict rgbm_size=[a,b]": "rgbm_size=a",
    "predict aligned_size=null": "aligned_size",
    "predict aligned_size=[1,2,3]": "aligned_size=",
    "predict size=[0,64]": "size=0",
    "predict size=[-32,64]": "size=-32",
    "predict size=[32]": "size=",
    "predict size=[32.5,64]": "size=32.5",
    "predict size=[100000,64]": "size=100000",
    "predict size=64": "size=64",
    "predict size={height:64}": "size=",
    "predict tta=flop": "tta=flop",
    "predict tta=null": "tta=",
    "predict tta=[flip]": "tta=",
    "predict threshold=0": "threshold=0",
    "predict threshold=1": "threshold=1",
    "predict threshold=-0.5": "threshold=-0.5",
    "predict threshold=half": "threshold=half",
    "predict threshold=null": "threshold=None",
    "predict threshold=true": "threshold=True",
    "predict threshold=.nan": "threshold=nan",
    "predict threshold=[0.5]": "threshold=",
    "predict cleaning=null": "cleaning=None",
    "predict cleaning.island_share=2": "cleaning.island_share=2",
    "predict cleaning.island_share=-1": "cleaning.island_share=-1",
    "predict cleaning.island_share=x": "cleaning.island_share=x",
    "predict cleaning.hole_share=2": "cleaning.hole_share=2",
    "predict cleaning.hole_share=null": "cleaning.hole_share=None",
    "predict cleaning.min_coverage=2": "cleaning.min_coverage=2",
    "predict cleaning.min_coverage=[]": "cleaning.min_coverage=[]",
    "predict review=null": "review=None",
    "predict review.islands=2": "review.islands=2",
    "predict review.disagreement=x": "review.disagreement=x",
    "predict review.frame=-1": "review.frame=-1",
    "predict review.tiny=true": "review.tiny=True",
    "predict review.large=.inf": "review.large=inf",
    "predict shard=0/3": "shard=0/3",
    "predict shard=4/3": "shard=4/3",
    "predict shard=3": "shard=3",
    "predict shard=merged": "shard=merged",
    "predict shard=merge": "12 photos are not done",
    "predict runtime=fast": "runtime=fast",
    "predict runtime=null": "runtime=None",
    "predict batch_size=0": "batch_size=0",
    "predict batch_size=-8": "batch_size=-8",
    "predict batch_size=1.5": "batch_size=1.5",
    "predict batch_size=many": "batch_size=many",
    "predict batch_size=null": "batch_size=None",
    "predict num_workers=-1": "num_workers=-1",
    "predict num_workers=few": "num_workers=few",
    "predict max_pixels=0": "max_pixels=0",
    "predict max_pixels=-1": "max_pixels=-1",
    "predict max_pixels=1e6": "max_pixels=1e6",
    "predict max_pixels=null": "max_pixels=None",
    "predict trainer.accelerator=quantum": "trainer.accelerator=quantum",
    "predict trainer.devices=-5": "trainer.devices=-5",
    "predict trainer.devices=x": "trainer.devices=x",
    "predict trainer.precision=7": "trainer.precision=7",
    "train seed=-1": "seed=-1",
    "train seed=null": "seed=None",
    "train seed=x": "seed=x",
    "train seed=4294967296": "seed=4294967296",
    "train ckpt_path=first": "ckpt_path=first",
    "train ckpt_path=last": "out/checkpoints/last.ckpt",
    "train trainer.max_epochs=-1": "trainer.max_epochs=-1",
    "train trainer.max_epochs=x": "trainer.max_epochs=x",
    "train trainer.max_epochs=null": "trainer.max_epochs=None",
    "train data.root=nowhere": "nowhere",
    "train data.root=file": "file",
    "train data.root=empty": "empty",
    "train data.root=null": "data.root=None",
    "train data.size=[0,64]": "data.size=0",
    "train data.size=null": "data.size=None",
    "train data.batch_size=0": "data.batch_size=0",
    "train data.batch_size=x": "data.batch_size=x",
    "train data.total_batch_size=-2": "data.total_batch_size=-2",
    "train data.num_workers=-1": "data.num_workers=-1",
    "train data.num_workers=x": "data.num_workers=x",
    "train data.val_count=0": "data.val_count=0",
    "train data.val_count=12": "data.val_count=12",
    "train data.val_count=x": "data.val_count=x",
    "train data.folds=5": "data.folds and data.fold",
    "train data.folds=1 data.fold=0": "data.folds=1",
    "train data.folds=13 data.fold=0": "data.folds=13",
    "train data.folds=3 data.fold=3": "data.fold=3",
    "train data.folds=3 data.fold=-1": "data.fold=-1",
    "train data.folds=3 data.fold=x": "data.fold=x",
    "train data.mask_threshold=-1": "data.mask_threshold=-1",
    "train data.mask_threshold=255": "data.mask_threshold=255",
    "train data.test_root=nowhere": "nowhere",
    "train augmentation.strength=-1": "augmentation.strength=-1",
    "train augmentation.strength=99": "augmentation.strength=99",
    "train augmentation.strength=x": "augmentation.strength=x",
    "train model.encoder=resnet0": "resnet0",
    "train model.encoder=null": "model.encoder=None",
    "train model.encoder=tu-nothing": "tu-nothing",
    "train model.encoder=[resnet18]": "model.encoder=",
    "train model.encoder_weights=nowhere.pth": "nowhere.pth",
    "train model.encoder_weights=file": "file",
    "train model.encoder_weights=package": "package",
    "train model.start_from=nowhere": "nowhere",
    "train model.start_from=file": "file",
    "train model.start_from=rendered": "does not hold this network",
    "train model.architecture=u-net": "u-net",
    "train model.architecture=null": "model.architecture=None",
    "train model.decoder={nothing:1}": "nothing",
    "train model.decoder={decoder_channels:[1]}": "decoder",
    "train model.schedule=cosin": "model.schedule=cosin",
    "train model.schedule_interval=day": "model.schedule_interval=day",
    "train model.optimizer.lr=-1": "model.optimizer",
    "train model.optimizer.lr=abc": "model.optimizer.lr=abc",
    "train model.optimizer.lr=null": "model.optimizer.lr",
    "train model.optimizer._target_=torch.optim.Adamm": "Adamm",
    "train model.encoder_lr_scale=-1": "model.encoder_lr_scale=-1",
    "train model.loss.smooth=-1": "smooth",
    "train model.loss.bce_weight=-1": "bce_weight",
    "train model.loss.dice_weight=x": "dice_weight",
    "train model.loss._target_=flukeseg.Nothing": "Nothing",
    "train callbacks.early_stopping.monitor=val/dise": "val/dise",
    "train callbacks.best.monitor=val/dise": "val/dise",
    "train callbacks.early_stopping.mode=most": "most",
    "train trainer.accelerator=gpu": "trainer.accelerator=gpu",
    "train trainer.precision=8": "trainer.precision=8",
    "train trainer.devices=0": "trainer.devices=0",
    "evaluate seed=0": "give predictions=DIR truth=DIR",
    "evaluate predictions={predicted}": "truth has no value",
    "evaluate predictions=nowhere truth={pairs}/masks": "predictions=nowhere",
    "evaluate predictions=file truth={pairs}/masks": "predictions=file",
    "evaluate predictions=empty truth={pairs}/masks": "predictions=empty has no masks",
    "evaluate predictions={predicted} truth=nowhere": "truth=nowhere",
    "evaluate predictions={predicted} truth=empty": "truth=empty has no masks",
    "evaluate predictions={predicted} truth={pairs}/masks": "no prediction has the name",
    "evaluate checkpoint={run} data=null": "data has no value",
    "evaluate checkpoint={run} subset=some": "subset=some",
    "evaluate checkpoint={run} sizes=[[0,1]]": "sizes=0",
    "evaluate checkpoint={run} sizes=7": "sizes=7",
    "evaluate checkpoint={run} stress=true tta=[flip,none]": "stress=true",
    "evaluate checkpoint={run} threshold=[0.5,2]": "threshold=2",
    "evaluate checkpoint={run} tta=[flip,flop]": "tta=flop",
    "evaluate checkpoint={run} data.val_count=99": "data.val_count=99",
    "evaluate checkpoint=nowhere": "nowhere",
    "evaluate runs=nowhere": "nowhere",
    "evaluate runs=empty": "runs=empty",
    "evaluate shard=1/2 predictions={predicted} truth={pairs}": "shard=1/2",
    "export format=tensorrt": "format=tensorrt",
    "export format=null": "format=None",
    "export checkpoint=nowhere": "nowhere",
    "export checkpoint=file": "file",
    "export output=out.onnx": "out.onnx must end in",
    "export output=file/out.pt": "file/out.pt cannot be written",
    "export threshold=2": "threshold=2",
    "selftrain source=null": "source=None",
    "selftrain source=nowhere": "nowhere",
    "selftrain source=nowhere.tar": "nowhere.tar",
    "selftrain source=file.tar": "file.tar",
    "selftrain checkpoint=nowhere": "nowhere",
    "selftrain checkpoint=null": "checkpoint=None",
    "selftrain rounds=0": "rounds=0",
    "selftrain rounds=x": "rounds=x",
    "selftrain most=0": "most=0",
    "selftrain most=x": "most=x",
    "selftrain gate.good=2": "gate.good=2",
    "selftrain gate.precision=-1": "gate.precision=-1",
    "selftrain gate.disagreement=x": "gate.disagreement=x",
    "selftrain gate.sure=0.4": "gate.sure=0.4",
    "selftrain gate.spread=.nan": "gate.spread=nan",
    "selftrain gate.val_count=-1": "gate.val_count=-1",
    "selftrain calibrate_on=nowhere": "calibrate_on=nowhere",
    "selftrain calibrate_on=empty": "calibrate_on=empty",
    "selftrain calibrate_count=0": "calibrate_count=0",
    "selftrain photo_size=[0,1]": "photo_size=0",
    "selftrain shard=1/2": "shard=1/2",
    "benchmark parts=[speed]": "parts=speed",
    "benchmark parts=[quality] renderings=0": "renderings=0",
    "benchmark turns=0": "turns=0",
    "benchmark parts=[end_to_end] photos=0": "photos=0",
    "annotations format=voc": "format=voc",
    "annotations format=null": "format=None",
    "annotations direction=both": "direction=both",
    "annotations format=cvat": "format=cvat",
    "annotations predictions=nowhere": "predictions=nowhere",
    "annotations predictions=empty": "predictions=empty",
    "annotations predictions=file": "predictions=file",
    "annotations output=file/out": "file/out cannot be written",
    "annotations direction=import": "source=null",
    "annotations direction=import source=nowhere": "source=nowhere",
    "annotations direction=import source=file": "file",
    "annotations direction=import source=file format=cvat": "file",
    "annotations direction=import source=file format=via": "file",
    "annotations direction=import source=file format=label_studio": "file",
    "annotations direction=import source=empty format=labelme": "source=empty",
    "tables tables=[miewID]": "tables=miewID",
    "tables tables=[]": "tables=[]",
    "tables table.flukes=some": "flukes=some",
    "tables predictions=nowhere": "predictions=nowhere",
    "tables individuals=nowhere.csv": "individuals=nowhere.csv",
    "tables individuals=file": "individuals=file",
    "tables table.species=Megaptera tables=[wildbook]": "species=Megaptera",
    "tables table.year=20x4 tables=[wildbook]": "year=20x4",
    "tables tables=[wildbook]": "has no date",
    "tables output=file/out": "file/out/miewid.csv cannot be written",
    "collect predictions=nowhere": "predictions=nowhere",
    "collect predictions=file": "predictions=file",
    "collect predictions={predicted}": "has no mask that was corrected",
    "review source=null": "output=out",
    "review source=nowhere": "nowhere",
    "review port=-1": "port=-1",
    "review port=99999": "port=99999",
    "review port=x": "port=x",
    "review output=file": "file",
}  # fmt: skip
"""By what is wrong in a command, what the sentence says."""


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_runs, shared_pairs) -> dict[str, str]:
    """What options name."""
    root = tmp_path_factory.mktemp("given")
    predicted = write_predictions(root, random_masks(3))
    return {"run": str(tiny_runs[0]), "pairs": str(shared_pairs), "predicted": str(predicted)}


@pytest.fixture(scope="module")
def configurations(given) -> dict[str, DictConfig]:
    """The configuration of each job, to be changed: composing one takes longer than the test."""
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for job, (_, options) in JOBS.items():
            named = [option.format(**given) for option in options]
            if job in PREDICTS:
                named += ["num_workers=0", "trainer.accelerator=cpu", "runtime=torch"]
            found[job] = compose(job, named)
    return found


@pytest.mark.bad_input
@pytest.mark.parametrize("line", OPTIONS)
def test_a_bad_option_ends_in_a_sentence(
    line, given, configurations, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").write_text("text")
    Path("file.tar").write_text("text")
    job, *options = shlex.split(line)
    cfg = copy.deepcopy(configurations[job])
    for option in options:
        for name, value in given.items():
            option = option.replace("{" + name + "}", value)
        key, _, value = option.partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value), merge=False)
    if job == "evaluate" and "checkpoint=" not in line:  # the only form that judges on data
        cfg.data = None
    with (
        pytest.raises(SystemExit) as ended,
        command_line.report_user_errors(),
        quiet_lightning(),
    ):
        JOBS[job][0](cfg)
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ")
    assert OPTIONS[line] in said[-1]
    assert len(said[-1]) < 600
