"""The commands on the pages of docs/ do what the pages say: each page's in its order, against a pipeline of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import gondola
from conftest import EXAMPLE, PROJECT

ADDRESS = "http://127.0.0.1:8080"

#: Pages, how many blocks of commands each has, and what has to be seen of what they say.
PAGES = [
    (
        "tutorial.md",
        10,
        [
            "1 of 1 answers are the same again, every number to the last bit",
            '"fate":"shown"',
            'gondola_answers_total{variant="',
        ],
    ),
    ("online.md", 4, ['"taken":1,"duplicates":0', '"taken":1,"duplicates":1', '"limit":3', '"taken":2']),
    ("open-inference.md", 2, ['"name":"score","shape":[1,2]', '"shown"', '"name":"gondola"']),
    ("batch.md", 1, ["manifest.json"]),
]


@pytest.mark.parametrize(("page", "count", "said"), PAGES, ids=[page for page, _, _ in PAGES])
def test_the_commands_of_a_page_run_in_their_order(
    page: str, count: int, said: list[str], shop: Path, tmp_path: Path
) -> None:
    text = (PROJECT / "docs" / page).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == count, "each block is tried"
    with gondola.up(EXAMPLE, shop / "store") as pipeline:
        commands = "\n".join(blocks).replace(ADDRESS, pipeline.url)
        commands = commands.replace("$PWD/.demo/store", str(shop / "store"))
        commands = commands.replace("/tmp/", f"{tmp_path}/")
        # A command that fails ends the script; `!` marks what must find nothing.
        script = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; echo; }\n' + guarded(
            commands
        )
        run = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=PROJECT,
            env=os.environ | {"PATH": f"{programs()}:{os.environ['PATH']}"},
        )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    for part in said:
        assert part in run.stdout, f"{part} is missing: {run.stdout}"


def programs() -> Path:
    """The folder of the programs, of which one finds another."""
    return Path(os.environ["GONDOLA"]).resolve().parent


def guarded(commands: str) -> str:
    """Bash takes no notice of a command behind ``!`` that should have failed; here it ends the script."""
    return re.sub(r"^! (.*)$", r"if \1; then exit 9; fi", commands, flags=re.MULTILINE)
