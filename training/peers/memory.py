"""How much memory a stretch of work took, as the kernel counts it, and how much it may take."""

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")
MEMINFO = Path("/proc/meminfo")
# What is left to everything else on the machine, as a share of what is available at the start.
LEFT_FREE = 0.1


def stay_within_available() -> None:
    """Has allocations fail once they come to more than is available now.

    A dense matrix of every item with every item can be larger than the machine. Then its model has a failed trial, and not
    every model of its package an end by the kernel's hand.
    """
    if MEMINFO.exists():
        stay_within(int(_kibibytes(MEMINFO, "MemAvailable") * 1024 * (1 - LEFT_FREE)))


def stay_within(more_bytes: int) -> None:
    """Has allocations fail once the process has this much more than now."""
    limit = _kibibytes(STATUS, "VmData") * 1024 + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def forget_peak() -> None:
    """Has the kernel count from now on. Where it can't, the peak stays that of the whole process."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """The most memory that was in use since [`forget_peak`], with all that the process had loaded before."""
    if STATUS.exists():
        return _kibibytes(STATUS, "VmHWM") * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _kibibytes(file: Path, name: str) -> int:
    """A line such as `VmHWM:  1024 kB` of one of the kernel's files; 0 where it has none of this name."""
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
