"""The notebooks run from their first cell to their last, and are committed without what they printed."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import gondola
from conftest import PROJECT

NOTEBOOKS = sorted((PROJECT / "python/notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["bring_your_model", "read_an_experiment"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), "clear it: jupyter nbconvert --clear-output --inplace NOTEBOOK"
        assert cell.get("execution_count") is None


@pytest.mark.usefixtures("shop", "experiment")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its kernel has the package that is tested here, wherever that was found.
    monkeypatch.setenv("PYTHONPATH", str(Path(gondola.__file__).parents[1]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    print("\n".join(_printed(notebook)))


def _printed(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
