"""The commands of docs/tutorial.md do what the page says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import gondola
from conftest import EXAMPLE, PROJECT

PAGE = PROJECT / "docs/tutorial.md"
ADDRESS = "http://127.0.0.1:8080"


def test_the_commands_of_the_tutorial_run_in_their_order(shop: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7, "each block is tried"
    with gondola.up(EXAMPLE, shop / "store") as pipeline:
        commands = "\n".join(blocks).replace(ADDRESS, pipeline.url)
        # A command that fails ends the script; `!` marks what must find nothing.
        script = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; echo; }\n' + guarded(
            commands
        )
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert run.stdout.count('"items":') >= 5, run.stdout
    assert 'gondola_answers_total{variant="' in run.stdout


def guarded(commands: str) -> str:
    """Bash takes no notice of a command behind ``!`` that should have failed; here it ends the script."""
    return re.sub(r"^! (.*)$", r"if \1; then exit 9; fi", commands, flags=re.MULTILINE)
