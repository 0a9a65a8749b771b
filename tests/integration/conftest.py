"""What the integration tests start.  All of it has ended when the test has."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import need
from tests.integration.support.redis import SERVERS, Redis
from tests.integration.support.suites import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Programs that are entered here are gone behind the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=SERVERS)
def redis_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is run with each kind of server that Redis may be."""
    need(request.param)
    monkeypatch.setattr(Redis, "kind", request.param)


@pytest.fixture
def serve(tmp_path: Path, running: ExitStack) -> Callable[..., Suite]:
    """Start tcpsuite with a configuration of this text, and wait until it is ready.  See :class:`Suite`."""

    def start(text: str, **options: Any) -> Suite:
        return running.enter_context(Suite(text, tmp_path, **options)).started()

    return start
