"""Every command of ours that a document shows is one that the program takes: its commands and options are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT

PROGRAMS = (
    "gondola",
    "gondola-ballista",
    "gondola-inference",
    "gondola-operator",
    "gondola-router",
    "gondola-shop",
    "gondola-train",
)
#: A line of a block, or what stands between backticks in a text, that begins with a program or with make.
COMMAND = re.compile(
    rf"^\s*(?:\$ )?((?:{'|'.join(PROGRAMS)}|make) .*)$|`((?:{'|'.join(PROGRAMS)}|make) [^`\n]*)`"
)
#: What stands for something that is left out.
LEFT_OUT = {"...", "..", "…", "|"}


def pages() -> list[Path]:
    """The documents for people; what was measured once has the commands of its day."""
    found = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("examples/**/*.md")]
    found += [PROJECT / "python/README.md", PROJECT / "training/peers/README.md"]
    return sorted(page for page in found if page.name not in {"CHANGELOG.md", "measurements.md"})


def commands(page: Path) -> Iterator[list[str]]:
    """The commands on a page, as words."""
    text = page.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        for match in COMMAND.finditer(line):
            command = (match[1] or match[2]).split("  #")[0]
            command = re.split(r" (?:>|<|\|\||&&|;) ?", command)[0]
            try:
                words = shlex.split(command)
            except ValueError:
                continue
            words = [word for word in words if word not in LEFT_OUT]
            # A sentence that begins with the name of a program is no command.
            if len(words) > 1 and re.fullmatch(r"(?:--)?[a-z][a-z-]*", words[1]):
                yield words


ALL = [(page, command) for page in pages() for command in commands(page)]
OURS = [(page, command) for page, command in ALL if command[0] != "make"]
MAKE = sorted({(page, command[1]) for page, command in ALL if command[0] == "make"})


def name(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    return " ".join(value) if isinstance(value, list) else str(value)


def test_commands_are_found() -> None:
    found = {command[0] for _, command in OURS}
    assert found >= {"gondola", "gondola-ballista", "gondola-inference", "gondola-train"}
    assert len(OURS) > 20
    assert len(MAKE) > 20


@pytest.mark.parametrize(("page", "command"), OURS, ids=name)
def test_a_program_has_the_options_that_a_page_gives_it(page: Path, command: list[str]) -> None:
    folder = Path(os.environ["GONDOLA"]).resolve().parent
    asked = [str(folder / command[0]), *command[1:]]
    # Whatever is unknown is told before help is. A text may name an option without its value.
    for rest in (["--help"], ["VALUE", "--help"]):
        said = subprocess.run([*asked, *rest], capture_output=True, text=True, check=False, timeout=60)
        if said.returncode == 0:
            return
    pytest.fail(f"{page.name}: {' '.join(command)}: {said.stderr}")


@pytest.mark.parametrize(("page", "target"), MAKE, ids=name)
def test_make_has_the_target_that_a_page_names(page: Path, target: str) -> None:
    text = (PROJECT / "Makefile").read_text()
    assert re.search(rf"^{re.escape(target)}:", text, re.MULTILINE), f"{page.name}: make {target}"
