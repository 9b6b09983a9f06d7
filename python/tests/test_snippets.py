"""The clients of docs/clients.md, in five languages: each runs against a pipeline, and the page shows what ran."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gondola
from conftest import PROJECT

CLIENTS = PROJECT / "examples/clients"
PAGE = PROJECT / "docs/clients.md"
FENCES = {".sh": "sh", ".py": "python", ".ts": "typescript", ".go": "go"}


def test_the_page_shows_the_files_as_they_are() -> None:
    fences = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shown = {content: language for language, content in fences}
    for path in sorted(CLIENTS.iterdir()):
        assert shown.get(path.read_text()) == FENCES[path.suffix], (
            f"docs/clients.md does not show {path.name} as it is"
        )
    assert len(fences) == len(list(CLIENTS.iterdir())), "the page has code that no test runs"


def _program(variable: str, name: str) -> str:
    program = shutil.which(os.environ.get(variable) or name)
    if program is None:
        pytest.skip(f"there is no {name} here; {variable} may name one")
    return program


def _run(*command: str, path: str | None = None, folder: Path | None = None) -> str:
    environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def wanted(pipeline: gondola.LocalPipeline) -> list[str]:
    """What a user of the tests is recommended, before anybody's click counts."""
    pipeline.client.put_user("snippets", {"age": "45-54"}, history=[gondola.Purchase("1082185", 4, 3.0)])
    return pipeline.client.recommend("snippets", k=3).ids


def _check(said: str, wanted: list[str], pipeline: gondola.LocalPipeline) -> None:
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[:3]] == wanted
    similar = pipeline.client.similar(wanted[0], k=3).ids
    assert lines[3] == f"similar: {' '.join(similar)}"
    assert lines[4] == "taken: 1"
    assert lines[5].startswith("refused: ")
    assert "there is no item no such item" in lines[5]
    assert len(lines) == 6


def test_python(pipeline: gondola.LocalPipeline, wanted: list[str]) -> None:
    said = _run(sys.executable, str(CLIENTS / "client.py"), pipeline.url, "snippets")
    _check(said, wanted, pipeline)


def test_typescript(pipeline: gondola.LocalPipeline, wanted: list[str]) -> None:
    node = _program("GONDOLA_NODE", "node")
    version = int(_run(node, "--version").removeprefix("v").partition(".")[0])
    if version < 24:
        pytest.skip(f"Node {version} does not run TypeScript as it is; GONDOLA_NODE may name another")
    _check(_run(node, str(CLIENTS / "client.ts"), pipeline.url, "snippets"), wanted, pipeline)


def test_go(pipeline: gondola.LocalPipeline, wanted: list[str], tmp_path: Path) -> None:
    go = _program("GONDOLA_GO", "go")
    assert _run(str(Path(go).parent / "gofmt"), "-l", str(CLIENTS / "client.go")) == "", (
        "gofmt would write it otherwise"
    )
    _check(
        _run(go, "run", str(CLIENTS / "client.go"), pipeline.url, "snippets", folder=tmp_path),
        wanted,
        pipeline,
    )


def test_curl(pipeline: gondola.LocalPipeline, wanted: list[str]) -> None:
    import json

    answer, similar, receipt = _run(str(CLIENTS / "curl.sh"), pipeline.url, "snippets").splitlines()
    assert [item["item"] for item in json.loads(answer)["items"]] == wanted
    assert [item["item"] for item in json.loads(similar)["items"]] == pipeline.client.similar(
        wanted[0], k=3
    ).ids
    assert json.loads(receipt)["taken"] == 1


def test_grpcurl(pipeline: gondola.LocalPipeline, wanted: list[str]) -> None:
    grpcurl = _program("GONDOLA_GRPCURL", "grpcurl")
    address = pipeline.url.removeprefix("http://")
    said = _run(str(CLIENTS / "grpcurl.sh"), address, "snippets", path=str(Path(grpcurl).parent))
    assert "gondola.v1.Recommender\n" in said
    assert "optional uint32 k = 2;" in said
    assert re.findall(r'"item": "([^"]*)"', said)[:3] == wanted
    assert len(re.findall(r'"item": "([^"]*)"', said)) == 6
    assert '"status": "SERVING"' in said
