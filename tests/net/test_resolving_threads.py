"""Tests for tcpsuite.net.resolving: the threads in which names are looked up."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults

from tcpsuite.net.resolving import MOST_LOOKUPS, NameResolver, look_up_in_threads
from tests.net.test_resolving import Receiver


@pytest_twisted.ensureDeferred
async def test_stuck_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """While fewer names than there are threads are stuck, others are found; their lookups use no thread of
    the reactor's.
    """
    reactor: Any = installed
    go_on = threading.Event()
    ask = socket.getaddrinfo

    def getaddrinfo(name: str, *how: Any) -> Any:
        if name.startswith("stuck"):
            go_on.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no server answers")
        return ask(name, *how)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    resolver = NameResolver(reactor, look_up_in_threads(reactor))
    threads = len(reactor.getThreadPool().threads)
    stuck = [_ask(resolver, f"stuck{number}.example") for number in range(MOST_LOOKUPS - 1)]
    found = await _ask(resolver, "localhost").addTimeout(20, reactor)
    assert {address.host for address in found} <= {"127.0.0.1", "::1"}
    assert {address.port for address in found} == {80}
    assert not any(each.called for each in stuck)
    assert len(reactor.getThreadPool().threads) == threads
    go_on.set()
    assert await gatherResults(stuck) == [[]] * (MOST_LOOKUPS - 1)


@pytest.mark.parametrize("kind", ["tcpsuite.net.reactor", "twisted.internet.pollreactor"])
def test_stop_while_stuck(kind: str) -> None:
    """A reactor that stops does not wait for the lookup of a name, nor does the process."""
    done = subprocess.run([sys.executable, "-c", STUCK.format(kind=kind)], timeout=60, check=True)
    assert done.returncode == 0


STUCK = """
import socket, threading
from {kind} import install
install()
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from tcpsuite.net import resolving

def getaddrinfo(*_):
    reactor.callFromThread(reactor.stop)
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
resolving.install(reactor)
endpoint = HostnameEndpoint(reactor, "stuck.example", 80)
reactor.callWhenRunning(lambda: endpoint.connect(Factory()))
reactor.run()
"""


def _ask(resolver: NameResolver, name: str) -> Deferred[list[Any]]:
    """The addresses of a name, once all are known."""
    receiver = Receiver()
    answer: Deferred[list[Any]] = Deferred()
    receiver.resolutionComplete = lambda: answer.callback(receiver.told[1:])  # type: ignore[method-assign]
    resolver.resolveHostName(receiver, name, 80)
    return answer
