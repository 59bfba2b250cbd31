"""The command `flukeseg`, and how its jobs are installed."""

import importlib.metadata
import importlib.util
import itertools
import subprocess
import sys

import pytest
from conftest import ROOT, run_job, write_rgb
from packaging.requirements import Requirement

import flukeseg
from flukeseg import installation, predict
from flukeseg.__main__ import JOBS
from flukeseg.file_cache import SIZE
from flukeseg.rendering import render


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flukeseg", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_alone_it_lists_the_jobs():
    told = run().stdout
    assert told == run("--help").stdout
    for name, job in JOBS.items():
        assert f"  {name} " in told
        assert job.summary in told


@pytest.mark.parametrize(
    ("job", "groups"),
    [
        ("serve", {}),
        ("predict", {"table": "default", "trainer": "ddp, default"}),
        ("selftrain", {"+experiment": "wild", "augmentation": "default"}),
        ("train", {"+experiment": "demo, few, laptop, rendered, seresnet34, seresnet34_768"}),
    ],
)
def test_help_lists_the_groups_that_a_job_takes(job, groups):
    told = run(job, "--help").stdout
    listed = told.partition("Groups, chosen by GROUP=NAME:")[2].partition("Options, set by")[0]
    found = dict(line.split(": ", 1) for line in listed.split("\n") if line)
    assert groups.items() <= found.items()
    assert ("experiment" in listed, "sweep" in listed) == {
        "selftrain": (True, False),
        "train": (True, True),
    }.get(job, (False, False))
    assert "\n\n\n" not in told


@pytest.mark.skipif(sys.platform == "win32", reason="there is no head")
def test_help_may_be_cut_short():
    command = [sys.executable, "-m", "flukeseg", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        job.stdout.close()
        assert job.stderr.read() == b""
        assert job.wait() == 1


def test_it_tells_its_version():
    assert run("--version").stdout == f"flukeseg {flukeseg.__version__}\n"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("pedict", "there is no job pedict; did you mean predict?"),
        ("x", "there is no job x; jobs: predict, "),
    ],
)
def test_an_unknown_job_is_answered_with_the_nearest(name, advice):
    done = run(name)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert advice in done.stderr


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_a_module_that_can_be_run(name):
    module = JOBS[name].module
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__")


def test_a_job_is_that_very_command_with_its_options_and_its_exit_code():
    done = run("render", "--rows", "no number")
    alone = [sys.executable, "-m", "flukeseg.rendering", "--rows", "no number"]
    same = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (same.returncode, same.stderr)
    assert "invalid int value: 'no number'" in done.stderr


def test_how_to_install_is_what_works_here(monkeypatch):
    assert installation.how_to_install("heic") == 'pip install "flukeseg[heic]"'

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", missing)
    clone = installation.PACKAGE.parent
    assert installation.how_to_install("heic") == f'pip install -e "{clone}[heic]"'


def test_every_requirement_has_a_floor():
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for line in itertools.chain(project["dependencies"], *extras):
        requirement = Requirement(line)
        assert any(s.operator in (">=", "==") for s in requirement.specifier), line


def test_jobs_without_a_network_start_without_torch():
    jobs = ["annotations", "collect", "sweep", "tables"]
    code = (
        f"import sys, {', '.join(f'flukeseg.{job}' for job in jobs)}; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


SLOW = ("torch", "torchvision", "torchmetrics", "pytorch_lightning", "timm", "onnx", "scipy",
        "segmentation_models_pytorch", "albumentations", "matplotlib")  # fmt: skip
"""What takes longest to import."""


def test_a_network_that_was_converted_predicts_without_torch(tmp_path, monkeypatch, tiny_runs):
    pytest.importorskip("openvino")
    write_rgb(tmp_path / "photo.jpg", render((5, 2), (96, 160)).image)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv(SIZE, "20")
    options = [f"checkpoint={tiny_runs[0]}", f"source={tmp_path}/photo.jpg", "runtime=openvino"]
    run_job(predict, *options, f"output={tmp_path}/one")
    code = (
        "import sys; from flukeseg import command_line, predict; "
        f"sys.argv[0] = predict.__file__; command_line.run(predict.main); "
        f"print([name for name in {SLOW} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, *options, f"output={tmp_path}/two"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    one, two = (next(tmp_path.glob(f"{name}/mask/*.png")) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
