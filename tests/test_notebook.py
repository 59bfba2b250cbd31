"""The notebook: stored with its pictures, and run from top to bottom with a network of seconds."""

from __future__ import annotations

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "notebooks/walkthrough.ipynb"
LARGEST = 600_000  # bytes of the stored notebook

TINY = """
encoder = "test_resnet"
encoder_weights = "null"
size = [32, 64]
epochs = 1
pictures = 8
held_out = 4
photo_size = [70, 105]
"""

PICTURES = [
    "pairs", "augmentation", "curves", "sheet", "prediction", "uncertainty", "cleaning", "gallery",
    "cutout", "rgbm",
]  # fmt: skip
"""Ids of the cells that show one."""


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    found = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(found)
    return found


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_outputs(notebook: nbformat.NotebookNode) -> None:
    """Each picture is there, once and as a JPEG, and nothing was warned of."""
    outputs = [(cell.id, output) for cell in code_cells(notebook) for output in cell.outputs]
    shown = [
        (name, {*output.data} - {"text/plain"}) for name, output in outputs if "data" in output
    ]
    assert shown == [(name, {"image/jpeg"}) for name in PICTURES]
    written = [output for _, output in outputs if output.output_type == "stream"]
    assert not [output.text for output in written if "Warning" in output.text]


def test_stored_notebook_has_the_outputs_of_one_run(notebook):
    check_outputs(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert NOTEBOOK.stat().st_size < LARGEST
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"  # or ruff skips the file


def test_notebook_runs_and_shows_its_pictures(notebook, tmp_path, monkeypatch):
    # nothing from the user's home: kernels, start-up files, a backend without pictures
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # without it jupyter_core warns
    for name in ("JUPYTER_PATH", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    for cell in code_cells(notebook):
        cell.outputs = []
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = TINY
    # for a kernel spec named python3, jupyter runs the Python of this process
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises CellExecutionError if a cell fails
    check_outputs(notebook)
