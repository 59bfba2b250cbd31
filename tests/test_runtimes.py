"""Exported networks give what torch gives, in any batch and size."""

import importlib.util
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import run_job, write_rgb
from hydra import compose, initialize_config_dir

from flukeseg import Segmenter, benchmark, export
from flukeseg.errors import InputError
from flukeseg.installation import CONF
from flukeseg.masks.metrics import dice
from flukeseg.model import conversion, runtimes
from flukeseg.model.checkpoint_files import find_checkpoint, has_masks_of
from flukeseg.model.checkpoints import load_module, load_predictor
from flukeseg.model.conversion import to_openvino
from flukeseg.model.exported import FORMATS, Facts, load_exported
from flukeseg.model.network import FlukeNetwork, ProbabilityNetwork
from flukeseg.model.runtimes import (
    choose_runtime,
    compute_openvino,
    openvino_core,
    openvino_settings,
)
from flukeseg.model.tta import views_of
from flukeseg.predict import is_plain
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.pretrained import NETWORKS
from flukeseg.rendering import render
from flukeseg.training.shrink import halve

RUNTIME = {"onnx": "onnx", "openvino": "openvino", "torchscript": "torch"}
formats = pytest.mark.parametrize("form", sorted(FORMATS))


@pytest.fixture
def run_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(run_job, export)


def exported(run_export, run: Path, form: str) -> Path:
    path = Path(f"network{FORMATS[form]}")
    run_export(f"checkpoint={run}", f"format={form}", f"output={path}", "threshold=0.4")
    return path


def converted(network: FlukeNetwork) -> runtimes.Compute:
    settings = openvino_settings("32-true")
    return compute_openvino(openvino_core().compile_model(to_openvino(network), "CPU", settings))


def test_weights_are_averaged_with_those_that_were_there(tiny_runs, tmp_path):
    one, two = (
        torch.load(find_checkpoint(run), weights_only=True)["state_dict"] for run in tiny_runs
    )
    path = tmp_path / "mean.ckpt"
    halve(find_checkpoint(tiny_runs[1]), path)
    halve(find_checkpoint(tiny_runs[0]), path, 0.25)
    found = torch.load(path, weights_only=True)["state_dict"]
    assert found.keys() == {name for name in one if name.startswith("network.")}
    for name, tensor in found.items():
        if tensor.is_floating_point():
            expected = 0.25 * one[name] + 0.75 * two[name]
            torch.testing.assert_close(tensor.float(), expected, atol=2e-3, rtol=2e-3)


@formats
def test_a_file_gives_what_torch_gives(run_export, tiny_runs, form):
    path = exported(run_export, tiny_runs[0], form)
    compute, facts = load_exported(path, RUNTIME[form], "32-true")
    assert facts.size == (32, 64)
    assert (facts.encoder, facts.threshold) == ("test_resnet", 0.4)
    assert facts.name.startswith("epoch=001")
    network = ProbabilityNetwork(load_module(find_checkpoint(tiny_runs[0])).network)
    for shape in ((1, 3, 32, 64), (3, 3, 64, 64), (2, 3, 41, 97), (1, 3, 5, 5)):
        image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = network(image).numpy()
        assert expected.std() > 0 or shape[2] == 5
        np.testing.assert_allclose(compute(image.numpy()), expected, atol=1e-5)


@formats
def test_a_file_is_a_checkpoint_like_any_other(run_export, run_predict, tiny_runs, form):
    path = exported(run_export, tiny_runs[0], form)
    for seed in range(3):
        write_rgb(Path(f"photos/{seed}.jpg"), render((5, seed), (96, 160)).image)
    precision = "trainer.precision=32-true"
    run_predict(f"checkpoint={tiny_runs[0]}", "source=photos", "output=plain", precision)
    run_predict(f"checkpoint={path}", "source=photos", "output=file", precision, "runtime=auto")
    for mask in sorted(Path("plain/mask").rglob("*.png")):
        one = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
        two = cv2.imread(str("file" / mask.relative_to("plain")), cv2.IMREAD_GRAYSCALE)
        assert np.count_nonzero(one != two) <= 2


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_a_checkpoint_is_converted_for_a_runtime(tiny_runs, runtime):
    paths = [find_checkpoint(run) for run in tiny_runs]
    image = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(2))
    views = views_of("flip_scale")
    predictor = load_predictor(paths, views, runtime=runtime, precision="32-true")
    assert (predictor.runtime, predictor.size) == (runtime, (32, 64))
    with torch.inference_mode():
        expected = load_predictor(paths, views)(image)
    for value, wanted in zip(predictor(image.numpy()), expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-4)


def test_branches_of_training_become_one_convolution():
    torch.manual_seed(3)
    network = FlukeNetwork("mobileone_s0")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.7, 1.5)
    image = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        expected = ProbabilityNetwork(network.eval())(image).numpy()
    assert expected.std() > 0.01
    found = converted(network)(image.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ops = [op.get_type_name() for op in to_openvino(network).get_ops()]
    branches = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert sum("Convolution" in op for op in ops) < branches / 2


def test_what_is_exported_is_not_exported_again(run_export, tiny_runs, capsys):
    path = exported(run_export, tiny_runs[0], "onnx")
    with pytest.raises(SystemExit):
        run_export(f"checkpoint={path}", "format=openvino", "output=b.xml")
    assert "is exported already; give a .ckpt" in capsys.readouterr().err


def test_a_result_outlives_the_next_one(tiny_runs):
    """OpenVINO computes into the same memory each time."""
    network = load_module(find_checkpoint(tiny_runs[0])).network
    compute = converted(network)
    first = compute(np.zeros((1, 3, 32, 64), np.float32))
    kept = first.copy()
    compute(np.ones((1, 3, 32, 64), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_a_file_that_differs_is_not_left(run_export, tiny_runs, monkeypatch, capsys):
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(SystemExit):
        exported(run_export, tiny_runs[0], "openvino")
    assert "too much; it was removed" in capsys.readouterr().err
    assert not list(Path().glob("network.*"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["format=onnxx"], "format=onnxx must be one of"),
        (["format=onnx", "output=x.xml"], "must end in .onnx"),
        (["format=onnx", "checkpoint=gone"], "checkpoint=gone does not exist"),
    ],
)
def test_wrong_exports_are_one_sentence(run_export, tiny_runs, capsys, options, sentence):
    with pytest.raises(SystemExit):
        run_export(f"checkpoint={tiny_runs[0]}", *options)
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ")
    assert sentence in error[-1]


def test_runtimes_that_cannot_be():
    with pytest.raises(InputError, match="runtime=tensorrt must be one of"):
        choose_runtime("tensorrt", "torch")
    with pytest.raises(InputError, match="cannot compute a openvino file"):
        choose_runtime("torch", "openvino")
    assert choose_runtime("auto", "openvino") == "openvino"
    assert choose_runtime("auto", "torchscript") == "torch"


def test_a_checkpoint_reaches_other_runtimes_through_onnx(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(runtimes, "find_spec", lambda name: name != "onnx" and found(name))
    assert choose_runtime("auto", "torch") == "torch"
    assert choose_runtime("auto", "openvino") == "openvino"
    with pytest.raises(InputError, match="runtime=openvino is not installed; pip install"):
        choose_runtime("openvino", "torch")
    with pytest.raises(InputError, match="format=openvino needs onnx; pip install"):
        conversion.save(FlukeNetwork("test_resnet"), Path("a.xml"), "openvino", "")


@pytest.mark.parametrize(
    ("option", "plain"),
    [
        ("trainer.accelerator=cpu", True),
        ("trainer.devices=-5", False),
        ("trainer.precision=16-mixed", False),
        ("trainer=ddp", False),
        ("+trainer.num_nodes=2", False),
    ],
)
def test_what_asks_for_more_than_one_process_on_the_processor_needs_a_trainer(option, plain):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("predict", ["source=a", "output=b", option])
    assert is_plain(cfg.trainer) is plain


@formats
def test_a_strangers_file_is_refused(tmp_path, form):
    path = tmp_path / f"network{FORMATS[form]}"
    path.write_bytes(b"no network")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_exported(path, RUNTIME[form])
    with pytest.raises(InputError, match="has no metadata of flukeseg"):
        Facts.read(path, '{"size": 3}')
    with pytest.raises(InputError, match="has no metadata of flukeseg"):
        Facts.read(path, '{"size": [0, -5], "encoder": "any"}')


def test_files_of_one_runtime_are_averaged(run_export, tiny_runs):
    path = exported(run_export, tiny_runs[0], "torchscript")
    checkpoints = [find_checkpoint(run) for run in tiny_runs]
    with pytest.raises(InputError, match="needs openvino and torch; average files that one"):
        load_predictor([path, checkpoints[1]], runtime="auto")
    image = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        mixed = load_predictor([path, checkpoints[1]])(image).probability
        expected = load_predictor(checkpoints)(image).probability
    torch.testing.assert_close(mixed, expected)


def test_flukesegs_own_network_is_whole_and_finds_flukes():
    segmenter = Segmenter.from_checkpoint("rendered", runtime="torch", precision="32-true")
    for number in range(2, 5):
        picture = render((5, number), (350, 700))
        assert dice(segmenter(picture.image).mask > 0, picture.mask > 0) > 0.9


def test_flukesegs_own_network_is_exported_to_here(run_export):
    run_export("checkpoint=rendered", "format=torchscript")
    assert Path("rendered.pt").is_file()


@formats
@pytest.mark.parametrize(
    "name", ["rendered.ckpt@" + NETWORKS["rendered"].sha256[:12], "best.ckpt@01"]
)
def test_a_file_says_whether_it_is_flukesegs_own_network(tiny_runs, tmp_path, form, name):
    network = load_module(find_checkpoint(tiny_runs[0])).network
    path = tmp_path / f"network{FORMATS[form]}"
    assert not has_masks_of(str(path), "rendered")  # it is not there yet
    conversion.save(network, path, form, Facts((96, 192), "any", name=name).written())
    is_own = name.startswith("rendered")
    assert has_masks_of(str(path), "rendered") == is_own
    assert PredictionSettings((str(path),)).masks.recognition.is_on == is_own


def test_a_halved_checkpoint_sees_the_same(tiny_runs, tmp_path):
    checkpoint = find_checkpoint(tiny_runs[0])
    size = halve(checkpoint, tmp_path / "half.ckpt")
    assert size < 0.6 * checkpoint.stat().st_size
    photo = render((5, 0), (96, 160)).image
    whole, half = (
        Segmenter.from_checkpoint(path, runtime="torch", precision="32-true")(photo)
        for path in (checkpoint, tmp_path / "half.ckpt")
    )
    np.testing.assert_allclose(half.probability, whole.probability, atol=0.02)


@pytest.mark.slow  # every part, in a program of its own
def test_the_benchmark_measures_every_part(tmp_path, monkeypatch, tiny_runs, shared_pairs):
    monkeypatch.chdir(tmp_path)
    # a program of its own: it starts processes beside the runtimes' threads
    options = [
        f"checkpoint={tiny_runs[0]}", f"source={shared_pairs}/images", "output=figures",
        f"data.root={shared_pairs}", "data.val_count=4", "data.size=[32,64]", "data.batch_size=4",
        "data.num_workers=0", "model.encoder=test_resnet", "turns=1", "photos=13", "batch_size=4",
        "compare={default:['runtime=torch','num_workers=0']}", "renderings=3",
        "precisions=[32-true]", "service_seconds=1",
        "parts=[machine,network,quality,stages,end_to_end,service,loading,training,compiled]",
    ]  # fmt: skip
    command = [sys.executable, "-m", "flukeseg.benchmark", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    report = json.loads(Path("figures/benchmark.json").read_text())
    assert set(report) >= {
        "machine", "network", "quality", "stages", "end_to_end", "loading", "training",
        "compiled",
    }  # fmt: skip
    assert report["machine"]["float32"]["GFLOP/s"] > 0
    assert {"torch float32", "openvino bfloat16", "product float32"} <= set(report["network"])
    same = {name: row["Dice with torch"] for name, row in report["quality"].items()}
    assert set(same) == set(report["network"]) - {"product float32", "product bfloat16"}
    assert same["torch float32"] == 1
    assert all(dice > 0.99 for dice in same.values())
    edges = [row["boundary_iou_05"] for row in report["quality"].values()]
    assert max(edges) - min(edges) < 0.02
    assert list(report["stages"]) == ["load", "network", "again", "mask", "encode", "write"]
    assert sum(row["share"] for row in report["stages"].values()) == pytest.approx(1)
    assert report["end_to_end"]["default"]["photos a second"] > 0
    assert report["service"]["photos a second"] > 0
    assert report["service"]["refused"] == 0
    step = report["training"]["32-true"]
    assert step["step, s"] >= step["forward, s"] > 0
    assert step["optimiser, s"] > 0
    assert {"channels last", "channels first", "compiled"} <= set(report["compiled"])


def test_a_benchmark_of_nothing_is_one_sentence(tmp_path, monkeypatch, capsys, tiny_runs):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_job(benchmark, f"checkpoint={tiny_runs[0]}", f"source={__file__}", "output=o")
    assert "data.root has no value" in capsys.readouterr().err
    assert not Path("o/benchmark.json").exists()  # reported before anything was measured


def test_a_benchmark_trains_on_renderings_too(tmp_path, monkeypatch, tiny_runs):
    monkeypatch.chdir(tmp_path)
    run_job(
        benchmark, f"checkpoint={tiny_runs[0]}", "source=x", "output=o", "parts=[training]",
        "data=synthetic", "data.train_count=8", "data.val_count=4", "data.test_count=4",
        "data.batch_size=4", "data.size=[32,64]", "data.num_workers=0", "turns=1",
        "model.encoder=test_resnet", "precisions=[32-true]",
    )  # fmt: skip
    report = json.loads(Path("o/benchmark.json").read_text())
    step = report["training"]["32-true"]
    assert step["step, s"] > 0
    assert step["photos a second"] > 0
    assert step["GFLOP/s"] > 0
