"""The watch over leaks: each kind of leak fails a test, and a clean test passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]

CONNECTED = """
from twisted.internet import protocol, reactor
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString


async def connected():
    server = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    port = await server.listen(protocol.Factory.forProtocol(protocol.Protocol))
    client = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    return port, await connectProtocol(client, protocol.Protocol())
"""

CLEAN = """
import os
import subprocess

import pytest_twisted
from connected import connected
from twisted.internet import defer, protocol, reactor, task, threads
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase


@pytest_twisted.ensureDeferred
async def test_things_that_end():
    port = reactor.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")
    reactor.callLater(60, print).cancel()
    await task.deferLater(reactor, 0)
    assert await threads.deferToThread(int, "7") == 7
    os.close(os.open("/dev/null", os.O_RDONLY))
    subprocess.run(["true"], check=True)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_connection_that_is_closing():
    port, client = await connected()
    client.transport.loseConnection()
    await port.stopListening()


def test_expected_failure(flush_errors):
    defer.fail(ValueError("expected"))
    assert len(flush_errors(ValueError)) == 1


def test_expected_failure_in_a_cycle(flush_errors):
    cycle = [defer.fail(ValueError("expected"))]
    cycle.append(cycle)
    del cycle
    assert len(flush_errors(ValueError)) == 1


class Case(SynchronousTestCase):
    def test_expected_failure(self):
        Logger().failure("expected", failure=Failure(ValueError("expected")))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
"""

LEAKY = """
import os
import subprocess
import threading

import pytest_twisted
from connected import connected
from twisted.internet import defer, protocol, reactor, threads
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

kept = []
never = threading.Event()


def test_timer():
    reactor.callLater(60, print)


@pytest_twisted.ensureDeferred
async def test_timer_of_a_coroutine():
    reactor.callLater(60, print)


def test_port():
    reactor.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")


@pytest_twisted.ensureDeferred
async def test_connection():
    port, client = await connected()
    kept.append(client)
    await port.stopListening()


def test_descriptor():
    os.open("/dev/null", os.O_RDONLY)


def test_child():
    kept.append(subprocess.Popen(["sleep", "20"]))


def test_thread():
    threading.Thread(target=never.wait, daemon=True).start()


@pytest_twisted.ensureDeferred
async def test_job():
    started = defer.Deferred()

    def job():
        reactor.callFromThread(started.callback, None)
        never.wait(20)

    kept.append(threads.deferToThread(job))
    await started


def test_deferred():
    defer.fail(ValueError("nobody took this"))


def test_deferred_in_a_cycle():
    cycle = [defer.fail(ValueError("nobody took this"))]
    cycle.append(cycle)


def test_logged():
    Logger().failure("logged", failure=Failure(ValueError("logged")))


def test_logged_the_old_way():
    log.err(Failure(ValueError("logged")))


def test_coroutine():
    async def never_awaited():
        pass

    never_awaited()


def test_file():
    open("/dev/null")


def test_expected_another(flush_errors):
    defer.fail(ValueError("nobody took this"))
    flush_errors(KeyError)


class Case(SynchronousTestCase):
    def test_timer(self):
        reactor.callLater(60, print)

    def test_deferred_in_a_cycle(self):
        cycle = [defer.fail(ValueError("nobody took this"))]
        cycle.append(cycle)


def teardown_module():
    never.set()
    for each in kept:
        if isinstance(each, subprocess.Popen):
            each.kill()
            each.wait()
"""

TRIAL_JUDGES = """
from twisted.internet import defer
from twisted.trial.unittest import SynchronousTestCase


class Case(SynchronousTestCase):
    def test_deferred(self):
        defer.fail(ValueError("nobody took this"))
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str) -> pytest.RunResult:
    """Run these tests under the watch, in a process of their own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(test_these=source, connected=CONNECTED)
    return pytester.runpytest_subprocess("-p", "tests.support.reactor", "-p", "tests.conftest", "-rA")


def test_clean(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that end what they begin, and say which errors they expect, pass."""
    run(pytester, monkeypatch, CLEAN).assert_outcomes(passed=CLEAN.count("def test_"))


def test_leaks(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of leak fails its test, and the message names what was left."""
    leaks = LEAKY.count("def test_")
    result = run(pytester, monkeypatch, LEAKY)
    result.assert_outcomes(passed=leaks, errors=leaks)
    result.stdout.fnmatch_lines_random(
        [
            "a timer: *",
            "a port, connection or other selectable: *",
            "an open descriptor: * -> /dev/null",
            "a child process: * sleep",
            "a thread: *",
            "a job in the thread pool",
            "a logged failure: *",
            "an error in a finalizer: *never awaited*",
            "an error in a finalizer: *unclosed file*",
        ]
    )


def test_trial_judges(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged while a TestCase runs fails it once, as trial reports it."""
    run(pytester, monkeypatch, TRIAL_JUDGES).assert_outcomes(failed=1)
