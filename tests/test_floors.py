"""The lowest versions that `make lowest` installs are the floors of `pyproject.toml`."""

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import Version

tomllib = pytest.importorskip("tomllib")  # Python 3.10 has none

NOT_INSTALLED = ("wandb", "mlflow", "kaggle", "int8")
"""Extras that no test needs, or that need newer versions than the others."""


def test_every_floor_is_pinned_and_every_pin_is_a_floor():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [
        line for name in extras.keys() - NOT_INSTALLED for line in extras[name]
    ]
    floors = {}
    for requirement in map(Requirement, wanted):
        (floor,) = (s.version for s in requirement.specifier if s.operator in (">=", "=="))
        floors.setdefault(requirement.name, set()).add(floor)
    lines = (ROOT / ".ci/lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins.keys() == floors.keys()
    for name, (floor, *others) in floors.items():
        assert not others  # of two extras
        lowest = Version(floor).release
        assert Version(pins[name]).release[: len(lowest)] == lowest, name
