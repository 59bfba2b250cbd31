"""Every command that the documents give is one that its job understands."""

import json
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flukeseg.command_line import quote_text

ROOT = Path(__file__).parent.parent
JOBS = ("train", "predict", "evaluate", "selftrain", "export", "benchmark")
LEFT_OUT = ("ckpt_path=last",)  # finds a folder on disk while it composes


def documents() -> str:
    """The texts that give commands; those of a notebook's cells among them."""
    texts = [ROOT / "README.md", ROOT / "flukeseg/pretrained/README.md"]
    cells = json.loads((ROOT / "notebooks/walkthrough.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join(
        [path.read_text(encoding="utf-8") for path in texts]
        + ["".join(cell["source"]) for cell in cells]
    )


def commands() -> list[tuple[str, ...]]:
    """The job and the options of each command, without repeats, in order."""
    joined = documents().replace("\\\n", " ")
    # within backticks a command may go over a line's end; in a block it ends there
    inline = re.findall(r"`(python -m flukeseg\.\w+[^`]*)`", joined)
    blocks = re.findall(r"^(python -m flukeseg\.\w+.*)$", joined, re.MULTILINE)
    found = []
    for text in [*inline, *blocks]:
        _, _, module, *options = shlex.split(" ".join(text.split()), comments=True)
        if (job := module.removeprefix("flukeseg.")) in JOBS and options:
            found.append((job, *options))
    return list(dict.fromkeys(found))


def test_there_are_commands_of_every_job():
    assert {job for job, *_ in commands()} == {*JOBS}
    assert len(commands()) > 30


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_composes_and_lacks_nothing(command):
    job, *options = command
    several = "-m" in options
    given = [o for o in options if o != "-m" and o not in LEFT_OUT]
    if several:  # each job of a sweep takes one of the values
        given = [re.sub(r"=([^\[,]+),.*", r"=\1", o) for o in given if not o.startswith("hydra")]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(job, [quote_text(o) for o in given], return_hydra_config=True)
    needed = {"predict": ("source", "output"), "evaluate": ("output",), "benchmark": ("output",),
              "selftrain": ("source", "output"), "export": ("format",)}.get(job, ())  # fmt: skip
    assert not [key for key in needed if OmegaConf.is_missing(cfg, key)]
