"""What the measurement of affinity prints."""

from __future__ import annotations

from tests.benchmarks.scripts import call, cells


def test_size() -> None:
    """A remembered client takes some hundred bytes in memory, and far less in the file."""
    heads, (in_memory, in_file) = cells(call("affinity.py", "size").stdout)
    assert heads == ["in memory", "in the file"]
    assert 100 < float(in_memory) < 350
    assert 20 < float(in_file) < 50
