"""How much memory a stretch of work took, as the kernel counts it."""

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Has the kernel count from now on. Where it can't, the peak stays that of the whole process."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """The most memory that was in use since [`forget_peak`], with all that the process had loaded before."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
