"""The reactor's own: its log context, its writers, what it watches, and how it runs."""

from __future__ import annotations

import time
from select import EPOLLERR, EPOLLHUP
from typing import Any

import pytest
from twisted.logger import globalLogPublisher
from twisted.python import log

from tests.support.stage import KINDS, Actor, HalfActor, stage

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


class Named(Actor):
    """A protocol that says itself what lines in the log begin with."""

    def logPrefix(self) -> str:
        """Its name."""
        return f"the {self.name}"


def _run(on, scene):
    """Have the reactor run as in a program, until the scene stops it."""
    on.reactor.callWhenRunning(scene)
    on.reactor.callLater(20, on.reactor.stop)
    on.reactor.run(installSignalHandlers=False)


@ALL_KINDS
@pytest.mark.parametrize(("actor", "name"), [(Actor, "Actor"), (Named, "the one")])
@pytest.mark.parametrize("calls", [["dataReceived", "connectionLost"], ["connectionLost"]])
def test_a_line_in_the_log_begins_with_whom_it_is_about(kind, actor, name, calls):
    """What is logged in a call to a protocol has its name, its number and its peer, at its end too."""
    systems = []

    def observe(event):
        if event.get("log_text", "").startswith("in "):
            systems.append((event["log_text"], event["log_system"]))

    def say(where):
        return lambda *_: log.msg(f"in {where}")

    publisher: Any = globalLogPublisher
    publisher.addObserver(observe)
    try:
        with stage(kind) as on:
            deeds = {call: say(call) for call in calls}
            port = on.listen(lambda: actor(on, "one", **deeds))
            peer = on.connect(port)

            def go():
                say("a timer")()
                peer.send(b"go")
                peer.finish()
                on.reactor.callLater(0.01, look)

            def look():
                if on.told and on.told[-1][1] == "lost":
                    on.reactor.stop()
                else:
                    on.reactor.callLater(0.01, look)

            _run(on, go)
    finally:
        publisher.removeObserver(observe)
    assert systems == [("in a timer", "-"), *((f"in {call}", f"{name},0,127.0.0.1") for call in calls)]


@ALL_KINDS
def test_a_transport_has_a_name_as_long_as_it_is_there(kind):
    """``repr`` and ``logPrefix`` are the same before and behind the end of a connection."""
    with stage(kind) as on:
        actor = Actor(on, "it")
        peer = on.meet(actor)
        transport = actor.transport
        number = peer.socket.getpeername()[1]
        peer.finish()
        on.until(lambda: not transport.connected)
        assert (repr(transport), transport.logPrefix()) == (f"<Actor #0 on {number}>", "Actor,0,127.0.0.1")


def test_writers_are_known():
    """Who wants to write is a writer, from the moment of its asking until all has left or it has gone."""
    with stage("tcpsuite") as on:
        actor = Actor(on, "it")
        peer = on.meet(actor)
        transport, reactor = actor.transport, on.reactor
        assert transport not in reactor.getWriters()
        transport.write(b"x")
        assert reactor.getWriters().count(transport) == 1
        on.until(lambda: peer.received)
        assert transport not in reactor.getWriters()
        peer.reading = False
        transport.write(bytes(32 << 20))
        on.rest()
        assert reactor.getWriters().count(transport) == 1
        assert reactor.removeAll().count(transport) == 1
        assert transport not in reactor.getWriters() + reactor.getReaders()
        reactor.addWriter(transport)
        peer.reading = True
        on.until(lambda: len(peer.received) == (32 << 20) + 1)


def test_its_time_is_steady():
    """It begins with the time of day, and does not go by the wall clock."""
    with stage("tcpsuite") as on:
        reactor = on.reactor
        assert reactor.seconds is not time.time
        assert abs(reactor.seconds() - time.time()) < 1
        assert abs(reactor.callLater(100, lambda: None).getTime() - time.time() - 100) < 1


@ALL_KINDS
def test_connections_end_with_the_reactor(kind):
    """When the reactor stops, each connection is lost, one with data to write no sooner and no later."""
    with stage(kind) as on:
        port = on.listen(lambda: Actor(on, "it"))
        on.connect(port)

        def look():
            if on.told:
                on.actors[0].transport.write(b"x")
                on.reactor.stop()
            else:
                on.reactor.callLater(0.01, look)

        _run(on, look)
        assert on.told == [("it", "made"), ("it", "lost", "ConnectionLost")]


def test_a_reset_that_is_seen_while_it_comes_in():
    """What is over before it can be read, which a reset is for a moment, has not ended in order."""
    with stage("tcpsuite") as on:
        actor = HalfActor(on, "it")
        peer = on.meet(actor)
        fd = actor.transport.fileno()
        peer.reset()
        on.reactor._tell([(fd, EPOLLHUP | EPOLLERR)])
        assert on.told[-1] == ("it", "lost", "ConnectionLost")
