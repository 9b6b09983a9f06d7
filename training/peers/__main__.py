"""Has one package answer one task: `python -m peers PACKAGE FOLDER`.

Exit codes: 0 all models answered, 1 some could not, 2 the package, the task or its models are unknown, 3 the package is not
installed.
"""

import sys
from pathlib import Path

from peers import memory
from peers.catalogue import PACKAGES, NotInstalledError
from peers.compare import UnknownModelsError, compare
from peers.task import Task


def main(arguments: list[str]) -> int:
    """Runs the comparison that the arguments name, and gives the exit code."""
    if len(arguments) != 2:
        return _say("usage: python -m peers PACKAGE FOLDER", 2)
    name, folder = arguments
    if name not in PACKAGES:
        return _say(f"no package {name} (there are {', '.join(PACKAGES)})", 2)
    package = PACKAGES[name]
    try:
        models = package.models()
        memory.stay_within_available()
        failures = compare(package, models, Task.read(Path(folder)))
    except NotInstalledError as error:
        return _say(str(error), 3)
    except (UnknownModelsError, FileNotFoundError, KeyError, ValueError) as error:
        return _say(f"{type(error).__name__}: {error}", 2)
    if failures:
        return _say("without an answer: " + "; ".join(failures), 1)
    return 0


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
