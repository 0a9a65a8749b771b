"""What Twisted promises of a stream transport, on stock Twisted and on ours alike."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from tcpsuite.net.stream import Stream
from tests.support.stage import FIN, RESET, Actor, HalfActor, Source

MEGABYTE = 1 << 20
MORE_THAN_THE_KERNEL_TAKES = 32 * MEGABYTE
FULL = 65_537
"""Bytes, one more than the high-water mark."""


def _pattern(size: int) -> bytes:
    return (b"%08d" * (size // 8 + 1) % tuple(range(size // 8 + 1)))[:size]


LARGE = _pattern(MORE_THAN_THE_KERNEL_TAKES)

QUEUED = pytest.mark.parametrize("queued", [b"", b"a few bytes", LARGE], ids=["nothing", "little", "much"])
UNIX = pytest.mark.parametrize("unix", ["", "a.sock"], ids=["tcp", "unix"])


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A UNIX socket has its place in the test's folder."""
    monkeypatch.chdir(tmp_path)


PLACES = ["connectionMade", "dataReceived", "timer", "thread", "other connection", "producer"]


def _play(stage, place, deed, kind=Actor, unix="", **deeds):
    """Do ``deed`` once, with the actor, in this place; gives the actor and its peer.

    :param place: the name of a method of the actor, or who else does it.
    """

    def once(self, *_):
        if not done:
            done.append(True)
            deed(self)

    done: list[bool] = []
    if place in ("connectionMade", "dataReceived"):
        deeds[place] = once
    actor = kind(stage, "it", **deeds)
    peer = stage.meet(actor, unix)
    if place == "dataReceived":
        peer.send(b"go")
    elif place == "timer":
        stage.reactor.callLater(0, once, actor)
    elif place == "thread":
        thread = threading.Thread(target=stage.reactor.callFromThread, args=(once, actor))
        thread.start()
        thread.join()
    elif place == "other connection":
        stage.meet(Actor(stage, "other", dataReceived=lambda *_: once(actor))).send(b"go")
    elif place == "producer":
        source = Source(
            stage, actor, resumeProducing=lambda self: (actor.transport.unregisterProducer(), once(actor))
        )
        actor.transport.registerProducer(source, False)
    stage.until(lambda: done)
    return actor, peer


IN_ALL_PLACES = pytest.mark.parametrize("place", PLACES)


@UNIX
@IN_ALL_PLACES
def test_what_is_written_arrives_in_order(same, place, unix):
    """Bytes arrive as they were written, wherever that was, by ``write`` and ``writeSequence``."""
    pieces = [b"one", b"", b"two", LARGE[:MEGABYTE], b"three", b"four", b"", b"five"]

    def deed(self):
        self.transport.write(pieces[0])
        self.transport.write(pieces[1])
        self.transport.writeSequence(pieces[2:5])
        self.transport.writeSequence([])
        for piece in pieces[5:]:
            self.transport.write(piece)

    def scene(stage):
        actor, peer = _play(stage, place, deed, unix=unix)
        stage.until(lambda: len(peer.received) >= len(b"".join(pieces)))
        stage.rest()
        if isinstance(actor.transport, Stream):
            assert actor.transport.bytes_out == len(peer.received)
        return peer.received, peer.end

    assert same(scene) == ((b"".join(pieces), None), [])


@QUEUED
@IN_ALL_PLACES
@pytest.mark.parametrize("kind", [Actor, HalfActor])
def test_lose_connection_sends_what_is_queued(same, place, queued, kind):
    """``loseConnection`` is a FIN behind all that was written, and what is written in the same turn."""

    def deed(self):
        self.transport.write(queued)
        self.transport.loseConnection()
        self.transport.write(b"!")

    def scene(stage):
        _, peer = _play(stage, place, deed, kind)
        stage.until(lambda: peer.end)
        return peer.received == queued + b"!", peer.end, stage.told

    (complete, end, told), logged = same(scene)
    assert (complete, end, told[-1], logged) == (True, FIN, ("it", "lost", "ConnectionDone"), [])


@QUEUED
@IN_ALL_PLACES
def test_abort_connection_sends_nothing_more(same, place, queued):
    """``abortConnection`` is a reset, and what was written in the same turn or is written later is lost;
    nobody hears of it inside the call.
    """

    def deed(self):
        self.transport.write(queued)
        self.transport.abortConnection()
        self.transport.write(b"!")
        self.transport.loseConnection()
        self.stage.tell(self.name, "aborted")

    def scene(stage):
        _, peer = _play(stage, place, deed)
        stage.until(lambda: peer.end)
        return peer.received, peer.end, stage.told

    (received, end, told), logged = same(scene)
    assert (received, end, logged) == (b"", RESET, [])
    assert told[-2:] == [("it", "aborted"), ("it", "lost", "ConnectionAborted")]


def test_an_abort_in_a_read_sends_nothing_that_there_is_room_for(same):
    """When a connection can be read and written at once, and the read aborts it, nothing is written."""

    def scene(stage):
        sent = []

        def abort(self, _):
            sent.append(getattr(self.transport, "bytes_out", 0))
            self.transport.abortConnection()

        actor = Actor(stage, "it", dataReceived=abort)
        peer = stage.meet(actor)
        peer.reading = False
        actor.transport.write(LARGE)
        stage.rest()
        with suppress(BlockingIOError):
            while True:
                peer.socket.recv(MEGABYTE)
        peer.send(b"go")
        stage.until(lambda: not actor.transport.connected)
        return getattr(actor.transport, "bytes_out", 0) - sent[0], stage.told

    assert same(scene) == (
        (0, [("it", "made"), ("it", "heard", b"go"), ("it", "lost", "ConnectionAborted")]),
        [],
    )


@UNIX
@QUEUED
@IN_ALL_PLACES
@pytest.mark.parametrize("kind", [Actor, HalfActor])
def test_lose_write_connection_leaves_the_other_half(same, place, queued, kind, unix):
    """``loseWriteConnection`` is a FIN behind all that was written; reading goes on, and what is written from
    then on is dropped without a word.
    """

    def deed(self):
        self.transport.write(queued)
        self.transport.loseWriteConnection()

    def scene(stage):
        actor, peer = _play(stage, place, deed, kind, unix)
        stage.until(lambda: peer.end)
        stage.rest()
        actor.deeds["dataReceived"] = lambda self, _: self.transport.write(b"too late")
        for _ in range(3):
            peer.send(b"more")
            stage.rest()
        received, end = peer.received == queued, peer.end
        peer.finish()
        stage.rest()
        actor.transport.loseConnection()
        stage.rest()
        return received, end, stage.told

    (complete, end, told), logged = same(scene)
    assert (complete, end, logged) == (True, FIN, [])
    assert ("it", "heard", b"more" * 3) in told or ("it", "heard", b"gomoremoremore") in told
    assert told[-1] == ("it", "lost", "ConnectionDone")


def test_a_fin_behind_a_producer(same):
    """A FIN asked for while a producer is registered follows what is written next, in a read too."""

    def start(self):
        self.transport.registerProducer(source := Source(self.stage, self), True)
        self.source = source
        self.transport.write(LARGE)
        self.transport.loseWriteConnection()

    def scene(stage):
        actor = HalfActor(stage, "it", connectionMade=start)
        peer = stage.meet(actor)
        stage.until(lambda: len(peer.received) == len(LARGE))
        stage.rest()
        before = peer.end
        actor.deeds["dataReceived"] = lambda self, _: self.transport.write(b"the last")
        peer.send(b"now")
        stage.rest()
        return before, peer.received[-8:], peer.end, stage.told

    (before, last, end, told), _ = same(scene)
    assert (before, last, end) == (None, b"the last", FIN)
    assert told[-1] == ("it", "write half lost")


def test_a_peer_that_finishes_is_still_answered(same):
    """Behind the peer's FIN a protocol that knows of halves goes on writing, and closes when it likes."""

    def scene(stage):
        actor = HalfActor(stage, "it", readConnectionLost=lambda self: self.transport.write(b"answer"))
        peer = stage.meet(actor)
        peer.send(b"question")
        peer.finish()
        stage.rest()
        actor.transport.write(b", and more")
        stage.rest()
        actor.transport.loseConnection()
        stage.until(lambda: peer.end)
        return peer.received, peer.end, stage.told

    (received, end, told), logged = same(scene)
    assert (received, end, logged) == (b"answer, and more", FIN, [])
    assert [what for _, what, *_ in told] == ["made", "heard", "read half lost", "lost"]


@pytest.mark.parametrize("place", ["connectionMade", "dataReceived", "timer", "other connection"])
def test_a_streaming_producer_is_paused_and_resumed(same, place):
    """It is paused by the write that passes the mark, and resumed when all has left, and so again."""

    def deed(self):
        source = Source(self.stage, self, resumeProducing=produce)
        self.transport.registerProducer(source, True)
        self.transport.write(b"x" * (FULL - 1))
        self.stage.tell("it", "is about to pass the mark")
        self.transport.write(b"x")
        self.stage.tell("it", "has passed the mark")

    def produce(source):
        if source.asked < 4:
            source.actor.transport.write(b"y" * FULL)
        else:
            source.actor.transport.unregisterProducer()
            source.actor.transport.loseConnection()

    def scene(stage):
        _, peer = _play(stage, place, deed)
        stage.until(lambda: peer.end)
        return len(peer.received), peer.end, stage.told

    (length, end, told), logged = same(scene)
    assert (length, end, logged) == (4 * FULL, FIN, [])
    start = told.index(("it", "is about to pass the mark"))
    assert [what for who, what, *_ in told[start:] if who == "it"] == [
        "is about to pass the mark",
        "pauseProducing",
        "has passed the mark",
        *["resumeProducing", "pauseProducing"] * 3,
        "resumeProducing",
        "lost",
    ]


@pytest.mark.parametrize("place", ["connectionMade", "dataReceived", "timer", "other connection"])
@pytest.mark.parametrize("size", [1, FULL, MEGABYTE])
def test_a_pull_producer_is_asked_piece_by_piece(same, place, size):
    """It is asked when it is registered, and again when all has left that it wrote."""

    def produce(source):
        source.actor.transport.write(b"%d" % source.asked * size)
        if source.asked == 4:
            source.actor.transport.unregisterProducer()

    def deed(self):
        self.transport.write(b"0")
        self.transport.registerProducer(Source(self.stage, self, resumeProducing=produce), False)
        self.transport.loseConnection()

    def scene(stage):
        _, peer = _play(stage, place, deed)
        stage.until(lambda: peer.end)
        return peer.received, peer.end, stage.told

    (received, end, told), logged = same(scene)
    assert (received, end, logged) == (b"0" + b"".join(b"%d" % n * size for n in range(1, 5)), FIN, [])
    assert [what for who, what, *_ in told if who == "it"].count("resumeProducing") == 4


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_is_told_of_the_end(same, streaming):
    """A producer is stopped when the connection goes, before its protocol hears of it, and one that comes
    later is stopped at once; a second one at a time is refused.
    """

    def deed(self):
        self.transport.registerProducer(Source(self.stage, self), streaming)
        with pytest.raises(RuntimeError):
            self.transport.registerProducer(Source(self.stage, self), streaming)

    def scene(stage):
        actor, peer = _play(stage, "dataReceived", deed)
        peer.reset()
        stage.until(lambda: not actor.transport.connected)
        actor.transport.registerProducer(Source(stage, actor), streaming)
        actor.transport.unregisterProducer()
        return stage.told

    told, logged = same(scene)
    assert [what for _, what, *_ in told[-3:]] == ["stopProducing", "lost", "stopProducing"]
    assert logged == []


@pytest.mark.parametrize("place", ["connectionMade", "dataReceived", "timer", "thread", "other connection"])
def test_a_paused_connection_is_not_read(same, place):
    """Between ``pauseProducing`` and ``resumeProducing`` nothing is heard, of a FIN neither; then all is."""

    def scene(stage):
        actor, peer = _play(stage, place, lambda self: self.transport.pauseProducing())
        stage.tell("paused")
        peer.send(b"held back")
        peer.finish()
        stage.rest()
        stage.tell("resumed")
        actor.transport.resumeProducing()
        stage.until(lambda: not actor.transport.connected)
        return stage.told

    told, logged = same(scene)
    assert told[told.index(("paused",)) :] == [
        ("paused",),
        ("resumed",),
        ("it", "heard", b"held back"),
        ("it", "lost", "ConnectionDone"),
    ]
    assert logged == []


def test_an_answer_leaves_while_reading_is_paused(same):
    """What is written beside a ``pauseProducing`` in a read leaves all the same."""

    def deed(self):
        self.transport.write(b"one")
        self.transport.pauseProducing()
        self.transport.write(b"two")

    def scene(stage):
        _, peer = _play(stage, "dataReceived", deed)
        stage.until(lambda: peer.received == b"onetwo")
        return True

    assert same(scene) == (True, [])


@pytest.mark.parametrize("place", ["timer", "other connection"])
def test_an_aborted_connection_is_not_read_any_more(same, place):
    """``resumeProducing`` behind ``abortConnection`` brings nothing of what the peer had sent by then."""

    def deed(self):
        self.transport.abortConnection()
        self.transport.resumeProducing()

    def scene(stage):
        actor = Actor(stage, "it", connectionMade=lambda self: self.transport.pauseProducing())
        stage.pair(actor).send(b"held back")
        if place == "timer":
            stage.reactor.callLater(0, deed, actor)
        else:
            stage.pair(Actor(stage, "other", dataReceived=lambda *_: deed(actor))).send(b"go")
        stage.until(lambda: not actor.transport.connected)
        return [what for who, *what in stage.told if who == "it"]

    assert same(scene) == ([["made"], ["lost", "ConnectionAborted"]], [])
