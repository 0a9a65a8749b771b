"""Accepting, where something is missing or goes wrong."""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from tcpsuite.net import port as net_port
from tcpsuite.net.port import EPISODE
from tcpsuite.net.refusing import Reset
from tests.support.stage import FIN, KINDS, RESET, Actor, stage


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A UNIX socket has its place in the test's folder."""
    monkeypatch.chdir(tmp_path)


@contextmanager
def no_descriptors():
    """Let this process have no descriptor more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def errors():
    """The errors that are logged, in words."""
    seen = []

    def observe(event):
        if event["log_level"].name in ("error", "critical"):
            seen.append(event["log_format"].format(**event))

    publisher: Any = globalLogPublisher
    publisher.addObserver(observe)
    try:
        yield seen
    finally:
        publisher.removeObserver(observe)


class Failing:
    """A listening socket of which each accept fails."""

    def __init__(self, listening, number):
        self._listening = listening
        self._number = number
        self.asked = 0

    def accept(self):
        self.asked += 1
        raise OSError(self._number, os.strerror(self._number))

    def __getattr__(self, name):
        return getattr(self._listening, name)


@pytest.mark.parametrize("kind", KINDS)
def test_refused_with_a_reset(kind):
    """It is reset as soon as it is accepted; on our ports, before there is a transport for it."""
    with stage(kind) as on:
        refused = [Reset() for _ in range(3)]
        waiting = iter(refused)
        port = on.listen(lambda: next(waiting))
        peers = [on.connect(port) for _ in refused]
        on.until(lambda: all(peer.end for peer in peers))
        assert [peer.end for peer in peers] == [RESET] * 3
        spared = [protocol.transport is None for protocol in refused]
        assert spared == [kind == "tcpsuite"] * 3


@pytest.mark.parametrize("unix", ["", "a.sock"], ids=["tcp", "unix"])
def test_out_of_descriptors(same, unix):
    """Who comes is turned away while there is no descriptor, and served when there is one again."""

    def scene(stage):
        port = stage.listen(lambda: Actor(stage, "it"), unix)
        waiting = [stage.connect(port) for _ in range(3)]
        with no_descriptors():
            stage.until(lambda: all(peer.end for peer in waiting))
        ends = [peer.end for peer in waiting]
        stage.connect(port)
        stage.until(lambda: stage.told)
        return ends, stage.told

    assert same(scene) == (([FIN] * 3, [("it", "made")]), [])


def test_a_shortage_is_one_line_an_episode():
    """However often descriptors are short within a minute, the log has one line; and one more later."""
    with stage("tcpsuite") as on, errors() as said:
        port = on.listen(lambda: Actor(on, "it"))

        def run_short():
            # With so many more than a port accepts at once, it is woken again and again.
            port.numberAccepts = 1
            peers = [on.connect(port) for _ in range(5)]
            with no_descriptors():
                on.until(lambda: all(peer.end for peer in peers))

        def recover():
            on.told.clear()
            on.connect(port)
            on.until(lambda: on.told)

        run_short()
        assert len(said) == 1
        recover()
        run_short()
        recover()
        assert len(said) == 1
        seconds = on.reactor.seconds
        on.reactor.seconds = lambda: seconds() + EPISODE
        run_short()
        recover()
        assert len(said) == 2
    assert said[0].endswith("no connection can be accepted: Too many open files; who comes is turned away")


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.ECONNABORTED, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS]
)
def test_an_accept_that_fails_holds_nobody_up(same, number, monkeypatch):
    """A port whose accepts fail gives the others their turn, and goes on when they fail no more."""
    monkeypatch.setattr(net_port, "REST", 0.01)

    def scene(stage):
        port = stage.listen(lambda: Actor(stage, "it"))
        plain = port.socket
        stage.connect(port)
        port.socket = failing = Failing(plain, number)
        stage.until(lambda: failing.asked > 1)
        port.socket = plain
        stage.until(lambda: stage.told)
        return stage.told

    assert same(scene) == ([("it", "made")], [])


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_protocol_that_raises_costs_no_port(same, error):
    """Whatever a protocol raises when its connection is made is logged, and the next one is served."""

    def fail(*_):
        raise error

    def scene(stage):
        actors = iter([Actor(stage, "it", connectionMade=fail), Actor(stage, "next")])
        port = stage.listen(actors.__next__)
        stage.connect(port)
        stage.rest()
        stage.connect(port)
        stage.until(lambda: ("next", "made") in stage.told)
        return port.connected

    assert same(scene) == (True, [error.__name__])


def test_a_factory_that_wants_no_client(same):
    """Its client is closed, without a word."""

    def scene(stage):
        peer = stage.connect(stage.listen(lambda: None))
        stage.until(lambda: peer.end)
        return peer.end

    assert same(scene) == (FIN, [])


@pytest.mark.parametrize("name", [None, "a", "four", "longer.sock"])
def test_a_unix_client_may_have_a_name(name):
    """A client is served that has bound its end, to whatever name."""
    with stage("tcpsuite") as on:
        port = on.listen(lambda: Actor(on, "it"), "a.sock")
        with socket.socket(socket.AF_UNIX) as client:
            if name:
                client.bind(name)
            client.connect(port.socket.getsockname())
            on.until(lambda: on.told)
        assert on.told[0] == ("it", "made")


def test_a_port_that_rests_in_the_middle_of_a_crowd():
    """Behind ``pauseProducing`` no one more is accepted, of those who wait already neither; then they are."""
    with stage("tcpsuite") as on:
        port = on.listen(lambda: Actor(on, "it", connectionMade=lambda _: port.pauseProducing()))
        for _ in range(3):
            on.connect(port)
        accepted = []
        for _ in range(3):
            on.rest()
            accepted.append(len(on.told))
            port.resumeProducing()
        assert accepted == [1, 2, 3]
