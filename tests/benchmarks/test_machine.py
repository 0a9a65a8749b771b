"""What the kernel tells of a process and its children, on a machine where children come and go."""

from __future__ import annotations

import os
import subprocess

import pytest

from benchmarks.comparison import machine


def test_a_child_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends while it is looked at counts for nothing; a server that has ended is a fault."""
    with subprocess.Popen(["true"]) as child:
        pass
    monkeypatch.setattr(machine, "family", lambda pid: [pid, child.pid])
    assert machine.busy_seconds(os.getpid()) > 0
    assert machine.resident(os.getpid()) > 0
    with pytest.raises(FileNotFoundError):
        machine.busy_seconds(child.pid)
