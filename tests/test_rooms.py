"""The plan of the package: rooms in order, small files, names that are told apart."""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from pathlib import Path

import pytest

import flukeseg

PACKAGE = Path(flukeseg.__file__).parent

ROOMS = (
    # jobs, the files at the top that see a Hydra config, stand above all rooms
    "benchmarking", "review", "serving", "exchange", "sweeps", "evaluation", "training",
    "prediction", "model", "data", "rendering", "anatomy", "masks", "images",
)  # fmt: skip
"""From the top down: a room imports from itself and from those below."""

TOOLS = frozenset({
    "errors", "atomic_files", "file_cache", "pretrained", "installation", "option_errors",
    "option_suggestions", "command_line", "signals", "csv_cells",
})  # fmt: skip
"""Files at the top that every room may import; they import no room."""

LONGEST = 250
LARGEST_ROOM = 17

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def rank(module: str) -> int:
    """Place of a module: 0 is the bottom."""
    parts = module.split(".")
    if len(parts) > 1 and parts[1] in ROOMS:
        return len(ROOMS) - ROOMS.index(parts[1])
    return 0 if parts[1:2] and parts[1] in TOOLS else len(ROOMS) + 1


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever the line stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flukeseg"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
    return found - {"flukeseg"}


@pytest.mark.parametrize("module", MODULES)
def test_no_file_imports_upwards(module):
    if module == "flukeseg":  # the door to all rooms
        return
    upwards = {other for other in imports(MODULES[module]) if rank(other) > rank(module)}
    assert not upwards


def test_there_is_no_circle():
    graph = {module: imports(path) for module, path in MODULES.items() if module != "flukeseg"}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_no_file_is_long():
    lines = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in MODULES.items()}
    assert {m: n for m, n in lines.items() if n > LONGEST} == {}


def test_no_two_files_share_a_name():
    names = Counter(path.stem for path in MODULES.values() if not path.stem.startswith("__"))
    # a file of a room may be called as the job is that it does
    assert [name for name, count in names.items() if count > 1] == []


def test_no_room_is_crowded():
    counts = Counter(path.parent for path in MODULES.values())
    roomy = (PACKAGE, PACKAGE / "rendering")  # each job, each part of a picture has a file
    assert {f: n for f, n in counts.items() if n > LARGEST_ROOM and f not in roomy} == {}
