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


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not tell what is resident")
def test_hashes_leave_nothing() -> None:
    """What four threads have hashed passwords in, 16 MiB each time, can be given back when that is done."""
    left = int(subprocess.check_output([sys.executable, "-c", HASHES], text=True, timeout=60))
    assert left < 8 << 20
