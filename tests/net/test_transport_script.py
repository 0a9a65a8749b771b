"""Whatever a protocol and its producers do, and whenever: it goes as on stock Twisted."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcpsuite.net.stream import Stream
from tests.support.stage import Actor, HalfActor, Source, Stage


class DeliberateError(Exception):
    """Raised by an application."""


SIZES = st.sampled_from([0, 1, 1000, 65_536, 65_537])
"""Bytes, around the high-water mark; the kernel takes at once what one step may write."""

DEEDS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("writeSequence"), st.lists(SIZES.filter(bool), max_size=2)),
    st.tuples(st.just("registerProducer"), st.booleans()),
    st.tuples(
        st.sampled_from(
            [
                "unregisterProducer",
                "pauseProducing",
                "resumeProducing",
                "loseConnection",
                "loseWriteConnection",
                "abortConnection",
                "stopConsuming",
                "raise",
            ]
        )
    ),
)
"""What is called, and with what."""

SOME = st.lists(DEEDS, max_size=3)

STEPS: st.SearchStrategy[tuple[str, list[Any]]] = st.one_of(
    st.tuples(st.sampled_from(["in a read", "in a timer"]), SOME),
    st.tuples(st.sampled_from(["at resumeProducing", "at pauseProducing", "at writeConnectionLost"]), SOME),
    st.tuples(st.sampled_from(["the peer finishes", "the peer goes"]), st.just([])),
)
"""When it is done, and what; at a call that a producer or protocol may get later, it is done once."""


class Play:
    """A script as it is played on one stage."""

    def __init__(self, stage: Stage, half: bool) -> None:
        self.stage = stage
        self.later: dict[str, deque[Any]] = {}
        self.actor = (HalfActor if half else Actor)(
            stage,
            "it",
            dataReceived=lambda *_: self.do(self.now),
            writeConnectionLost=lambda *_: self.do_later("at writeConnectionLost"),
        )
        self.now: list[Any] = []
        self.written = 0
        self.finished = False
        self.peer = stage.pair(self.actor)
        self.transport = self.actor.transport
        self.told: list[Any] = []

    def do(self, deeds: list[Any]) -> None:
        """Do these things in a row."""
        for name, *values in deeds:
            if name == "raise":
                raise DeliberateError
            if name == "loseWriteConnection" and self._has_lost_half():
                continue
            if name == "resumeProducing" and self.finished:
                continue  # the FIN would be read once more: before or behind what is written in this turn
            try:
                getattr(self.transport, name)(*self._arguments(name, values))
            except RuntimeError as error:  # a second producer is refused
                self.stage.tell("it", "was told", type(error).__name__)

    def _has_lost_half(self) -> bool:
        # To lose it twice costs the connection on stock Twisted, and to lose it behind the end raises.
        return bool(self.transport._writeDisconnecting or not self.transport.connected)

    def do_later(self, call: str) -> None:
        """Do what was put off until this call, if anything was."""
        if put_off := self.later.get(call):
            self.do(put_off.popleft())

    def _arguments(self, name: str, values: list[Any]) -> list[Any]:
        if name == "write":
            return [self._bytes(values[0])]
        if name == "writeSequence":
            return [[self._bytes(size) for size in values[0]]]
        if name == "registerProducer":
            calls = ("resumeProducing", "pauseProducing")
            deeds = {call: lambda _, call=call: self.do_later(f"at {call}") for call in calls}
            return [Source(self.stage, self.actor, **deeds), values[0]]
        return []

    def _bytes(self, size: int) -> bytes:
        self.written += 1
        return bytes([self.written % 251]) * size

    def step(self, place: str, deeds: list[Any]) -> None:
        """Take one step, and all that follows from it."""
        self.stage.tell(place)
        if place == "in a read":
            self.now = deeds
            self.peer.send(b".")
        elif place == "in a timer":
            self.stage.reactor.callLater(0, self.do, deeds)
        elif place == "the peer finishes":
            self.finished = True
            self.peer.finish()
        elif place == "the peer goes":
            self.peer.close()
        else:
            self.later.setdefault(place, deque()).append(deeds)
        self.stage.rest(0)
        self.stage.tell("behind it", len(self.peer.received), self.peer.end, bool(self.transport.connected))

    def story(self, steps: list[tuple[str, list[Any]]]) -> Any:
        """Take all the steps; gives what was seen and what came."""
        for place, deeds in steps:
            self.step(place, deeds)
            if place == "the peer goes":
                # Why it ends then depends on who notices first, the kernel or a write.
                return [what[:2] for what in self.stage.told], bytes(self.peer.received)
        if isinstance(self.transport, Stream):
            assert self.transport.bytes_out == len(self.peer.received)
            assert self.transport.bytes_in == sum(
                len(what[2]) for what in self.stage.told if what[1:2] == ("heard",)
            )
        return self.stage.told, bytes(self.peer.received)


@pytest.mark.parametrize("half", [False, True], ids=["whole", "halves"])
def test_a_script_goes_as_on_stock_twisted(same, half):
    """What is heard, told, asked of producers, logged and sent, and when, is the same step by step."""

    # In CI the same scripts each time; elsewhere new ones.
    @settings(max_examples=200, deadline=None, derandomize="CI" in os.environ)
    @given(steps=st.lists(STEPS, min_size=1, max_size=7))
    def play(steps):
        same(lambda stage: Play(stage, half).story(steps))

    play()
