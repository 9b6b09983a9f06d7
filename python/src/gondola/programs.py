"""Where Gondola's programs are on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .errors import ProgramMissing

#: The variables that name each program.
VARIABLES = {"gondola-inference": "GONDOLA_INFERENCE", "gondola": "GONDOLA"}


def find(name: str, given: str | os.PathLike[str] | None = None) -> Path:
    """The program: the one that is given, else the one that its variable names, else the one in PATH."""
    variable = VARIABLES[name]
    named = given or os.environ.get(variable)
    if named:
        found = shutil.which(named)
        if found is None:
            where = "the argument" if given else variable
            raise ProgramMissing(f"{where} names {os.fspath(named)}, which is no program that can be run")
        return Path(found)
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(
            f"there is no {name} in PATH; build it with make build, and put it there or name it with {variable}"
        )
    return Path(found)


def run(program: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Runs a program to its end: its status, and what it said on stdout and on stderr."""
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | (environment or {}),
    )
    return done.returncode, done.stdout, done.stderr
