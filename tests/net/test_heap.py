"""Memory that goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HASHES = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tcpsuite.core.passwords import hashed
from tcpsuite.net.heap import keep_one, trim

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_one()
with ThreadPoolExecutor(4) as threads:
    before = resident()
    for each in [threads.submit(hashed, "secret", b"x" * 16) for _ in range(12)]:
        each.result()
    trim()
    print(resident() - before)
"""


BLOCKS = """
from resource import RUSAGE_SELF, getrusage
from tcpsuite.net.heap import keep_blocks

def faults():
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [bytes(1 << 20) for _ in range(8)]
        del blocks
    return getrusage(RUSAGE_SELF).ru_minflt - before

print(faults())
keep_blocks()
faults()
print(faults())
"""


def test_blocks_are_kept() -> None:
    """Blocks that are used again and again are taken from the system once."""
    before, behind = map(int, subprocess.check_output([sys.executable, "-c", BLOCKS], text=True).split())
    if before < 1000:
        pytest.skip("this C library keeps them by itself")
    assert behind < before / 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not tell what is resident")
def test_hashes_leave_nothing() -> None:
    """What four threads have hashed passwords in, 16 MiB each time, can be given back when that is done."""
    left = int(subprocess.check_output([sys.executable, "-c", HASHES], text=True, timeout=60))
    assert left < 8 << 20
