"""Two connections that send to each other: with their protocols in between, and joined."""

from __future__ import annotations

import pytest
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tcpsuite.errors import LocalError
from tcpsuite.net.stream import Stream
from tests.support.stage import FIN, RESET, Actor, HalfActor, stage

LARGE = b"".join(b"%08d" % number for number in range(1 << 21))
"""16 MiB, more than the kernel takes."""


@implementer(IPushProducer)
class Reading:
    """A connection that is read as long as the other one takes what comes."""

    def __init__(self, stage, actor):
        self._stage = stage
        self._actor = actor

    def pauseProducing(self):
        """It takes no more."""
        self._stage.tell(self._actor.name, "paused")
        self._actor.transport.pauseProducing()

    def resumeProducing(self):
        """It takes more."""
        self._actor.transport.resumeProducing()

    def stopProducing(self):
        """It has gone."""


def _two(stage, kind=Actor):
    """Two actors, each of which sends on what comes, and their peers."""
    one, other = (kind(stage, name) for name in ("one", "other"))
    for near, far in ((one, other), (other, one)):
        near.deeds["dataReceived"] = lambda _, data, far=far: far.transport.write(data)
    return one, other, stage.meet(one), stage.meet(other)


def _join(stage, one, other):
    """Each is the producer of the other; and joined, if these transports can be."""
    for near, far in ((one, other), (other, one)):
        near.transport.registerProducer(Reading(stage, far), True)
    if isinstance(one.transport, Stream):
        one.transport.join(other.transport)


def _events(stage):
    """What was told but for what was heard: joined, the protocols hear nothing."""
    return [what for what in stage.told if what[1] not in ("heard", "paused")]


def test_bytes_pass_both_ways_and_are_counted(same):
    """All arrives, in order, both ways at once, and the counters of both connections are exact."""

    def scene(stage):
        one, other, client, server = _two(stage)
        _join(stage, one, other)
        client.send(LARGE)
        server.send(LARGE[::-1])
        stage.until(lambda: len(server.received) == len(client.received) == len(LARGE))
        if isinstance(one.transport, Stream):
            for actor in (one, other):
                assert actor.transport.bytes_in == actor.transport.bytes_out == len(LARGE)
                assert 0 < actor.transport.reads <= len(LARGE)
        return server.received == LARGE, client.received == LARGE[::-1]

    assert same(scene) == ((True, True), [])


def test_what_was_queued_before_they_are_joined_goes_first(same):
    """Behind data that waits for room comes what is read from then on."""

    def scene(stage):
        one, other, client, server = _two(stage)
        client.reading = False
        server.send(LARGE)
        stage.rest()
        other.transport.pauseProducing()
        _join(stage, one, other)
        server.send(b"the end")
        client.reading = True
        other.transport.resumeProducing()
        stage.until(lambda: client.received.endswith(b"the end"))
        return client.received == LARGE + b"the end"

    assert same(scene) == (True, [])


def test_joined_inside_a_read_that_has_written(same):
    """What a protocol writes to either side in the read in which it joins them goes first."""

    def scene(stage):
        def begin(self, data):
            one.transport.write(b"welcome, ")
            other.transport.write(data)
            _join(stage, one, other)
            one.transport.write(b"here is ")

        one, other, client, server = _two(stage)
        one.deeds["dataReceived"] = begin
        client.send(b"first, ")
        stage.until(lambda: server.received)
        one.deeds["dataReceived"] = lambda _, data: other.transport.write(data)
        client.send(b"second")
        server.send(b"the answer")
        stage.until(lambda: server.received == b"first, second")
        stage.until(lambda: client.received.endswith(b"answer"))
        return bytes(client.received)

    assert same(scene) == (b"welcome, here is the answer", [])


def test_who_takes_nothing_stops_the_other(same):
    """While one takes nothing the other is not read; when it takes again, all arrives."""

    def scene(stage):
        one, other, client, server = _two(stage)
        _join(stage, one, other)
        server.reading = False
        client.send(LARGE)
        stage.rest()
        paused = ("one", "paused") in stage.told
        queued = len(other.transport.dataBuffer) + other.transport._tempDataLen
        server.reading = True
        stage.until(lambda: len(server.received) == len(LARGE))
        return paused, queued < 1 << 20, server.received == LARGE

    assert same(scene) == ((True, True, True), [])


@pytest.mark.parametrize("end", ["finish", "reset", "close"])
@pytest.mark.parametrize("queued", [False, True])
def test_the_end_of_one_is_told_to_its_protocol_alone(same, end, queued):
    """A protocol hears of the end of its connection; the other goes on, and its protocol hears data again."""

    def scene(stage):
        one, other, client, server = _two(stage)
        _join(stage, one, other)
        if queued:
            client.reading = False
            server.send(LARGE)
            stage.rest()
        getattr(client, end)()
        stage.until(lambda: not one.transport.connected)
        other.deeds["dataReceived"] = lambda self, data: self.transport.write(b"alone: " + data)
        other.transport.resumeProducing()
        if not queued:
            server.send(b"hello?")
            stage.until(lambda: server.received == b"alone: hello?")
        assert other.transport.connected
        return [what[:2] for what in _events(stage)]

    assert same(scene) == ([("one", "made"), ("other", "made"), ("one", "lost")], [])


def test_a_fin_ends_one_direction(same):
    """Behind a FIN from one side, passed on, the other direction goes on as before."""

    def scene(stage):
        one, other, client, server = _two(stage, HalfActor)
        one.deeds["readConnectionLost"] = lambda _: other.transport.loseWriteConnection()
        other.deeds["readConnectionLost"] = lambda _: one.transport.loseWriteConnection()
        _join(stage, one, other)
        client.send(LARGE)
        client.send(b"question")
        stage.until(lambda: len(server.received) == len(LARGE) + 8)
        client.finish()
        stage.until(lambda: server.end)
        server.send(b"answer")
        stage.until(lambda: client.received == b"answer")
        open_still = client.end is None
        server.finish()
        stage.until(lambda: client.end)
        return server.end, open_still, client.end, _events(stage)

    (end, open_still, last, events), logged = same(scene)
    assert (end, open_still, last, logged) == (FIN, True, FIN, [])
    assert [what for who, what in events if who == "other"] == ["made", "write half lost", "read half lost"]


def test_a_reset_that_is_met_by_sending(same):
    """One to which the other sends when it has been reset was reset, and has not ended in order."""

    def scene(stage):
        one, other, client, server = _two(stage, HalfActor)
        _join(stage, one, other)
        client.send(b"hello")
        stage.until(lambda: server.received == b"hello")
        client.send(b"more")
        server.reset()
        stage.until(lambda: any(what[:2] == ("other", "lost") for what in stage.told))
        return [what[1:] for what in _events(stage) if what[0] == "other"]

    assert same(scene) == ([("made",), ("lost", "ConnectionLost")], [])


@pytest.mark.parametrize("deed", ["loseConnection", "abortConnection"])
def test_nothing_is_sent_to_one_that_has_ended(same, deed):
    """What comes from the other side behind our own end of the one does not reach it, and is no fault."""

    def scene(stage):
        one, other, client, server = _two(stage)
        _join(stage, one, other)
        client.send(b"hello")
        stage.until(lambda: server.received == b"hello")
        one.transport.unregisterProducer()
        getattr(one.transport, deed)()
        server.send(LARGE[:1000])
        stage.until(lambda: client.end)
        return client.end, [what for what in stage.told if what[1] == "lost"]

    (end, lost), logged = same(scene)
    assert (end, logged) == ((FIN, []) if deed == "loseConnection" else (RESET, []))
    assert [who for who, *_ in lost] == ["one"]


def test_who_is_gone_is_not_joined():
    """Two are joined while both are there: anything else is the caller's fault, who is told so."""
    with stage("tcpsuite") as on:
        one, other, _, peer = _two(on)
        ours = other.transport
        peer.reset()
        on.until(lambda: not ours.connected)
        with pytest.raises(LocalError, match="is gone, or speaks TLS"):
            one.transport.join(ours)
