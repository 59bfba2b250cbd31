"""Files of OpenVINO that compute mostly in 8 bits: made by NNCF, checked by masks, used without."""

import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import run_job

from flukeseg import Segmenter, export
from flukeseg.errors import InputError
from flukeseg.masks.metrics import dice
from flukeseg.model import conversion, runtimes
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_module, load_predictor
from flukeseg.model.exported import Facts
from flukeseg.model.network import FlukeNetwork
from flukeseg.rendering import render


@pytest.fixture
def run_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(run_job, export)


def test_metadata_says_it():
    assert Facts.read(Path("a.xml"), Facts((32, 64), "b", int8=True).written()).int8 is True
    assert Facts.read(Path("a.xml"), '{"size": [32, 64], "encoder": "b"}').int8 is False


def test_what_computes_says_it(tiny_runs, tmp_path):
    module = load_module(find_checkpoint(tiny_runs[0]))
    paths = [tmp_path / "a.xml", tmp_path / "b.xml"]
    for path, int8 in zip(paths, (False, True), strict=True):
        facts = Facts(module.size, "test_resnet", int8=int8)
        conversion.save(module.network, path, "openvino", facts.written())
    assert load_predictor(paths[:1], runtime="auto").runtime == "openvino"
    assert load_predictor(paths[1:], runtime="auto").runtime == "openvino int8"
    assert load_predictor(paths, runtime="auto").runtime == "openvino int8"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["format=onnx", "int8=true"], "int8=true does not go with format=onnx; give format=openv"),
        (["format=openvino", "int8=maybe"], "int8=maybe must be true or false"),
    ],
)
def test_wrong_options_are_one_sentence(run_export, tiny_runs, capsys, options, sentence):
    with pytest.raises(SystemExit):
        run_export(f"checkpoint={tiny_runs[0]}", *options)
    assert sentence in capsys.readouterr().err


def test_it_needs_nncf(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(runtimes, "find_spec", lambda name: name != "nncf" and found(name))
    photos = np.zeros((1, 3, 32, 64), np.float32)
    with pytest.raises(InputError, match=r"int8=true needs nncf; pip install .*\[int8\]"):
        conversion.save(FlukeNetwork("test_resnet"), Path("a.xml"), "openvino", "", photos)


def test_masks_are_compared_where_torch_finds_the_fluke(tiny_runs, monkeypatch):
    one, two = (load_predictor([find_checkpoint(run)]) for run in tiny_runs)
    monkeypatch.setattr(export, "LEAST_FOUND", 0.0)
    found, wrong = export.compare_masks(one, one, 0.5)
    assert found.startswith("has masks with a Dice of 1.0000 to torch's, 1.0000 at worst, on 36")
    assert wrong == ""
    _, wrong = export.compare_masks(one, two, 0.5)
    assert wrong.startswith("less than 0.998 or 0.99; it was removed")
    monkeypatch.setattr(export, "LEAST_FOUND", 1.1)
    found, wrong = export.compare_masks(one, one, 0.5)
    assert (found, "finds no rendered fluke" in wrong) == ("cannot be checked", True)


def test_a_file_is_nearly_the_network_at_any_size(run_export, tiny_runs, monkeypatch):
    pytest.importorskip("nncf", reason="makes files of 8 bits: pip install flukeseg[int8]")
    monkeypatch.setattr(export, "LEAST_FOUND", 0.0)
    monkeypatch.setattr(export, "LEAST_MEAN", 0.9)
    monkeypatch.setattr(export, "LEAST_WORST", 0.0)
    run_export(f"checkpoint={tiny_runs[0]}", "format=openvino", "int8=true", "output=a-int8.xml")
    assert "FakeQuantize" in Path("a-int8.xml").read_text()
    monkeypatch.setenv("FLUKESEG_CACHE_MB", "100")
    monkeypatch.setenv("TORCH_HOME", "kept")
    reference = load_predictor([find_checkpoint(tiny_runs[0])])
    for size in ((32, 64), (64, 96), (41, 97)):
        image = np.moveaxis(render((3, 0), size).image, -1, 0)[None]
        (expected,) = reference.see(image)
        seen = [load_predictor([Path("a-int8.xml")], runtime="auto").see(image)[0] for _ in "ab"]
        # looser where the network pads: with VNNI so small a one loses much there
        most = 0.1 if size == (41, 97) else 0.02
        assert 0 < np.abs(seen[0].probability - expected.probability).mean() < most
        np.testing.assert_array_equal(seen[0].probability, seen[1].probability)
    assert list(Path("kept").rglob("*"))  # and the second was read from there
    code = (
        "import sys; from pathlib import Path; from flukeseg.model.checkpoints import *;"
        "predictor = load_predictor([Path('a-int8.xml')], runtime='auto');"
        "print(predictor.runtime, {'torch', 'nncf'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino int8 set()\n"


@pytest.mark.slow  # pytest tests/test_int8.py -m slow: a minute
def test_flukesegs_own_network_keeps_its_masks(run_export):
    pytest.importorskip("nncf", reason="makes files of 8 bits: pip install flukeseg[int8]")
    run_export("checkpoint=rendered", "format=openvino", "int8=true")
    one, two = (Segmenter.from_checkpoint(name) for name in ("rendered", "rendered-int8.xml"))
    for number in range(2, 5):
        photo = render((5, number), (700, 1400)).image
        assert dice(one(photo).mask > 0, two(photo).mask > 0) > 0.99
