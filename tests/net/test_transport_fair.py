"""A connection that is busy without end leaves the others their turns, on stock Twisted as on ours."""

from __future__ import annotations

import pytest

from tests.support.stage import Actor, Source

MEGABYTE = 1 << 20
SOME_READS = 4 * 65_536
"""Bytes, far fewer than the kernel holds for a connection."""
ENDLESS = 500
"""What a test asks for before it is content, where the reactor itself would see no end."""
SOME_TURNS = 25
"""How often a producer, or each of two, is asked in a few turns of the reactor."""


def _echo(stage):
    """The peer of a connection that answers with what it hears."""
    return stage.pair(Actor(stage, "other", dataReceived=lambda self, data: self.transport.write(data)))


def test_who_sends_without_end_does_not_starve_others(same):
    """Beside a connection that always has something to say, others are answered after a few of its reads."""

    def scene(stage):
        read = []

        def hear(_, data):
            stage.told.clear()
            read.append(len(data))

        greedy, other = stage.pair(Actor(stage, "greedy", dataReceived=hear)), _echo(stage)
        much, meanwhile = bytes(4 * MEGABYTE), []
        for count in range(1, 21):
            greedy.send(much)
            read.clear()
            other.send(b"?")
            stage.until(lambda count=count: len(other.received) == count)
            meanwhile.append(sum(read))
        return [0 < size <= SOME_READS for size in meanwhile]

    assert same(scene) == ([True] * 20, [])


@pytest.mark.parametrize("number", [1, 2], ids=["its own", "each other's"])
def test_who_produces_without_end_does_not_starve_others(same, number):
    """Timers and other connections have their turns beside pull producers that write whenever they are asked:
    to their own connection, or to each other's, which has the other one asked.
    """

    def scene(stage):
        actors = [Actor(stage, "endless") for _ in range(number)]
        sources: list[Source] = []
        ticks: list[int] = []

        def asked():
            return sum(source.asked for source in sources)

        def produce(source):
            if asked() < ENDLESS:
                actors[sources.index(source) - 1].transport.write(b"x")

        def tick():
            ticks.append(asked())
            if len(ticks) < 3:
                stage.reactor.callLater(0, tick)

        other = _echo(stage)
        for actor in actors:
            stage.pair(actor)
            sources.append(Source(stage, actor, resumeProducing=produce))
        for source in sources:
            source.actor.transport.registerProducer(source, False)
        stage.reactor.callLater(0, tick)
        other.send(b"?")
        stage.until(lambda: len(ticks) == 3 and other.received)
        soon = asked() < SOME_TURNS
        stage.until(lambda: asked() == ENDLESS)
        return soon

    assert same(scene) == (True, [])
