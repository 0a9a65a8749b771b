"""The load generator, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import BENCHMARKS
from tests.integration.support.programs import need, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the program."""
    need("cc")
    program = tmp_path_factory.mktemp("load") / "load"
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, BENCHMARKS / "load.c")
    return program
