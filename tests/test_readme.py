"""Documentation: every command composes, every file and link that is named exists."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flukeseg.command_line import quote_text
from flukeseg.images.reading import IMAGE_SUFFIXES
from flukeseg.installation import CONF
from flukeseg.rendering.__main__ import main as draw_sheet

JOBS = {
    "train": (), "predict": ("source", "output"), "evaluate": ("output",), "export": ("format",),
    "selftrain": ("source", "output"), "benchmark": ("output",), "review": ("output",),
    "serve": (),
    "collect": ("predictions", "output"),
    "tables": ("predictions", "output"), "annotations": ("direction", "format", "output"),
}  # fmt: skip
"""Jobs with a configuration, and the options that each cannot do without."""

PROGRAMS = {
    "benchmarking.merging", "data.humpback450", "evaluation.anatomy.keypoints",
    "evaluation.recognition_rates", "evaluation.wide_frames", "rendering",
    "sweep", "training.shrink", "training.small_networks.outlines",
    "training.small_networks.recognition_encoder", "training.small_networks.recognition_fit",
    "training.small_networks.recognition_samples",
}  # fmt: skip
"""Modules that the documentation runs and that have no configuration."""

SKIPPED = ("-m", "--cfg", "job", "ckpt_path=last")  # the last looks for a folder on disk

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        ROOT / "outputs/README.md",
        *(path for room in (".github", "conf", "flukeseg") for path in (ROOT / room).rglob("*.md")),
    ]
)
NOTEBOOK = ROOT / "notebooks/walkthrough.ipynb"

Command = tuple[str, ...]


def texts() -> dict[Path, str]:
    """Everything that gives commands: Markdown, the notebook's cells, comments of the YAML."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    found = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    found[NOTEBOOK] = "\n".join("".join(cell["source"]) for cell in cells)
    for path in sorted(CONF.rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found[path] = "\n".join(line[2:] for line in lines if line.startswith("# "))
    return found


def commands(text: str) -> list[Command]:
    """The module and the options of each command that runs flukeseg; a job's bare name is none."""
    joined = text.replace("\\\n", " ")
    start = r"(?:python -m flukeseg\.|flukeseg (?=[a-z]+ ))"
    # between backticks a command may be wrapped; in a block it ends with its line
    inline = re.findall(rf"`({start}[^`]+)`", joined)
    blocks = re.findall(rf"^({start}.+)$", joined, re.MULTILINE)
    found = []
    for command in [*inline, *blocks]:
        words = shlex.split(" ".join(command.split()), comments=True)
        first, *options = words[2:] if words[0] == "python" else words[1:]
        module = first.removeprefix("flukeseg.")
        if options or module not in JOBS:
            found.append((module, *options))
    return found


COMMANDS = list(dict.fromkeys(c for text in texts().values() for c in commands(text)))


def test_documents_and_commands_are_found():
    assert {"README.md", "conf/README.md"} <= {p.relative_to(ROOT).as_posix() for p in DOCUMENTS}
    assert {module for module, *_ in COMMANDS} == {*JOBS, *PROGRAMS}
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] in JOBS], ids=" ".join)
def test_command_composes_and_lacks_nothing(command):
    job, *options = command
    given = [option for option in options if option not in SKIPPED]
    if "-m" in options:  # each job of a sweep gets one of the values
        given = [re.sub(r"=([^\[,]+),.*", r"=\1", o) for o in given if not o.startswith("hydra")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(job, [quote_text(o, job) for o in given], return_hydra_config=True)
    assert not [key for key in JOBS[job] if OmegaConf.is_missing(cfg, key)]


@pytest.mark.parametrize("module", sorted(PROGRAMS))
def test_program_exists(module):
    spec = importlib.util.find_spec(f"flukeseg.{module}")
    assert spec is not None
    if spec.submodule_search_locations:  # a package is run by its __main__
        spec = importlib.util.find_spec(f"flukeseg.{module}.__main__")
    assert "__main__" in Path(spec.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_files_and_links_exist(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\b(?:flukeseg|conf|tests|notebooks)/[\w/]+\.(?:py|yaml|ipynb|jpg)\b", text)
    missing = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        there = path.parent / target if target else path
        if not there.exists():
            missing.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            missing += [f"{target}#{anchor}"] if anchor not in slugs else []
    assert not missing


def test_every_tools_key_is_in_the_dialog_of_keys():
    static = ROOT / "flukeseg/review/static"
    (tools,) = re.findall(r"TOOL_KEYS = \{(.+)\}", (static / "controls.js").read_text("utf-8"))
    page = (static / "index.html").read_text("utf-8")
    shown = re.findall(r"<kbd>(.)</kbd>", "".join(re.findall(r"<dt>(.+)</dt>", page)))
    assert {key.upper() for key in re.findall(r"(\w): ", tools)} <= {*shown}


KINDS = {
    "JPEG": ".jpg .jpeg .jpe .jfif", "MPO": ".mpo", "PNG": ".png", "TIFF": ".tif .tiff",
    "WebP": ".webp", "GIF": ".gif", "BMP": ".bmp", "HEIC": ".heic .heif .hif", "AVIF": ".avif",
}  # fmt: skip


@pytest.mark.parametrize("room", ["data", "prediction"])
def test_every_kind_of_photo_is_named(room):
    assert {*" ".join(KINDS.values()).split()} == IMAGE_SUFFIXES
    text = (ROOT / f"flukeseg/{room}/README.md").read_text(encoding="utf-8")
    assert {*KINDS} <= {*re.findall(r"\w+", text)}


def test_readme_shows_every_room():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^  (\w+)/ ", text, re.MULTILINE))
    rooms = {p.parent.name for p in (ROOT / "flukeseg").glob("*/__init__.py")}
    assert shown == rooms


def test_readme_shows_what_its_command_draws(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (options,) = re.findall(r"python -m flukeseg\.rendering (.+)`", text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rendering", *shlex.split(options)])
    draw_sheet()
    drawn, shown = (
        cv2.imread(path).astype(np.float32)
        for path in ("sheet.jpg", str(ROOT / "notebooks/rendered_flukes.jpg"))
    )
    # other versions of OpenCV draw and compress a little differently
    assert np.abs(drawn - shown).mean() < 4
