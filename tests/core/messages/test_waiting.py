"""What waits, what is kept, and when it is tried again."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.messages.back_off import Reconnecting
from tcpsuite.core.messages.outbox import Outbox, WhenFull
from tcpsuite.core.messages.repeats import Repeats
from tcpsuite.errors import OutOfResources


class OutboxTests(SynchronousTestCase):
    """Three messages, or ten bytes."""

    def box(self, when_full: WhenFull) -> Outbox[str]:
        """With two of them in."""
        box: Outbox[str] = Outbox(3, 10, when_full)
        self.assertEqual([box.put("a", 4), box.put("b", 4)], [(True, []), (True, [])])
        return box

    def drained(self, box: Outbox[Any]) -> list[Any]:
        """All that comes out of it."""
        return [box.get()[0] for _ in range(len(box))]

    def test_order(self) -> None:
        """The first in is the first out, but for those that were out before."""
        box = self.box(WhenFull.FAIL)
        box.put_first([("y", 9), ("z", 9)])
        self.assertEqual(repr(box), "<Outbox messages=4 bytes=26 outside=0>")
        self.assertEqual(self.drained(box), ["y", "z", "a", "b"])
        self.assertEqual(box.get(), (None, []))

    def test_block(self) -> None:
        """Who finds no room waits outside, in turn, until there is some."""
        box = self.box(WhenFull.BLOCK)
        self.assertEqual(box.put("large", 5), (False, []))
        self.assertEqual(box.put("small", 1), (False, []))
        self.assertEqual(len(box), 4)
        self.assertEqual(box.get(), ("a", ["large", "small"]))
        self.assertEqual(self.drained(box), ["b", "large", "small"])

    def test_drop(self) -> None:
        """The oldest go, as many as have to, and are counted."""
        box = self.box(WhenFull.DROP_OLDEST)
        self.assertEqual(box.put("c", 2), (True, []))
        self.assertEqual(box.put("d", 1), (True, ["a"]))
        self.assertEqual(box.put("e", 9), (True, ["b", "c"]))
        self.assertEqual((box.dropped, self.drained(box)), (3, ["d", "e"]))

    def test_fail(self) -> None:
        """There is an error at once."""
        box = self.box(WhenFull.FAIL)
        error = self.assertRaises(OutOfResources, box.put, "c", 3)
        self.assertEqual(str(error), "2 messages wait to be sent already")

    def test_larger_than_all(self) -> None:
        """One that is larger than all that may wait waits alone."""
        box: Outbox[str] = Outbox(3, 10, WhenFull.BLOCK)
        self.assertEqual(box.put("huge", 1000), (True, []))
        self.assertEqual(box.put("a", 1), (False, []))
        self.assertEqual(box.get(), ("huge", ["a"]))

    def test_remove(self) -> None:
        """One that nobody wants to send any more is taken out, inside or outside."""
        box = self.box(WhenFull.BLOCK)
        box.put("c", 9)
        self.assertEqual([box.remove("c"), box.remove("a"), box.remove("a")], [True, True, False])
        self.assertEqual(repr(box), "<Outbox messages=1 bytes=4 outside=0>")

    def test_clear(self) -> None:
        """All of them."""
        box = self.box(WhenFull.BLOCK)
        box.put("c", 9)
        self.assertEqual(box.clear(), ["a", "b", "c"])
        self.assertEqual((len(box), box.put("d", 10)), (0, (True, [])))


class RepeatsTests(SynchronousTestCase):
    """Answers that are kept for ten seconds, three of them, of ten bytes together."""

    def setUp(self) -> None:
        self.repeats = Repeats(10.0, 3, 10)

    def answer(self, number: int, answer: bytes, now: float = 0.0) -> None:
        self.repeats.answered(self.repeats.begin((b"c", number), None), answer, now)

    def found(self, number: int, now: float = 0.0) -> bytes | None:
        found = self.repeats.find((b"c", number), now)
        return None if found is None else found.answer

    def test_repeated(self) -> None:
        """Who asks again is told the same, for ten seconds."""
        self.answer(1, b"one", 5.0)
        self.assertEqual([self.found(1, 14.9), self.found(1, 15.0)], [b"one", None])
        self.assertEqual(self.repeats.repeated, 1)
        self.assertIsNone(self.repeats.find((b"d", 1), 6.0))

    def test_running(self) -> None:
        """While it runs it is found too, and is not forgotten."""
        request = self.repeats.begin((b"c", 1), "somebody")
        self.assertIs(self.repeats.find((b"c", 1), 1000.0), request)
        self.assertEqual((request.owner, request.answer), ("somebody", None))
        self.repeats.forget(request)
        self.assertIsNone(self.repeats.find((b"c", 1), 1000.0))

    def test_most(self) -> None:
        """Past the bound on their number the oldest is forgotten."""
        for number in range(4):
            self.answer(number, b"x")
        self.assertEqual([self.found(number) for number in range(4)], [None, b"x", b"x", b"x"])
        self.assertEqual(repr(self.repeats), "<Repeats running=0 kept=3 bytes=3>")

    def test_bytes(self) -> None:
        """So it is past the bound on their bytes; one that is larger than all is not kept."""
        self.answer(1, b"12345")
        self.answer(2, b"12345")
        self.answer(3, b"1")
        self.assertEqual([self.found(number) for number in (1, 2, 3)], [None, b"12345", b"1"])
        self.answer(4, bytes(11))
        self.assertEqual(len(self.repeats), 0)


class ReconnectingTests(SynchronousTestCase):
    """0.1 s, doubling to 30 s, of which chance takes a part."""

    def test_doubles(self) -> None:
        """Each wait is up to twice as long as the one before, up to the longest."""
        back_off = Reconnecting()
        waits = [back_off.wait(0.0, 1.0) for _ in range(11)]
        self.assertEqual(waits[:4], [0.1, 0.2, 0.4, 0.8])
        self.assertEqual(waits[8:], [25.6, 30.0, 30.0])
        self.assertEqual(back_off.wait(0.0, 0.5), 15.0)
        self.assertEqual(repr(back_off), "<Reconnecting failures=12>")

    def test_endless(self) -> None:
        """A server that never returns is asked for ever."""
        back_off = Reconnecting()
        self.assertEqual(
            {back_off.wait(0.0, 1.0) for _ in range(2000)} - {30.0}, {0.1 * 2**n for n in range(9)}
        )

    def test_health(self) -> None:
        """A connection that lasted 30 s was well; one that did not is one more failure."""
        back_off = Reconnecting()
        back_off.wait(0.0, 1.0)
        back_off.connected(10.0)
        self.assertEqual(repr(back_off), "<Reconnecting failures=1 connected>")
        self.assertEqual(back_off.wait(39.9, 1.0), 0.2)
        back_off.connected(40.0)
        self.assertEqual(back_off.wait(70.0, 1.0), 0.1)
        self.assertEqual(back_off.wait(1000.0, 1.0), 0.2)

    def storm(self, first: float, back: float, chance: Random) -> float:
        """The largest share of 1,000 clients that try within the same 100 ms, once a server is back after
        they have all lost it at once.
        """
        tries: dict[int, int] = {}
        for _ in range(1000):
            back_off, now = Reconnecting(first), 0.0
            while True:
                now += back_off.wait(now, chance.random())
                if now >= back:
                    tries[int(now * 10)] = tries.get(int(now * 10), 0) + 1
                    break
        return max(tries.values()) / 1000

    def test_storm(self) -> None:
        """When the server is away for 3 s no more than 5 % come back within the same 100 ms; with a first
        wait of up to 4 s that holds even when it is back at once.
        """
        self.assertLessEqual(max(self.storm(0.1, 3.0, Random(seed)) for seed in range(10)), 0.05)
        self.assertLessEqual(max(self.storm(4.0, 0.0, Random(seed)) for seed in range(10)), 0.05)
