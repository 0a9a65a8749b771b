"""Every test is watched: it fails when it leaves something behind.

Timers, ports, connections and other selectables, descriptors, threads, child processes, jobs in the thread
pool, logged failures, errors in Deferreds that nobody took, coroutines not awaited, files
not closed.

A test says which logged failures it expects: by ``self.flushLoggedErrors(SomeError)`` in a TestCase of trial,
by the fixture ``flush_errors`` in a function.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.support.leaks import Snapshot, Unhandled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from twisted.python.failure import Failure

TURN = 0.01
TURNS = 30
"""How long what is closing may take: a connection ends some turns of the reactor after it was told to."""


def pytest_configure(config: pytest.Config) -> None:
    """Turn into errors what Python would only warn of when it finds it."""
    for warning in ("coroutine .* was never awaited:RuntimeWarning", ":ResourceWarning"):
        config.addinivalue_line("filterwarnings", f"error:{warning}")


def pytest_collection_finish() -> None:
    """Set aside all that was imported, so that a collection after each test takes no time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _running_reactor() -> Any:
    """The reactor, with all that it opens for itself when it first runs and listens: no test's doing."""
    from twisted.internet import reactor

    port = reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
    pytest_twisted.blockon(port.stopListening())
    return reactor


@pytest.fixture
def _unhandled(request: pytest.FixtureRequest) -> Iterator[Unhandled]:
    with Unhandled() as unhandled:
        if isinstance(request.instance, SynchronousTestCase):
            # Trial fails the test for what is logged while it runs, unless it was flushed.
            request.instance.addCleanup(unhandled.forget_failures)
        yield unhandled


@pytest.fixture(autouse=True)
def _folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TestCase works in a folder of its own, where ``mktemp`` gives it names, as it does under trial.

    Every test has its ``tmp_path`` before all else: what lies there outlives what its fixtures started.
    """
    if isinstance(request.instance, SynchronousTestCase):
        monkeypatch.chdir(tmp_path)


@pytest.fixture
def flush_errors(_unhandled: Unhandled) -> Callable[..., list[Failure]]:
    """Call it with exception types: it gives, and forgives, the logged failures of these types."""
    return _unhandled.flush


@pytest.fixture(autouse=True)
def leaves_nothing_behind(_running_reactor: Any, _unhandled: Unhandled) -> Iterator[None]:
    """Fail the test for what it leaves behind."""
    before = Snapshot.take(_running_reactor)
    yield
    for _ in range(TURNS):
        gc.collect()
        left = Snapshot.take(_running_reactor).since(before)
        if not left:
            break
        pytest_twisted.blockon(deferLater(_running_reactor, TURN))
    if left := [*left, *_unhandled]:
        pytest.fail("The test left behind:\n" + "\n".join(left), pytrace=False)
    gc.freeze()  # what is still there is there to stay, and need not be looked through after each test
