"""The load generator, compiled, and the place of what is temporary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import BENCHMARKS
from tests.integration.support.programs import need, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the program."""
    need("cc")
    program = tmp_path_factory.mktemp("load") / "load"
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, BENCHMARKS / "load.c")
    return program


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the scripts keep what they need for a while; they leave nothing there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert not list(folder.iterdir())
