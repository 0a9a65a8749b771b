"""A throttled connection that is joined to another: past both protocols while there is room for that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tcpsuite.core.limits.bandwidth import HOLDS, Bucket, Flow, Share
from tcpsuite.net.throttle import Throttle
from tests.support.stage import RESET, Actor, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stage import Peer, Stage

LARGE = b"".join(b"%08d" % number for number in range(1 << 19))
"""4 MiB."""
FAST, MIDDLING = 1e10, 2e7
"""Bytes a second: of the one all of it may always pass, of the other about a tenth of a second's worth."""


@implementer(IPushProducer)
class Reading:
    """A connection that is read as long as the other one takes what comes."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def pauseProducing(self) -> None:
        """It takes no more."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It takes more."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """It has gone."""


class Scene:
    """A client, whose connection is throttled, and a server behind it.

    :ivar heard: bytes that have passed the protocol of each.
    """

    def __init__(self, on: Stage, rate: float) -> None:
        self.on = on
        self.heard = {"one": 0, "other": 0}
        one, other = Actor(on, "one"), Actor(on, "other")
        self.client: Peer = on.meet(one)
        self.server: Peer = on.meet(other)
        self.stream, self.twin = one.transport, other.transport
        begun = on.reactor.seconds() - HOLDS
        self.buckets = [Bucket(rate, begun) for _ in range(2)]
        flows = Flow(), Flow()
        for flow, bucket in zip(flows, self.buckets, strict=True):
            flow.add(bucket)
        self.throttle: Any = Throttle(self.stream, *flows, on.reactor, 65536)

        write = self.throttle.write  # as who learns it before they are joined

        def from_client(data: bytes) -> None:
            self.heard["one"] += len(data)
            self.twin.write(data)

        def from_server(_: object, data: bytes) -> None:
            self.heard["other"] += len(data)
            write(data)

        self.throttle.hand_on = from_client
        one.deeds["dataReceived"] = lambda _, data: self.throttle.received(data)
        one.deeds["connectionLost"] = lambda *_: self.throttle.lost()
        other.deeds["dataReceived"] = from_server
        self.twin.registerProducer(Reading(self.throttle), True)
        self.throttle.registerProducer(Reading(self.twin), True)

    def levels(self) -> list[float]:
        """What the buckets hold, of what they can."""
        now = self.on.reactor.seconds()
        return [bucket.level(now) / bucket.rate / HOLDS for bucket in self.buckets]

    def exchange(self) -> None:
        """Much goes both ways, and arrives."""
        self.client.received.clear()
        self.server.received.clear()
        self.client.send(LARGE)
        self.server.send(LARGE[::-1])
        self.on.until(lambda: len(self.server.received) + len(self.client.received) == 2 * len(LARGE))
        assert self.server.received == LARGE
        assert self.client.received == LARGE[::-1]


@pytest.fixture
def on() -> Iterator[Stage]:
    """Where it is played."""
    with stage("tcpsuite") as found:
        yield found


def test_with_room(on: Stage) -> None:
    """All of it passes from socket to socket, and all is taken from the buckets."""
    scene = Scene(on, FAST)
    scene.throttle.join(scene.twin)
    scene.exchange()
    assert scene.heard == {"one": 0, "other": 0}
    assert scene.stream.bytes_in == scene.twin.bytes_in == len(LARGE)


@pytest.mark.parametrize("late", [0, 1])
def test_room_one_way_first(on: Stage, late: int) -> None:
    """It is joined as soon as there is room both ways, whichever way had it first."""
    scene = Scene(on, FAST)
    bucket = scene.buckets[late]
    bucket.take(Share(bucket), int(FAST * HOLDS))
    scene.throttle.join(scene.twin)
    on.until(lambda: scene.levels()[late] > 0.9)
    for one, other in ((scene.client, scene.server), (scene.server, scene.client)):
        one.send(b"x")
        on.until(partial(len, other.received))
    heard = dict(scene.heard)
    scene.exchange()
    assert scene.heard == heard


def test_without_room(on: Stage) -> None:
    """What there is no room for passes by slices, at the rate; behind that it is joined again."""
    scene = Scene(on, MIDDLING)
    scene.throttle.join(scene.twin)
    begun = on.reactor.seconds()
    scene.exchange()
    took = on.reactor.seconds() - begun
    assert took > len(LARGE) / MIDDLING - 2 * HOLDS
    assert 0 < scene.heard["one"] < len(LARGE)
    assert 0 < scene.heard["other"] < len(LARGE)
    on.until(lambda: min(scene.levels()) > 0.9)
    before = dict(scene.heard)
    scene.client.send(b"x")
    on.until(lambda: scene.server.received.endswith(b"x"))
    assert scene.heard["one"] - before["one"] == 1
    scene.client.send(b"y")
    on.until(lambda: scene.server.received.endswith(b"y"))
    assert scene.heard["one"] - before["one"] == 1


def test_one_more_bucket(on: Stage) -> None:
    """From then on what passes is taken from that too, joined or not."""
    scene = Scene(on, FAST)
    scene.throttle.join(scene.twin)
    now = on.reactor.seconds()
    scene.throttle.add(Bucket(MIDDLING, now), Bucket(MIDDLING, now))
    scene.exchange()
    assert on.reactor.seconds() - now > len(LARGE) / MIDDLING - 2 * HOLDS


@pytest.mark.parametrize("gone", ["client", "server"])
def test_one_goes(on: Stage, gone: str) -> None:
    """What was taken ahead and has not passed is given back, whoever of the two goes first."""
    scene = Scene(on, MIDDLING)
    scene.throttle.join(scene.twin)
    scene.client.send(b"hello")
    on.until(lambda: scene.server.received == b"hello")
    assert scene.heard["one"] == 0
    held = [bucket._level for bucket in scene.buckets]
    getattr(scene, gone).reset()
    stream = getattr(scene, "stream" if gone == "client" else "twin")
    on.until(lambda: not stream.connected)
    if gone == "server":
        scene.throttle.received(b"more")
        assert scene.heard["one"] == 4
        scene.throttle.abortConnection()
        on.until(lambda: scene.client.end == RESET)
    for bucket, before in zip(scene.buckets, held, strict=True):
        assert bucket._level > before
    assert on.reactor.getDelayedCalls() == []
