"""The code of docs/python.md, block by block as somebody would run it; and what is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gondola
from conftest import PROJECT

PAGE = PROJECT / "docs/python.md"


def test_the_page_runs(
    pipeline: gondola.LocalPipeline,
    own_store: Path,
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(PROJECT)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    known = {"STORE": own_store, "REPORT": shop / "report"}
    for number, block in enumerate(blocks):
        code = block.replace("http://127.0.0.1:8080", pipeline.url)
        exec(compile(code, f"{PAGE.name}, block {number}", "exec"), known)
    said = capsys.readouterr().out
    assert len(blocks) == 7
    assert "Receipt(taken=2, duplicates=0, refused=())" in said
    assert "my-trees@canary sha256:" in said
    for item in ("new-1", "new-2"):
        pipeline.client.delete_item(item)


def test_everything_that_is_offered_is_on_the_page_or_a_value() -> None:
    values = {name for name in vars(gondola.types) if not name.startswith("_")}
    others = {
        "BundleFile",
        "Bundle",
        "Manifest",
        "GondolaError",
        "BundleError",
        "UnexpectedAnswer",
        "ProgramMissing",
    }
    others |= {"LocalPipeline", "ModelInput", "Published", "Report", "Sums", "sign_arm", "store_url"}
    page = PAGE.read_text()
    missing = [name for name in gondola.__all__ if name not in values | others and name not in page]
    assert missing == []


def test_a_wheel_has_all_of_the_package_and_says_that_it_is_typed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(PROJECT / "python")], check=True)
    [wheel] = tmp_path.glob("gondola_client-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("METADATA")]
        requires = re.findall(
            r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", archive.read(metadata).decode(), re.MULTILINE
        )
    sources = PROJECT / "python/src"
    for path in sources.glob("gondola/*"):
        if path.name != "__pycache__":
            assert path.relative_to(sources).as_posix() in names
    assert requires == ["httpx"]
    assert "gondola/py.typed" in names


def test_the_dev_container_asks_for_what_there_is() -> None:
    folder = PROJECT / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / container["build"]["dockerfile"]).is_file()
    make, *targets = container["onCreateCommand"].split()
    assert make == "make"
    rules = re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) <= set(rules)
    cache = container["containerEnv"]["GONDOLA_CACHE"]
    assert any(f"target={cache}," in mount for mount in container["mounts"])
    assert container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].startswith(
        cache
    )
