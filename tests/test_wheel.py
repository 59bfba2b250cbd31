"""The wheel, installed where there is no clone: every job runs from it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, TINY, write_pairs

import flukeseg


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program without this clone on its path; return what it prints."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("flukeseg", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist")
    run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=source)
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package_and_of_conf(wheel):
    tree = wheel.parent.parent
    files = {
        path.relative_to(tree).as_posix()
        for folder in ("flukeseg", "conf")
        for path in (tree / folder).rglob("*")
        if path.is_file()
    }
    expected = {name if name.startswith("flukeseg/") else f"flukeseg/{name}" for name in files}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_it_predicts_trains_and_evaluates_in_an_empty_folder(wheel, tmp_path):
    # somebody else's repository, in which the environment happens to be
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    run(*git, "init", "--quiet", cwd=tmp_path)
    run(*git, "commit", "--quiet", "--allow-empty", "--message=theirs", cwd=tmp_path)
    venv.create(tmp_path / "env", with_pip=False)
    scheme = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    paths = {key: Path(sysconfig.get_path(key, "venv", scheme)) for key in ("purelib", "scripts")}
    python = paths["scripts"] / Path(sys.executable).name
    own = ("--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    run(sys.executable, "-m", "pip", *own, cwd=tmp_path)
    # the heavy packages are those of this environment; its .pth files are not read from here
    shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (paths["purelib"] / "shared.pth").write_text("\n".join(shared))
    empty = tmp_path / "empty"
    empty.mkdir()
    command = paths["scripts"] / "flukeseg"

    assert run(command, "--version", cwd=empty).strip() == f"flukeseg {flukeseg.__version__}"
    assert "predict  " in run(command, cwd=empty)

    write_pairs(tmp_path / "pairs", 1, (96, 192), seed=3)
    masks = ("source=../pairs/images", "output=masks", "num_workers=0", "runtime=torch")
    quick = ("batch_size=1", "tta=none", "size=[96,192]")
    assert "1 photos: 1 ok" in run(command, "predict", *masks, *quick, cwd=empty)
    judged = run(
        command, "evaluate", "predictions=masks", "truth=../pairs", "output=judged", cwd=empty
    )
    assert "Dice" in judged
    assert (empty / "judged/report.html").is_file()

    few = ("data.train_count=8", "data.val_count=2", "data.test_count=2", "+trainer.max_steps=2")
    run(command, "train", "+experiment=demo", *TINY, *few, "hydra.run.dir=run", cwd=empty)
    assert (empty / "run/checkpoints/last.ckpt").is_file()
    assert json.loads((empty / "run/provenance.json").read_text())["git_revision"] is None
