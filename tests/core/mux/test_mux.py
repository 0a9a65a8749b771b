"""Streams are opened, written, ended and reset, and both sides agree."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.mux.events import MuxLimits, What
from tcpsuite.core.mux.frames import INITIAL_WINDOW, MAX_FRAME, Code
from tests.core.mux.wire import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW,
    Side,
    frames,
    sent,
    settle,
    wire,
)


class StreamTests(SynchronousTestCase):
    """Two sides that speak to each other."""

    def setUp(self) -> None:
        self.client, self.server = Side(client=True), Side(client=False)

    def opened(self):
        """A stream that both sides know: as the client has it, and as the server."""
        ours = self.client.mux.open("ours")
        settle(self.client, self.server)
        return ours, self.server.mux.streams[ours.id]

    def test_ids(self) -> None:
        """A client's streams are odd, a server's even."""
        self.assertEqual([self.client.mux.open(None).id for _ in range(3)], [1, 3, 5])
        self.assertEqual([self.server.mux.open(None).id for _ in range(3)], [2, 4, 6])

    def test_open(self) -> None:
        """An open stream without a byte is announced, and accepted in the same turn."""
        self.client.mux.open(None)
        hello = sent(self.client.mux)
        self.assertEqual(frames(hello), [(WINDOW, SYN, 1, 0, b"")])
        self.server.receive(hello)
        answer = sent(self.server.mux)
        self.assertEqual(frames(answer), [(WINDOW, ACK, 1, 0, b"")])
        self.client.receive(answer)
        self.assertEqual([what for what, _, _ in self.client.events], [What.ACCEPTED])

    def test_first_bytes(self) -> None:
        """What is written at once goes with the announcement, and an answer with the acceptance."""
        stream = self.client.mux.open(None)
        self.client.mux.write(stream, b"question")
        hello = sent(self.client.mux)
        self.assertEqual(frames(hello), [(DATA, SYN, 1, 8, b"question")])
        events = self.server.receive(hello)
        self.assertEqual([what for what, _, _ in events], [What.OPENED, What.DATA])
        self.server.mux.write(self.server.mux.streams[1], b"answer")
        self.assertEqual(frames(sent(self.server.mux)), [(DATA, ACK, 1, 6, b"answer")])

    def test_one_frame(self) -> None:
        """Small pieces that wait together leave in one frame."""
        ours, _ = self.opened()
        for piece in (b"a", b"bc", b"", b"def"):
            self.client.mux.write(ours, piece)
        self.assertEqual(frames(sent(self.client.mux)), [(DATA, 0, 1, 6, b"abcdef")])

    def test_turns(self) -> None:
        """A large message leaves in frames, and small ones of other streams between them."""
        large, small = self.client.mux.open(None), self.client.mux.open(None)
        self.client.mux.write(large, bytes(3 * MAX_FRAME))
        self.client.mux.write(small, b"quick")
        lengths = [(number, length) for _, _, number, length, _ in frames(sent(self.client.mux))]
        self.assertEqual(lengths, [(1, MAX_FRAME), (3, 5), (1, MAX_FRAME), (1, MAX_FRAME)])

    def test_limit(self) -> None:
        """About as much is given as is asked for, and the rest when there is room."""
        stream = self.client.mux.open(None)
        self.client.mux.write(stream, b"x" * (2 * MAX_FRAME))
        first = sent(self.client.mux, MAX_FRAME)
        self.assertEqual(len(first), MAX_FRAME + 12)
        self.assertTrue(self.client.mux.has_work)
        self.server.receive(first + sent(self.client.mux, MAX_FRAME))
        self.assertEqual(self.server.read[1], b"x" * (2 * MAX_FRAME))
        self.assertEqual(stream.queued, 0)

    def test_pieces_and_windows(self) -> None:
        """However pieces fall on frames and windows, all arrive in order."""
        ours, _ = self.opened()
        pieces = [bytes([number % 251]) * (number * 997 % 90_000) for number in range(60)]
        for piece in pieces:
            self.client.mux.write(ours, piece)
        settle(self.client, self.server)
        self.assertEqual(self.server.read[1], b"".join(pieces))

    def test_pieces_as_large_as_frames(self) -> None:
        """Where a piece ends with a frame, the next one begins the next."""
        ours, _ = self.opened()
        self.client.mux.write(ours, bytes(MAX_FRAME))
        self.client.mux.write(ours, b"next")
        self.assertEqual([each[3] for each in frames(sent(self.client.mux))], [MAX_FRAME, 4])

    def test_small_pieces(self) -> None:
        """Small pieces that wait take little more than their bytes, and arrive in order with large ones."""
        ours, _ = self.opened()
        self.client.receive(wire(WINDOW, 0, ours.id, 2**20))
        said = [bytes([number % 251]) * (2000 if number % 5000 == 0 else 3) for number in range(100_000)]
        for piece in said:
            self.client.mux.write(ours, piece)
        self.assertLess(len(ours.queue or ()), 100)
        while self.client.mux.has_work:
            self.server.receive(sent(self.client.mux, 1000))
            self.client.receive(sent(self.server.mux))
        self.assertEqual(self.server.read[ours.id], b"".join(said))

    def test_emptied(self) -> None:
        """Of a stream that is watched it is told when all that was queued has left, and not before."""
        ours, _ = self.opened()
        ours.watched = True
        self.client.mux.write(ours, bytes(MAX_FRAME + 1))
        sent(self.client.mux, 1)
        self.assertEqual(self.client.mux.emptied, [])
        sent(self.client.mux, 1)
        self.assertEqual(self.client.mux.emptied, [ours])

    def test_window(self) -> None:
        """No more is sent than the other side has room for; when it takes some, the rest goes."""
        ours, theirs = self.opened()
        self.client.mux.write(ours, bytes(INITIAL_WINDOW + 100))
        self.server.receive(sent(self.client.mux), take=False)
        self.assertFalse(self.client.mux.has_work)
        self.assertEqual((ours.queued, theirs.unread), (100, INITIAL_WINDOW))
        self.server.mux.took(theirs, INITIAL_WINDOW // 2 - 1)
        self.assertFalse(self.server.mux.has_work)
        self.server.mux.took(theirs, 1)
        self.assertEqual(frames(update := sent(self.server.mux)), [(WINDOW, 0, 1, INITIAL_WINDOW // 2, b"")])
        self.client.receive(update)
        self.assertEqual(len(sent(self.client.mux)), 112)

    def test_window_grows(self) -> None:
        """A reader that keeps up is given a larger window, up to the limit; a slow one is not."""
        self.server = Side(client=False, limits=MuxLimits(max_window=3 * INITIAL_WINDOW))
        self.server.mux.round_trip = 0.1
        ours, theirs = self.opened()
        sizes = []
        for seconds in (1.0, 0.3, 0.3, 0.3):
            self.server.now += seconds
            self.client.mux.write(ours, bytes(theirs.size // 2))
            settle(self.client, self.server)
            sizes.append(theirs.size // INITIAL_WINDOW)
        self.assertEqual(sizes, [1, 2, 3, 3])

    def test_windows_grow_together(self) -> None:
        """All windows together grow by half of what may be unread, so that a reader that stops loses nothing;
        what a stream that is over had grown by is there for others.
        """
        most = 8 * INITIAL_WINDOW
        self.server = Side(client=False, limits=MuxLimits(max_unread=most))
        self.server.mux.round_trip = 1.0
        pairs = [self.opened() for _ in range(4)]

        def grow() -> list[int]:
            for _ in range(4):
                for ours, theirs in pairs:
                    self.client.mux.write(ours, bytes(theirs.size))
                    settle(self.client, self.server)
            return [theirs.size // INITIAL_WINDOW for _, theirs in pairs]

        self.assertEqual(grow(), [2, 2, 2, 2])
        for ours, _ in pairs:
            self.client.mux.write(ours, bytes(most))
            self.server.receive(sent(self.client.mux, 1 << 30), take=False)
        self.assertGreater(self.server.mux.unread, most // 2)
        self.assertEqual(self.server.told(What.RESET), [])
        for _, theirs in pairs:
            self.server.mux.took(theirs, theirs.unread)
        settle(self.client, self.server)
        self.client.mux.reset(pairs.pop(0)[0])
        self.assertEqual(sum(grow()), 7)

    def test_half_close(self) -> None:
        """An end goes behind what was written, and the other way goes on."""
        ours, theirs = self.opened()
        self.client.mux.write(ours, b"last")
        self.client.mux.finish(ours)
        self.client.mux.finish(ours)
        self.client.mux.write(ours, b"too late")
        settle(self.client, self.server)
        self.assertEqual([what for what, _, _ in self.server.events], [What.OPENED, What.DATA, What.END])
        self.server.mux.write(theirs, b"still here")
        settle(self.client, self.server)
        self.assertEqual(self.client.read[1], b"still here")
        self.server.mux.finish(theirs)
        settle(self.client, self.server)
        self.assertEqual(self.client.told(What.END), [ours])
        self.assertEqual((self.client.mux.streams, self.server.mux.streams), ({}, {}))

    def test_end_with_data(self) -> None:
        """An end that comes in the frame of the last bytes counts behind them, however the frame is cut."""
        for cut in range(1, 24):
            side = Side(client=False)
            data = wire(DATA, SYN | FIN, 1, payload=b"all of it")
            side.receive(data[:cut])
            side.receive(data[cut:])
            self.assertEqual(bytes(side.read[1]), b"all of it")
            self.assertIs(side.events[-1][0], What.END)

    def test_both_end_at_once(self) -> None:
        """Both may end at the same time."""
        ours, theirs = self.opened()
        self.client.mux.finish(ours)
        self.server.mux.finish(theirs)
        one, other = sent(self.client.mux), sent(self.server.mux)
        self.server.receive(one)
        self.client.receive(other)
        self.assertEqual((self.client.mux.streams, self.server.mux.streams), ({}, {}))

    def test_reset(self) -> None:
        """A reset takes along what is queued, and is told to the other side."""
        ours, theirs = self.opened()
        self.client.mux.write(ours, b"never sent")
        self.client.mux.reset(ours)
        self.client.mux.reset(ours)
        self.assertEqual(frames(goodbye := sent(self.client.mux)), [(WINDOW, RST, 1, 0, b"")])
        self.server.receive(goodbye)
        self.assertEqual(self.server.told(What.RESET), [theirs])
        self.assertEqual((self.client.mux.streams, self.server.mux.streams), ({}, {}))

    def test_late_frames(self) -> None:
        """What was under way when a stream was reset is skipped, and counted."""
        ours, theirs = self.opened()
        self.server.mux.write(theirs, b"under way")
        late = sent(self.server.mux)
        self.client.mux.reset(ours)
        self.client.receive(late + wire(WINDOW, 0, 1, 10) + wire(PING, SYN, 0, 7))
        self.assertEqual(self.client.events[-1][0], What.ACCEPTED)
        self.assertEqual(self.client.mux.counts["skipped"], 2)
        self.assertEqual(frames(sent(self.client.mux))[-1], (PING, ACK, 0, 7, b""))

    def test_reset_while_it_comes(self) -> None:
        """Of a frame whose stream is reset half way the rest is skipped."""
        ours, _ = self.opened()
        data = wire(DATA, 0, 1, payload=b"0123456789") + wire(PING, ACK, 0, 5)
        self.client.receive(data[:15])
        self.client.mux.reset(ours)
        self.client.receive(data[15:])
        self.assertEqual(self.client.read[1], b"012")
        self.assertEqual(self.client.events[-1], (What.PONG, None, 5))
        self.assertEqual(self.client.mux.unread, 0)

    def test_reset_before_it_was_opened(self) -> None:
        """A stream that was never announced is forgotten without a word."""
        self.client.mux.reset(self.client.mux.open(None))
        self.assertFalse(self.client.mux.has_work)

    def test_reset_with_payload(self) -> None:
        """A reset may carry bytes, which mean nothing."""
        _, theirs = self.opened()
        self.server.receive(wire(DATA, RST, 1, payload=b"what for?") + wire(PING, ACK, 0, 1))
        self.assertEqual([what for what, _, _ in self.server.events][-2:], [What.RESET, What.PONG])
        self.assertEqual(theirs.unread, 0)

    def test_unacknowledged(self) -> None:
        """Only so many of ours are announced before the other side has accepted one; the others wait."""
        self.client = Side(client=True, limits=MuxLimits(max_unacknowledged=2))
        streams = [self.client.mux.open(None) for _ in range(5)]
        for stream in streams[1:]:
            self.client.mux.write(stream, b"x")
        self.client.mux.finish(streams[3])
        hello = sent(self.client.mux)
        self.assertEqual([number for _, _, number, _, _ in frames(hello)], [1, 3])
        self.client.mux.reset(streams[2])
        self.client.mux.reset(streams[0])
        self.assertEqual(
            frames(sent(self.client.mux)),
            [(WINDOW, RST, 1, 0, b""), (DATA, SYN, 7, 1, b"x"), (WINDOW, FIN, 7, 0, b"")],
        )
        self.server.receive(hello)
        self.client.receive(sent(self.server.mux))
        self.assertEqual(frames(sent(self.client.mux)), [(DATA, SYN, 9, 1, b"x")])

    def test_ping(self) -> None:
        """A ping is answered with its number."""
        self.client.mux.ping(2**32 - 1)
        settle(self.client, self.server)
        self.assertEqual(self.client.events, [(What.PONG, None, 2**32 - 1)])

    def test_going_away(self) -> None:
        """Who goes away takes no new streams, and keeps the old ones."""
        ours, _ = self.opened()
        self.server.mux.go_away()
        self.server.mux.go_away()
        self.assertEqual(frames(goodbye := sent(self.server.mux)), [(GO_AWAY, 0, 0, 0, b"")])
        self.client.receive(goodbye)
        self.assertEqual(self.client.events[-1], (What.GONE, None, Code.NORMAL))
        self.assertFalse(self.client.mux.can_open)
        self.assertFalse(self.server.mux.can_open)
        late = self.client.mux.open(None)
        self.client.mux.write(ours, b"goes on")
        settle(self.client, self.server)
        self.assertEqual(self.server.read[1], b"goes on")
        self.assertEqual(self.client.told(What.RESET), [late])

    def test_no_ids_left(self) -> None:
        """When the ids are used up, no stream can be opened."""
        self.client.mux._next_id = 2**32 - 1
        self.assertTrue(self.client.mux.can_open)
        self.client.mux.open(None)
        self.assertFalse(self.client.mux.can_open)

    def test_repr(self) -> None:
        """What there is can be seen in a line."""
        ours, _ = self.opened()
        self.assertEqual(repr(self.client.mux), "<Mux client streams=1 unread=0 ready=0>")
        self.assertEqual(repr(self.server.mux), "<Mux server streams=1 unread=0 ready=0>")
        self.client.mux.write(ours, b"abc")
        self.client.mux.finish(ours)
        self.client.receive(wire(WINDOW, FIN, 1))
        self.assertEqual(
            repr(ours), "<Stream 1 window=262144 queued=3 room=262144 unread=0 finished their end>"
        )
