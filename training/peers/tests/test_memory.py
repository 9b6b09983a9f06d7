import subprocess
import sys
from pathlib import Path

import numpy as np

from peers import memory


def test_the_peak_is_counted_from_when_it_was_forgotten() -> None:
    np.ones(64 * 1024 * 1024, dtype=np.uint8)
    memory.forget_peak()
    before = memory.peak_bytes()
    np.ones(32 * 1024 * 1024, dtype=np.uint8)
    assert 24 * 1024 * 1024 < memory.peak_bytes() - before < 48 * 1024 * 1024


def test_what_is_too_large_fails_and_ends_nothing() -> None:
    program = """
import numpy as np
from peers import memory
memory.stay_within(256 * 1024 * 1024)
try:
    np.ones(1024 * 1024 * 1024, dtype=np.uint8)
except MemoryError:
    print("failed")
np.ones(64 * 1024 * 1024, dtype=np.uint8)
print("goes on")
"""
    training = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(training), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "failed\ngoes on\n"
