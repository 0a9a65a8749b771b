"""The Makefile, before anything is installed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.environments import CHECKOUT
from tests.integration.support.programs import need, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("target", ["run", "test"])
def test_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """Without a Python that is new enough and has venv, one line says what to install."""
    need("make")
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of a `make test` around this
    done = run("make", "-C", tmp_path, target, f"PYTHONS={old} no-such-python", check=False)
    first, _, _ = done.stderr.partition("\n")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer with venv: " in first
    assert "apt install python3 python3-venv" in first
    assert not (tmp_path / ".venv").exists()
