"""The notebook, run from top to bottom with a network of seconds."""

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "notebooks/walkthrough.ipynb"

TINY = """
encoder = "test_resnet"
encoder_weights = "null"
size = [32, 64]
epochs = 1
pictures = 8
held_out = 4
photo_size = [70, 105]
"""

METRICS = [
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


def test_it_is_kept_without_outputs(notebook):
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"  # or ruff passes it over


def test_it_runs_and_shows_its_figures(notebook, tmp_path, monkeypatch):
    # nothing of the user's own: kernels, start-up files, a backend without pictures
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "TMPDIR"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # or jupyter_core warns
    for name in ("JUPYTER_PATH", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    (parameters,) = (
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())
    )
    parameters.source = TINY
    # of a kernel's spec named python3, jupyter replaces the program by this very Python
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=120,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises CellExecutionError where a cell does
    shown = [
        cell.id
        for cell in code_cells(notebook)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
    ]
    assert shown == METRICS
    written = "".join(
        output.text
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream"
    )
    assert "Warning" not in written
