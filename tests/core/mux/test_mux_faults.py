"""Whatever the other side sends, it is named, nothing is kept of it, and others do not suffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.mux.events import MuxLimits, What
from tcpsuite.core.mux.frames import INITIAL_WINDOW
from tests.core.mux.wire import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW, Side, frames, sent, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.mux.stream import Stream


class FaultTests(SynchronousTestCase):
    """A server, and frames by hand."""

    def fault(self, data: bytes, side: Side | None = None) -> str:
        """Why ``data`` ends the connection; the other side is told."""
        side = side or Side(client=False)
        side.receive(data)
        what, stream, error = side.events[-1]
        self.assertEqual((what, stream), (What.FAULT, None))
        self.assertIn((GO_AWAY, 0, 0, 1, b""), frames(sent(side.mux)))
        before = len(side.events)
        self.assertEqual(side.receive(wire(PING, ACK, 0)), [])
        self.assertEqual(len(side.events), before)
        self.assertFalse(side.mux.can_open)
        return f"{error.code}: {error}"

    def test_header(self) -> None:
        """Versions, types and flags that there are not."""
        self.assertEqual(self.fault(wire(DATA, 0, 1, version=1)), "version: expected yamux version 0, got 1")
        self.assertEqual(self.fault(wire(4, 0, 1)), "type: expected type 0 to 3, got 4")
        self.assertEqual(self.fault(wire(DATA, 16, 1)), "flags: expected flags of 0x000f, got 0x0010")
        self.assertTrue(self.fault(b"GET / HTTP/1.1\r\n").startswith("version: "))

    def test_before_it(self) -> None:
        """What came before the fault counts."""
        side = Side(client=False)
        self.fault(wire(DATA, SYN, 1, payload=b"good") + wire(9, 0, 0), side)
        self.assertEqual(side.read[1], b"good")

    def test_ids(self) -> None:
        """New streams of the wrong parity, of no id, and of one in use."""
        self.assertEqual(
            self.fault(wire(WINDOW, SYN, 2)), "stream: expected an odd id of a new stream, got 2"
        )
        self.assertEqual(
            self.fault(wire(WINDOW, SYN, 0)), "stream: expected an odd id of a new stream, got 0"
        )
        self.assertEqual(
            self.fault(wire(WINDOW, SYN, 1), Side(client=True)),
            "stream: expected an even id of a new stream, got 1",
        )
        self.assertEqual(self.fault(2 * wire(WINDOW, SYN, 1)), "stream: stream 1 is open already")

    def test_windows(self) -> None:
        """More than there is room for, before it is sent, and a window of more than 32 bits."""
        self.assertEqual(
            self.fault(wire(WINDOW, SYN, 1) + wire(DATA, 0, 1, length=INITIAL_WINDOW + 1)),
            "window: stream 1: expected at most 262144 bytes, got 262145",
        )
        self.assertEqual(
            self.fault(wire(DATA, SYN, 1, length=2**32 - 1)),
            "window: stream 1: expected at most 262144 bytes, got 4294967295",
        )
        self.assertEqual(
            self.fault(wire(WINDOW, SYN, 1, 2**32 - 1)),
            "window: stream 1: a window of 262144 + 4294967295 bytes",
        )

    def test_behind_the_end(self) -> None:
        """Bytes, and another end, behind the end."""
        ended = wire(WINDOW, SYN | FIN, 1)
        self.assertEqual(
            self.fault(ended + wire(DATA, 0, 1, payload=b"x")), "state: stream 1: data behind its end"
        )
        self.assertEqual(self.fault(ended + wire(WINDOW, FIN, 1)), "state: stream 1: a second end")

    def test_floods(self) -> None:
        """Who asks and asks, and does not read the answers, is cut off; who reads them is not."""
        side = Side(client=False, limits=MuxLimits(max_replies=10))
        for _ in range(3):
            side.receive(11 * wire(PING, SYN, 0))
            self.assertEqual(len(sent(side.mux)), 132)
        side.receive(11 * wire(PING, SYN, 0))
        self.assertEqual(
            self.fault(wire(PING, SYN, 0), side), "flood: 11 answers wait, and nobody reads them"
        )

    def test_many_streams(self) -> None:
        """Past the limit new streams are refused, one by one, with what they carry, until others end."""
        side = Side(client=False, limits=MuxLimits(max_streams=2))
        for number in (1, 3, 5):
            side.receive(wire(DATA, SYN, number, payload=b"hi"))
        self.assertEqual(sorted(side.mux.streams), [1, 3])
        self.assertIn((WINDOW, RST, 5, 0, b""), frames(sent(side.mux)))
        self.assertEqual(side.mux.counts, {"refused": 1})
        side.receive(wire(WINDOW, RST, 1) + wire(WINDOW, SYN, 7))
        self.assertEqual(sorted(side.mux.streams), [3, 7])

    def test_reset_in_every_state(self) -> None:
        """However far a stream is, its reset ends it once, takes all of it along, and leaves others alone."""
        states: dict[str, Callable[[Side, Stream], object]] = {
            "announced": lambda side, stream: None,
            "accepted": lambda side, stream: side.receive(wire(WINDOW, ACK, stream.id)),
            "ended here": lambda side, stream: side.mux.finish(stream),
            "ended there": lambda side, stream: side.receive(wire(WINDOW, FIN, stream.id)),
            "queued": lambda side, stream: side.mux.write(stream, bytes(INITIAL_WINDOW + 1)),
            "unread": lambda side, stream: side.receive(wire(DATA, 0, stream.id, payload=b"x"), take=False),
        }
        for one, first in states.items():
            for other, second in states.items():
                for leaves in (True, False):
                    if (one, other) == ("ended there", "unread"):
                        continue  # that is a fault of its own
                    side = Side(client=True)
                    stream, neighbour = side.mux.open(None), side.mux.open(None)
                    sent(side.mux)
                    for act in (first, second) if one != other else (first,):
                        act(side, stream)
                        if leaves:
                            sent(side.mux)
                    over = stream.id not in side.mux.streams  # for it has ended both here and there
                    side.receive(2 * wire(WINDOW, RST, stream.id))
                    where = f"{one}, {other}"
                    self.assertEqual(side.told(What.RESET), [] if over else [stream], where)
                    self.assertEqual((side.mux.unread, stream.queued), (0, 0), where)
                    self.assertEqual(side.mux.counts, {"skipped": 1 + over}, where)
                    side.mux.write(neighbour, b"goes on")
                    self.assertEqual(frames(sent(side.mux))[-1][4], b"goes on", where)
                    self.assertEqual(side.mux.streams, {neighbour.id: neighbour}, where)

    def test_reset_in_their_turn(self) -> None:
        """Streams that are reset before their turn are not looked for, nor kept; the others have theirs."""
        side = Side(client=False)
        numbers = range(1, 201, 2)
        side.receive(b"".join(wire(WINDOW, SYN, number) for number in numbers))
        side.receive(b"".join(wire(WINDOW, RST, number) for number in numbers if number % 10 != 9))
        self.assertLessEqual(len(side.mux._ready), 40)
        self.assertEqual([each[2] for each in frames(sent(side.mux))], list(range(9, 201, 10)))

    def test_nobody_reads(self) -> None:
        """The stream that holds most of what nobody reads is reset when all hold too much; others go on."""
        side = Side(client=False, limits=MuxLimits(max_unread=250))
        side.receive(wire(DATA, SYN, 1, payload=bytes(100)), take=False)
        side.receive(wire(DATA, SYN, 3, payload=bytes(120)), take=False)
        sent(side.mux)
        side.receive(wire(WINDOW, SYN, 5), take=False)
        self.assertEqual(frames(sent(side.mux)), [(WINDOW, RST, 5, 0, b"")])
        loser, other = side.mux.streams[1], side.mux.streams[3]
        side.receive(wire(DATA, 0, 1, payload=bytes(31)), take=False)
        self.assertEqual(side.events[-1], (What.RESET, loser, "it held too much that nobody read"))
        self.assertEqual(side.mux.counts["reset"], 1)
        self.assertEqual(side.mux.unread, 120)
        side.mux.took(other, 120)
        self.assertEqual(side.mux.unread, 0)

    def test_no_growth(self) -> None:
        """No window grows while much is unread."""
        side = Side(client=False, limits=MuxLimits(max_unread=2 * INITIAL_WINDOW))
        side.mux.round_trip = 100.0
        side.receive(wire(DATA, SYN, 1, payload=bytes(INITIAL_WINDOW)), take=False)
        side.receive(
            wire(DATA, SYN, 3, payload=bytes(1)) + wire(DATA, 0, 3, payload=bytes(INITIAL_WINDOW - 1))
        )
        self.assertEqual(side.mux.streams[3].size, INITIAL_WINDOW)

    def test_unknown(self) -> None:
        """Frames of no stream are skipped, whatever they say but a beginning."""
        side = Side(client=False)
        side.receive(
            wire(DATA, 0, 9, payload=b"abc")
            + wire(WINDOW, ACK, 2)
            + wire(WINDOW, FIN, 8)
            + wire(DATA, RST, 4)
        )
        self.assertEqual((side.events, side.mux.counts["skipped"]), ([], 4))

    def test_not_announced(self) -> None:
        """Frames for a stream of ours that was not announced yet are skipped as those for no stream are."""
        side = Side(client=True, limits=MuxLimits(max_unacknowledged=1))
        first, second, third = (side.mux.open(None) for _ in range(3))
        for flags in (0, ACK, FIN, RST):
            side.receive(wire(DATA, flags, second.id, payload=b"x") + wire(WINDOW, flags, third.id, 9))
        self.assertEqual((side.events, side.mux.counts["skipped"]), ([], 8))
        self.assertEqual(frames(sent(side.mux)), [(WINDOW, SYN, first.id, 0, b"")])
        side.receive(wire(WINDOW, RST, first.id))
        self.assertEqual(frames(sent(side.mux)), [(WINDOW, SYN, second.id, 0, b"")])
        side.mux.reset(third)
        self.assertEqual(side.mux.streams, {second.id: second})

    def test_too_much_with_the_end(self) -> None:
        """What comes with a stream's end counts as all that comes: past the limit the stream is reset."""
        side = Side(client=False, limits=MuxLimits(max_unread=100))
        side.receive(wire(WINDOW, SYN, 1), take=False)
        stream = side.mux.streams[1]
        side.mux.finish(stream)
        sent(side.mux)
        side.receive(wire(DATA, FIN, 1, payload=bytes(101)), take=False)
        self.assertEqual([what for what, _, _ in side.events], [What.OPENED, What.DATA, What.RESET])
        self.assertEqual((side.mux.streams, side.mux.unread), ({}, 0))

    def test_half_a_frame(self) -> None:
        """Room is given for what was taken, not for what has been announced and has not come."""
        side = Side(client=False)
        side.receive(wire(WINDOW, SYN, 1))
        sent(side.mux)
        data = wire(DATA, 0, 1, payload=bytes(INITIAL_WINDOW))
        side.receive(data[: INITIAL_WINDOW // 2])
        self.assertEqual(sent(side.mux), b"")
        side.receive(data[INITIAL_WINDOW // 2 : -1])
        self.assertEqual(frames(sent(side.mux)), [(WINDOW, 0, 1, INITIAL_WINDOW - 1, b"")])

    def test_odd_but_harmless(self) -> None:
        """An acceptance twice, an answer to no ping, and ends of the other type."""
        side = Side(client=True)
        stream = side.mux.open(None)
        sent(side.mux)
        side.receive(2 * wire(WINDOW, ACK, 1) + wire(PING, 0, 0, 3) + wire(PING, ACK, 0, 3))
        self.assertEqual([what for what, _, _ in side.events], [What.ACCEPTED, What.PONG])
        self.assertEqual(side.mux.streams, {1: stream})
