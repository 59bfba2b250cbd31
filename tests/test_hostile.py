"""Files of somebody who means harm: nothing in them runs, and none leads out of its folder."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, run_job, write_pairs, write_rgb

from flukeseg import benchmark, evaluate, export, predict, selftrain, serve, train
from flukeseg.data.pseudo_labels import read_labels
from flukeseg.errors import InputError
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.prediction.folder import PredictionFolder

CPU = ["num_workers=0", "trainer.accelerator=cpu", "runtime=torch"]
FEW = [*CPU, "batch_size=4"]


class Payload:
    """What a pickle of it runs when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a secret beside it; at the end nothing has run or been written."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("SECRET", "s3cr3t")
    write_rgb(tmp_path / "outside/secret.png", np.full((64, 128), 255, np.uint8))
    (tmp_path / "outside/text").write_text("untouched")
    before = {p: p.read_bytes() for p in (tmp_path / "outside").rglob("*")}
    opened: list[str] = []
    _WATCHED[:] = [(str(tmp_path / "outside"), opened)]
    yield place
    _WATCHED.clear()
    assert opened == []  # neither read nor written
    assert {p: p.read_bytes() for p in (tmp_path / "outside").rglob("*")} == before
    assert not (place / "canary").exists()
    assert list(tmp_path.glob("*/canary")) == []


_WATCHED: list[tuple[str, list[str]]] = []


def _watch(event: str, arguments: tuple) -> None:
    if event == "open":
        for folder, opened in _WATCHED:
            path = arguments[0]
            if isinstance(path, str) and Path(path).resolve().is_relative_to(folder):
                opened.append(path)


sys.addaudithook(_watch)


def run_refused(capsys, job, *options: str) -> str:
    """Run a job that has to end in one sentence; return it."""
    with pytest.raises(SystemExit) as ended:
        run_job(job, *options)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" not in said
    assert "error: " in said
    return said


def a_run(folder: Path, checkpoint: Path, config: str) -> Path:
    """A finished run with a configuration."""
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(find_checkpoint(checkpoint), folder / "checkpoints")
    (folder / "config.yaml").write_text(config)
    (folder / "result.json").write_text(json.dumps({"figures": {"val/dice": 0.5}}))
    return folder


RUNS_CODE = {"_target_": "torch.load", "f": "payload.ckpt", "weights_only": False}

CONFIGS = {
    "nested": lambda data: data | {"test_root": RUNS_CODE, "augmentation": RUNS_CODE},
    "target": lambda data: data | {"_target_": "os.mkdir", "_args_": ["canary"]},
    "root is code": lambda data: data | {"root": RUNS_CODE},
    "seed is code": lambda data: data | {"seed": RUNS_CODE},
    "size is code": lambda data: data | {"size": [RUNS_CODE, 64]},
    "interpolated root": lambda data: data | {"root": "${oc.env:SECRET}"},
    "interpolated seed": lambda data: data | {"seed": "${run_dir:canary,null}"},
    "interpolated fold": lambda data: data | {"fold": "${oc.decode:0}"},
}
"""Configurations of a run's data."""


def hostile_config(name: str, root: Path, fold: int) -> str:
    data = {"root": str(root), "size": [32, 64], "folds": 2, "fold": fold, "seed": 66}
    return yaml.safe_dump({"data": CONFIGS[name](data), "model": RUNS_CODE})


@pytest.mark.parametrize("name", CONFIGS)
def test_a_sweep_runs_nothing(here, capsys, tiny_runs, shared_pairs, name):
    torch.save(Payload(), "payload.ckpt")
    for fold in (0, 1):
        a_run(here / f"sweep/{fold}", tiny_runs[fold], hostile_config(name, shared_pairs, fold))
    job = partial(run_job, evaluate, "runs=sweep", "output=e", *FEW)
    if name in ("nested", "target"):  # what is needed is there, and the rest is not looked at
        job()
        summary = json.loads(Path("e/summary.json").read_text())
        assert summary["results"]["out of fold"]["photos"] == 12
        return
    said = run_refused(capsys, evaluate, "runs=sweep", "output=e", *FEW)
    assert "s3cr3t" not in said
    assert not Path("outputs").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_that_is_judged_runs_nothing(here, capsys, tiny_runs, shared_pairs, name):
    torch.save(Payload(), "payload.ckpt")
    run = a_run(here / "run", tiny_runs[0], hostile_config(name, shared_pairs, 1))
    options = [f"checkpoint={run}", "data=folder", f"data.root={shared_pairs}", "data.val_count=3"]
    if name in ("nested", "target", "interpolated root"):
        run_job(evaluate, *options, "output=e", *FEW)
        # of another folder as far as one can tell, so that its split does not count
        wanted = 3 if name == "interpolated root" else 6
        assert len(Path("e/per_photo.csv").read_text().splitlines()) == 1 + wanted
    else:
        assert "s3cr3t" not in run_refused(capsys, evaluate, *options, "output=e", *FEW)


CONFIG_TEXTS = {
    "python tag": "data: !!python/object/apply:os.mkdir [canary]\n",
    "no YAML": "{[\0",
    "a list": "- data\n",
    "deep": "[" * 100_000,
    "large": "a: " + "x" * 2_000_000,
}


@pytest.mark.parametrize("name", CONFIG_TEXTS)
def test_a_configuration_that_is_none(here, capsys, tiny_runs, name):
    a_run(here / "sweep/0", tiny_runs[0], CONFIG_TEXTS[name])
    said = run_refused(capsys, evaluate, "runs=sweep", "output=e")
    assert "sweep/0/config.yaml is not the configuration of a run" in said


def test_a_folders_name_is_not_resolved(here, tiny_runs, shared_pairs):
    for fold in (0, 1):
        data = {"root": str(shared_pairs), "folds": 2, "fold": fold}
        name = f"sweep/${{oc.env:SECRET}}-{fold}"
        a_run(here / name, tiny_runs[fold], yaml.safe_dump({"data": data}))
    run_job(evaluate, "runs=sweep", "output=e", *FEW)
    assert Path("e/report.html").is_file()


@pytest.fixture
def checkpoints(here, tiny_runs) -> dict[str, Path]:
    """Checkpoints that would run code, read another file or fetch one."""
    plain = torch.load(find_checkpoint(tiny_runs[0]), weights_only=True)

    def saved(name: str, content: object) -> Path:
        torch.save(content, here / f"{name}.ckpt")
        return here / f"{name}.ckpt"

    def with_hparams(name: str, **more) -> Path:
        hparams = plain["hyper_parameters"] | more
        return saved(name, plain | {"hyper_parameters": hparams})

    return {
        "pickle": saved("pickle", Payload()),
        "nested pickle": saved("nested", plain | {"callbacks": Payload()}),
        "weight": saved("weight", plain | {"state_dict": plain["state_dict"] | {"w": Payload()}}),
        "encoder": with_hparams("encoder", encoder="tu-hf_hub:somebody/model"),
        "size": with_hparams("size", size=[10**9, 10**9]),
    }


JOBS = {
    "predict": (predict, "checkpoint={0}", "source={1}/images", "output=o", *CPU),
    "evaluate": (evaluate, "checkpoint={0}", "data=folder", "data.root={1}", "subset=all",
                 "output=o", *CPU),
    "export": (export, "checkpoint={0}", "format=torchscript", "output=o.pt"),
    "selftrain": (selftrain, "checkpoint={0}", "source={1}/images", "output=o",
                  "trainer.accelerator=cpu"),
    "benchmark": (benchmark, "checkpoint={0}", "source={1}/images", "parts=[stages]", "output=o",
                  *CPU),
    "serve": (serve, "checkpoint={0}", "port=0"),
    "start_from": (train, "+experiment=seresnet34", "data=folder", "data.root={1}",
                   "data.val_count=4", *TINY, "model.start_from={0}"),
    "encoder_weights": (train, "+experiment=seresnet34", "data=folder", "data.root={1}",
                        "data.val_count=4", *TINY, "model.encoder_weights={0}"),
}  # fmt: skip
"""Every job that reads a checkpoint."""


@pytest.mark.parametrize("job", JOBS)
def test_a_checkpoint_runs_nothing(here, capsys, checkpoints, shared_pairs, job):
    run, *options = JOBS[job]
    for name, path in checkpoints.items():
        if job in ("start_from", "encoder_weights") and name in ("encoder", "size"):
            continue  # of the file they read the tensors only
        given = [option.format(path, shared_pairs) for option in options]
        said = run_refused(capsys, run, *given)
        assert path.name in said
        assert not Path("canary").exists(), name


def test_a_checkpoint_names_no_function_and_no_other_file(here, tiny_runs):
    plain = torch.load(find_checkpoint(tiny_runs[0]), weights_only=True)
    hparams = plain["hyper_parameters"] | {
        "start_from": str(here.parent / "outside/text"),
        "encoder_weights": str(here.parent / "outside/text"),
        "_instantiator": "os.mkdir",
        "optimizer": "os.mkdir",
        "loss": "os.mkdir",
    }
    torch.save(plain | {"hyper_parameters": hparams}, "named.ckpt")
    photos = here / "photos"
    write_pairs(photos, 1)
    run_job(predict, "checkpoint=named.ckpt", f"source={photos}/images", "output=o", *CPU)
    assert Path("o/mask/fluke_00.png").is_file()


class Overwrites(torch.nn.Module):
    """A network that writes to a file while it computes."""

    def forward(self, image):
        mapped = torch.from_file("../outside/text", True, 8, dtype=torch.uint8)
        return image[:, :1] + mapped.fill_(65).float().sum()


@pytest.mark.parametrize("job", ["predict", "evaluate"])
def test_an_exported_file_computes_only(here, capsys, shared_pairs, job):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript's, of its own age
        facts = '{"size": [32, 64], "encoder": "test_resnet"}'
        script = torch.jit.script(Overwrites())
        torch.jit.save(script, "file.pt", _extra_files={"flukeseg": facts})
    run, *options = JOBS[job]
    said = run_refused(capsys, run, *(o.format("file.pt", shared_pairs) for o in options))
    assert "calls from_file, which no network does" in said


def test_a_run_that_is_resumed_runs_nothing(here, capsys, shared_pairs):
    options = ["+experiment=seresnet34", "data=folder", f"data.root={shared_pairs}",
               "data.val_count=4", *TINY, "name=stranger"]  # fmt: skip
    run_job(train, *options, "trainer.max_epochs=1")
    (run,) = Path("outputs/stranger").iterdir()
    last = run / "checkpoints/last.ckpt"
    content = torch.load(last, weights_only=True)
    last.unlink()  # it may be a link to the best one
    state = next(s for k, s in content["callbacks"].items() if "best_k_models" in s)
    outside = Path.cwd().parent / "outside/text"
    above = f"{state['dirpath']}/{os.path.relpath(outside, state['dirpath'])}"
    for named in (above, f"local://{outside}", f"simplecache::file://{outside}"):
        state |= {"best_k_models": {named: torch.tensor(0.0)}, "kth_best_model_path": named}
        torch.save(content, last)
        assert "names files outside its folder" in run_refused(
            capsys, train, *options, "trainer.max_epochs=2", "ckpt_path=last"
        )
    torch.save(content | {"loops": Payload()}, last)
    with pytest.raises((SystemExit, Exception)):
        run_job(train, *options, "trainer.max_epochs=2", "ckpt_path=last")
    config = run / "config.yaml"
    config.write_text("data: ${oc.env:SECRET}\nmodel:\n  _target_: os.mkdir\n  _args_: [canary]\n")
    said = run_refused(capsys, train, *options, "ckpt_path=last")
    assert "was started with" in said
    assert "s3cr3t" not in said


HEADER = ["path", "mask", "confidence", "review", "seconds"]


@pytest.mark.parametrize("named", ["../../outside/secret.png", "absolute", "mask/link.png"])
def test_a_table_names_no_mask_outside(here, capsys, named):
    secret = here.parent / "outside/secret.png"
    (here / "predicted/mask").mkdir(parents=True)
    (here / "predicted/mask/link.png").symlink_to(secret)
    named = str(secret) if named == "absolute" else named
    with Path("predicted/predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, ["secret.png", named, 1, "", 1]])
    write_rgb(here / "truth/secret.png", np.full((64, 128), 255, np.uint8))
    said = run_refused(capsys, evaluate, "predictions=predicted", "truth=truth", "output=e")
    assert "is outside the folder" in said


def predicted(here: Path, checkpoint: Path) -> list[str]:
    """Predict one photo of two; return the command for both."""
    write_pairs(here / "photos", 2)
    options = [f"checkpoint={checkpoint}", f"source={here}/photos/images", "output=o", *CPU]
    run_job(predict, options[0], f"source={here}/photos/images/fluke_00.jpg", *options[2:])
    return options


@pytest.mark.parametrize("key", ["name", "mask", "files"])
def test_a_journal_names_no_file_outside(here, capsys, tiny_runs, key):
    options = predicted(here, tiny_runs[0])
    journal = Path("o/.flukeseg/journal-all.jsonl")
    row = json.loads(journal.read_text())
    row["key"] = row["path"] = str(here / "photos/images/fluke_01.jpg")
    row[key] = ["../../outside/secret.png"] if key == "files" else "../../../outside/secret"
    journal.write_text(json.dumps(row) + "\n")
    assert "outside the folder" in run_refused(capsys, predict, *options)
    with pytest.raises(InputError, match="outside the folder"):
        list(PredictionFolder("o").rows())


@pytest.mark.parametrize("link", [".flukeseg/journal-all.jsonl", ".flukeseg", "mask"])
def test_a_link_leads_no_output_outside(here, capsys, tiny_runs, link):
    options = predicted(here, tiny_runs[0])
    target = here.parent / ("outside/text" if link.endswith("jsonl") else "outside")
    place = Path("o") / link
    if place.is_dir():
        shutil.move(place, "moved")
    else:
        place.unlink()
    place.symlink_to(target)
    assert "leads out of " in run_refused(capsys, predict, *options)
    assert sorted(p.name for p in (here.parent / "outside").iterdir()) == ["secret.png", "text"]


LINKS = {
    "a log": ("predict.log", "text", predict, ["source=photos", "output=o", *CPU]),
    "a log of training": ("train.log", "text", train, ["hydra.run.dir=o", *TINY]),
    "a log of self-training": ("selftrain.log", "text", selftrain, ["source=photos", "output=o"]),
    "Hydra's folder": (".hydra", "", train, ["hydra.run.dir=o", *TINY]),
    "Hydra's file": (".hydra/config.yaml", "text", train, ["hydra.run.dir=o", *TINY]),
    "checkpoints": ("checkpoints", "", train, ["hydra.run.dir=o", *TINY]),
    "a report's folder": ("pictures", "", evaluate, ["predictions=p", "truth=t", "output=o"]),
    "a log of evaluation": ("evaluate.log", "new", evaluate, ["predictions=p", "output=o"]),
    "a log of a benchmark": ("benchmark.log", "new", benchmark, ["source=photos", "output=o"]),
    "a measured prediction": ("masks/default-0", "", benchmark, ["source=photos", "output=o"]),
    "a teacher": ("round-1/teacher", "", selftrain, ["source=photos", "output=o"]),
    "a student": ("round-1/student", "", selftrain, ["source=photos", "output=o"]),
}  # fmt: skip
"""Where a link in an output folder leads outside, and a job that would write there."""


@pytest.mark.parametrize("kind", LINKS)
def test_a_job_writes_through_no_link(here, capsys, kind):
    """What Hydra and Lightning write does not go through our own functions."""
    name, target, job, options = LINKS[kind]
    (here / "o" / name).parent.mkdir(parents=True)
    (here / "o" / name).symlink_to(here.parent / "outside" / target)
    assert f"{name} leads out of " in run_refused(capsys, job, *options)
    assert sorted(p.name for p in (here.parent / "outside").iterdir()) == ["secret.png", "text"]


def test_a_link_in_place_of_a_report_is_replaced(here):
    write_rgb(here / "truth/a.png", np.full((64, 128), 255, np.uint8))
    Path("e").mkdir()
    for name in ("per_photo.csv", "summary.json", "summary.json.partial", "report.html.partial"):
        Path("e", name).symlink_to(here.parent / "outside/text")
    run_job(evaluate, "predictions=truth", "truth=truth", "output=e")
    assert not any(path.is_symlink() for path in Path("e").iterdir())


def test_a_list_of_labels_names_no_mask_outside(here):
    Path("labels.csv").write_text("photo,mask,use\na.jpg,../outside/secret.png,train\n")
    with pytest.raises(InputError, match="outside its folder"):
        read_labels("labels.csv")


def test_labels_of_a_self_training_name_no_photo_outside(here, capsys, tiny_runs):
    write_pairs(here / "photos", 1)
    secret = here.parent / "outside/secret.png"
    shutil.copytree(here / "photos/masks", "o/round-1/masks")
    Path("o/round-1/labels.csv").write_text(f"photo,mask,use\n{secret},masks/fluke_00.png,train\n")
    options = [f"checkpoint={tiny_runs[0]}", "source=photos/images", "output=o"]
    said = run_refused(capsys, selftrain, *options, "trainer.accelerator=cpu")
    assert f"names {secret}, which is not in source=" in said


def test_a_sweep_that_is_summarised_runs_nothing(here):
    for number, text in enumerate(
        (
            "- seed=${oc.env:SECRET}\n- data.fold=${run_dir:canary,null}\n",
            "- !!python/object/apply:os.mkdir [canary]\n",
        )
    ):
        run = here / f"sweep{number}/0"
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra/overrides.yaml").write_text(text)
        (run / "result.json").write_text(json.dumps({"figures": {"val/dice": 0.5}}))
        command = [sys.executable, "-m", "flukeseg.sweep", str(run.parent)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
        assert done.returncode == number


def test_an_archive_unpacks_nothing_outside(here, capsys, tiny_runs):
    photo = here / "photo.png"
    write_rgb(photo, np.zeros((8, 8, 3), np.uint8))
    for kind in ("parent", "absolute", "link"):
        archive = here / f"{kind}.tar"
        with tarfile.open(archive, "w") as tar:
            if kind == "link":
                entry = tarfile.TarInfo("link")
                entry.type, entry.linkname = tarfile.SYMTYPE, str(here.parent / "outside")
                tar.addfile(entry)
            name = {"parent": "../../../../outside/new.png", "link": "link/new.png"}
            tar.add(photo, name.get(kind, str(here.parent / "outside/new.png")), recursive=False)
        options = [f"checkpoint={tiny_runs[0]}", f"source={archive}", "output=o"]
        if kind != "absolute":  # its leading slash is left out
            run_refused(capsys, selftrain, *options, "trainer.accelerator=cpu")
        run_job(predict, *options, *CPU)  # which takes no archive: a photo that cannot be read
        options[1:2] = ["data=folder", f"data.root={archive}"]
        run_refused(capsys, evaluate, *options, *CPU)
    assert not (here.parent / "outside/new.png").exists()
