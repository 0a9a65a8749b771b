"""Peers that go wrong, applications that raise, a kernel that refuses: as on stock Twisted."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from tests.support.stage import FIN, RESET, Actor, HalfActor, Source

LARGE = bytes(32 << 20)
"""More than the kernel takes."""

PLACES = pytest.mark.parametrize("place", ["a read", "a timer"])


class DeliberateError(Exception):
    """Raised by an application."""


def fail(*_):
    """Raise it."""
    raise DeliberateError


class Discarded:
    """So many bytes, and nothing else of them."""

    def __init__(self) -> None:
        self.size = 0

    def __iadd__(self, data: bytes) -> Discarded:
        self.size += len(data)
        return self


class Refusing:
    """A socket that refuses to send a few times."""

    def __init__(self, plain: socket.socket, number: int, times: int) -> None:
        self._plain = plain
        self._number = number
        self.times = times

    def send(self, data: bytes) -> int:
        """Send, when it has refused often enough."""
        if self.times:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._plain.send(data)

    def __getattr__(self, name: str):
        return getattr(self._plain, name)


def _do(stage, place, actor, peer, deed):
    """Do it in this place."""
    if place == "a read":
        actor.deeds["dataReceived"] = lambda *_: deed()
        peer.send(b"go")
    else:
        stage.reactor.callLater(0, deed)


def _ended(stage, actor):
    stage.until(lambda: not actor.transport.connected)
    stage.rest()
    return stage.told


@PLACES
def test_a_peer_that_never_reads(same, place):
    """It is owed what was written, its producer pauses, and an abort ends it."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        peer.reading = False
        actor.transport.registerProducer(Source(stage, actor), True)
        _do(stage, place, actor, peer, lambda: actor.transport.write(LARGE))
        stage.rest()
        actor.transport.loseConnection()
        stage.rest()
        assert actor.transport.connected
        actor.transport.abortConnection()
        return [what for what in _ended(stage, actor) if what[1] != "heard"]

    assert same(scene) == (
        [
            ("it", "made"),
            ("it", "pauseProducing"),
            ("it", "stopProducing"),
            ("it", "lost", "ConnectionAborted"),
        ],
        [],
    )


@PLACES
@pytest.mark.parametrize("streaming", [True, False])
def test_a_reset_while_data_is_queued(same, place, streaming):
    """The producer is stopped, and the connection was lost, not closed."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        peer.reading = False
        actor.transport.registerProducer(Source(stage, actor), streaming)
        _do(stage, place, actor, peer, lambda: actor.transport.write(LARGE))
        stage.rest()
        peer.reset()
        return _ended(stage, actor)[-2:]

    assert same(scene) == ([("it", "stopProducing"), ("it", "lost", "ConnectionLost")], [])


@pytest.mark.parametrize("streaming", [True, False])
def test_a_peer_that_closes_while_a_producer_runs(same, streaming):
    """The producer is stopped once, and asked for nothing behind that."""

    def produce(source):
        source.actor.transport.write(bytes(100_000))

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        source = Source(stage, actor, resumeProducing=produce)
        actor.transport.registerProducer(source, streaming)
        produce(source)
        stage.until(lambda: source.asked > 5)
        peer.close()
        told = _ended(stage, actor)
        return told[told.index(("it", "stopProducing")) :][0], [what[1] for what in told].count("lost")

    assert same(scene) == ((("it", "stopProducing"), 1), [])


@pytest.mark.parametrize(("vanish", "reason"), [("close", "ConnectionDone"), ("reset", "ConnectionLost")])
def test_a_peer_that_connects_and_vanishes(same, vanish, reason):
    """It was a connection, and is none; the next one is served."""

    def scene(stage):
        port = stage.listen(
            lambda: Actor(stage, "it", connectionMade=lambda self: self.transport.write(b"hello"))
        )
        getattr(stage.connect(port), vanish)()
        stage.until(lambda: stage.told[-1:] and stage.told[-1][1] == "lost")
        peer = stage.connect(port)
        stage.until(lambda: peer.received == b"hello")
        return [what for what in stage.told if what[1] == "made"], stage.told[1][:2]

    assert same(scene) == (([("it", "made")] * 2, ("it", "lost")), [])


def test_out_of_band_data(same):
    """A byte out of band is no part of the stream, and ends nothing."""

    def scene(stage):
        actor = Actor(stage, "it", dataReceived=lambda self, data: self.transport.write(data))
        peer = stage.meet(actor)
        peer.send(b"one")
        stage.until(lambda: peer.received == b"one")
        peer.socket.send(b"!", socket.MSG_OOB)
        stage.rest()
        peer.send(b"two")
        stage.until(lambda: peer.received == b"onetwo")
        return stage.told

    assert same(scene) == ([("it", "made"), ("it", "heard", b"onetwo")], [])


@PLACES
@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EINTR, errno.EAGAIN])
def test_a_kernel_that_has_no_room_for_now(same, place, number):
    """Everything is sent when it has, in order."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        actor.transport.socket = flaky = Refusing(actor.transport.socket, number, 3)
        _do(stage, place, actor, peer, lambda: [actor.transport.write(each) for each in (b"one", b"two")])
        stage.until(lambda: peer.received == b"onetwo")
        return flaky.times

    assert same(scene) == (0, [])


@PLACES
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT])
def test_a_send_that_fails_is_the_end_but_not_inside_write(same, place, number):
    """``write`` returns as ever; the connection is lost behind it, once."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        actor.transport.socket = Refusing(actor.transport.socket, number, 1)

        def deed():
            actor.transport.write(b"x")
            stage.tell("it", "has written")

        _do(stage, place, actor, peer, deed)
        return _ended(stage, actor)[-2:]

    assert same(scene) == ([("it", "has written"), ("it", "lost", "ConnectionLost")], [])


@pytest.mark.parametrize(
    ("event", "lost"),
    [
        ("connectionMade", None),
        ("dataReceived", "DeliberateError"),
        ("readConnectionLost", "DeliberateError"),
        ("writeConnectionLost", "DeliberateError"),
        ("connectionLost", "ConnectionDone"),
    ],
)
def test_a_protocol_that_raises(same, event, lost):
    """The error is logged once, and costs that connection alone, or only its beginning."""

    def scene(stage):
        port = stage.listen(iter([HalfActor(stage, "it", **{event: fail}), Actor(stage, "next")]).__next__)
        peer = stage.connect(port)
        stage.until(lambda: stage.told)
        actor = stage.actors[0]
        if event == "dataReceived":
            actor.deeds[event] = lambda self, _: (self.transport.write(b"unsent"), fail())
        if event == "writeConnectionLost":
            actor.transport.loseWriteConnection()
            stage.rest()
        else:
            peer.send(b"go")
            peer.finish()
            stage.rest()
            if actor.transport.connected and event != "connectionMade":
                actor.transport.loseConnection()
                stage.rest()
        stage.connect(port)
        stage.until(lambda: stage.told[-1] == ("next", "made"))
        return [what for what in stage.told if what[1] == "lost"], bytes(peer.received)

    losses = [("it", "lost", lost)] if lost else []
    assert same(scene) == ((losses, b""), ["DeliberateError"])


@pytest.mark.parametrize("event", ["pauseProducing", "resumeProducing", "stopProducing"])
@PLACES
def test_a_producer_that_raises(same, event, place):
    """The error is logged; from a read, or when it is asked for more, it costs the connection alone."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        other = Actor(stage, "other", dataReceived=lambda self, data: self.transport.write(data))
        other_peer = stage.meet(other)
        actor.transport.registerProducer(Source(stage, actor, **{event: fail}), True)
        _do(stage, place, actor, peer, lambda: actor.transport.write(bytes(70_000)))
        stage.rest()
        if event == "stopProducing":
            peer.close()
            stage.rest()
            # It got no further: the socket is the application's to close, whose fault it is.
            actor.transport.socket.close()
        other_peer.send(b"still here")
        stage.until(lambda: other_peer.received == b"still here")
        return [what for what in stage.told if what[0] == "it" and what[1] != "heard"]

    _, logged = same(scene)
    assert logged == ["DeliberateError"]


def test_a_write_after_the_end_is_dropped(same):
    """Neither it nor another end says a word; a producer is told."""

    def scene(stage):
        def end(self, *_):
            for _again in range(2):
                self.transport.write(b"late")
                self.transport.writeSequence([b"late", b"later"])
                self.transport.loseConnection()
                self.transport.abortConnection()

        actor = Actor(stage, "it", connectionLost=end)
        peer = stage.meet(actor)
        peer.finish()
        stage.until(lambda: peer.end)
        end(actor)
        stage.rest()
        return bytes(peer.received), peer.end, stage.told[-1]

    assert same(scene) == ((b"", FIN, ("it", "lost", "ConnectionDone")), [])


@PLACES
def test_a_million_small_writes_in_one_turn(same, place):
    """All of them arrive."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)

        def deed():
            for number in range(1_000_000):
                actor.transport.write(b"%d" % (number % 10))
            actor.transport.loseConnection()

        _do(stage, place, actor, peer, deed)
        stage.until(lambda: peer.end)
        return peer.received == b"0123456789" * 100_000, peer.end

    assert same(scene) == ((True, FIN), [])


@PLACES
def test_a_write_of_more_than_the_kernel_takes(same, place):
    """It all arrives, and others are answered meanwhile."""
    size = 1 << 27
    huge = bytes(size)

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        peer.received = seen = Discarded()
        other = stage.meet(Actor(stage, "other", dataReceived=lambda self, data: self.transport.write(data)))
        _do(stage, place, actor, peer, lambda: actor.transport.write(huge))
        stage.until(lambda: seen.size)
        other.send(b"meanwhile")
        stage.until(lambda: other.received == b"meanwhile")
        early = seen.size < size
        stage.until(lambda: seen.size >= size)
        return early, seen.size, peer.end

    assert same(scene) == ((True, size, None), [])


@pytest.mark.parametrize("deed", ["loseConnection", "abortConnection"])
def test_an_end_from_inside_a_pause(same, deed):
    """A producer may end the connection when it is told to pause."""

    def scene(stage):
        actor = Actor(stage, "it")
        peer = stage.meet(actor)
        source = Source(
            stage,
            actor,
            pauseProducing=lambda _: (actor.transport.unregisterProducer(), getattr(actor.transport, deed)()),
        )
        actor.transport.registerProducer(source, True)
        _do(stage, "a read", actor, peer, lambda: actor.transport.write(bytes(70_000)))
        stage.until(lambda: peer.end)
        return len(peer.received), peer.end, _ended(stage, actor)[-1]

    (received, end, last), logged = same(scene)
    closes = deed == "loseConnection"
    assert (received, end, logged) == (70_000 if closes else 0, FIN if closes else RESET, [])
    assert last == ("it", "lost", "ConnectionDone" if closes else "ConnectionAborted")


def test_a_reset_that_is_met_by_the_end_is_told(same):
    """Who was reset while he was busy, and then closes with nothing to send, hears of the reset."""

    def scene(stage):
        actor = Actor(stage)
        peer = stage.meet(actor)

        def busy(_, __):
            peer.reset()
            actor.transport.loseConnection()

        actor.deeds["dataReceived"] = busy
        peer.send(b"x")
        stage.until(lambda: not actor.transport.connected)
        return stage.told[-1]

    assert same(scene) == (("", "lost", "ConnectionLost"), [])
