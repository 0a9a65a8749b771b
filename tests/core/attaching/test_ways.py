"""Nothing is lost on the way, and nothing comes twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.frames import END, MAX_PAYLOAD, Frame, Kind, broken, passed
from tcpsuite.core.attaching.ways import ENDLESS, SMALL, Incoming, Outgoing
from tcpsuite.errors import ProtocolError


def data(payload: bytes) -> Frame:
    """A frame of bytes."""
    return Frame(Kind.DATA, payload)


def all_of(way: Outgoing) -> list[Frame]:
    """What may be sent now."""
    return list(iter(way.next, None))


class OutgoingTests(SynchronousTestCase):
    """What goes out is kept until it has arrived."""

    def setUp(self) -> None:
        self.way = Outgoing(bound=10)

    def test_in_order(self) -> None:
        """What goes in comes out, up to the end, and nothing behind it."""
        for frame in (data(b"one"), data(b"two"), END, data(b"late"), END):
            self.way.push(frame)
        self.assertEqual(all_of(self.way), [data(b"onetwo"), END])
        self.assertEqual(repr(self.way), "<Outgoing 0 kept, 7 sent, 7 in all END>")
        self.assertFalse(self.way.done)
        self.way.passed(7)
        self.assertTrue(self.way.done)

    def test_reset_behind_a_fin(self) -> None:
        """A reset may follow a FIN, and nothing follows a reset."""
        self.way.push(END)
        all_of(self.way)
        self.way.passed(1)
        for frame in (broken("late"), broken("later"), END, data(b"late")):
            self.way.push(frame)
        self.assertFalse(self.way.done)
        self.assertEqual(all_of(self.way), [broken("late")])
        self.way.resume(1)
        self.assertEqual(all_of(self.way), [broken("late")])
        self.way.passed(2)
        self.assertTrue(self.way.done)

    def test_small_pieces(self) -> None:
        """What came in small pieces is kept in larger ones, whether it was sent or not."""
        for number in range(SMALL + 1):
            self.way.push(data(bytes([number % 256])))
        whole = bytes(number % 256 for number in range(SMALL + 1))
        self.assertEqual(all_of(self.way), [data(whole[:SMALL]), data(whole[SMALL:])])
        self.way = Outgoing()
        for number in range(SMALL + 1):
            self.way.push(data(bytes([number % 256])))
            self.assertEqual(all_of(self.way), [data(bytes([number % 256]))])
        self.way.resume(1)
        self.assertEqual(all_of(self.way), [data(whole[1:SMALL]), data(whole[SMALL:])])

    def test_full(self) -> None:
        """It is full while it keeps its bound, sent or not, and has room when some of it has arrived."""
        self.way.resume(0, window=20)
        self.way.push(data(bytes(10)))
        self.assertTrue(self.way.full)
        all_of(self.way)
        self.assertTrue(self.way.full)
        self.way.passed(1)
        self.assertFalse(self.way.full)

    def test_full_for_who_tells_nothing(self) -> None:
        """Towards who says nothing of what arrived it is full with what waits; the tail stands beside it."""
        self.way.push(data(bytes(10)))
        self.assertTrue(self.way.full)
        all_of(self.way)
        self.assertFalse(self.way.full)
        self.way.push(data(bytes(10)))
        self.assertTrue(self.way.full)
        self.assertEqual(self.way.start, 0)

    def test_large(self) -> None:
        """What is larger than a frame goes in several."""
        self.way.push(data(bytes(2 * MAX_PAYLOAD + 1)))
        self.assertEqual([frame.size for frame in all_of(self.way)], [MAX_PAYLOAD, MAX_PAYLOAD, 1])

    def test_window(self) -> None:
        """No more is under way than the window, but for the end, which holds nothing."""
        self.way.resume(0, window=5)
        self.way.push(data(b"sixsix"))
        self.assertEqual(all_of(self.way), [data(b"sixsi")])
        self.way.passed(2)
        self.assertEqual(all_of(self.way), [data(b"x")])
        self.way.push(data(b"y"))
        self.way.push(END)
        self.assertEqual(all_of(self.way), [data(b"y"), END])

    def test_resume(self) -> None:
        """Whoever resumes has what it does not have yet, and no byte of it twice."""
        for payload in (b"abc", b"def", b"ghi"):
            self.way.push(data(payload))
        all_of(self.way)
        self.way.resume(4)
        self.assertEqual(all_of(self.way), [data(b"efghi")])
        self.assertEqual(self.way.start, 4)
        self.way.resume(9)
        self.assertEqual(all_of(self.way), [])

    def test_window_outlives_carriers(self) -> None:
        """What has arrived and was not passed on takes its room in the window of the next carrier too."""
        self.way.resume(0, window=5)
        self.way.push(data(b"abcdefghij"))
        all_of(self.way)
        self.way.resume(5, window=5)
        self.assertEqual(all_of(self.way), [])
        self.way.passed(3)
        self.assertEqual(all_of(self.way), [data(b"fgh")])

    def test_lost(self) -> None:
        """What is not kept, and what was never sent, cannot be resumed."""
        self.way.push(data(b"abcdef"))
        for received in (1, 6):
            self.assertRaises(ProtocolError, self.way.resume, received)
        all_of(self.way)
        self.way.passed(3)
        for received in (2, 7):
            with self.assertRaises(ProtocolError) as caught:
                self.way.resume(received)
            self.assertEqual(caught.exception.code, "lost")
        self.assertEqual(str(caught.exception), "expected 3 to 6, got 7")
        self.way.resume(3)

    def test_resumed_twice(self) -> None:
        """What one carrier was given can be claimed from the next, which was given less."""
        self.way.push(data(b"abcdef"))
        all_of(self.way)
        self.way.resume(0)
        self.way.resume(6)
        self.assertEqual(self.way.start, 6)

    def test_impossible(self) -> None:
        """What was never sent has not been passed on, and nothing is taken back."""
        self.way.push(data(b"abcdef"))
        self.assertRaises(ProtocolError, self.way.passed, 1)
        all_of(self.way)
        self.way.passed(4)
        self.assertRaises(ProtocolError, self.way.passed, 3)
        self.assertRaises(ProtocolError, self.way.passed, 7)

    def test_tail(self) -> None:
        """Where nobody says what has arrived, a tail of what was sent is kept."""
        self.way.push(data(b"abcdef"))
        all_of(self.way)
        self.way.push(data(b"gh"))
        self.way.trim(4)
        self.way.trim(4)
        self.assertEqual((self.way.start, self.way.end), (2, 8))
        self.way.resume(3)
        self.assertEqual(all_of(self.way), [data(b"def"), data(b"gh")])


class AgainTests(SynchronousTestCase):
    """Whoever resumes, in frames or without, and whatever was forgotten meanwhile."""

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["push", "push", "next", "next", "passed", "trim", "resume"]),
                st.integers(0, 60),
                st.booleans(),
            ),
            max_size=80,
        )
    )
    def test_from_any_place(self, steps: list[tuple[str, int, bool]]) -> None:
        """From any place that is kept the very bytes behind it come; no more waits than may."""
        way = Outgoing(bound=100)
        told = bytearray()
        framed = False
        for what, size, frames in steps:
            if what == "push" and size and not way.full:
                told += bytes((len(told) + number) % 251 for number in range(size))
                way.push(data(bytes(told[-size:])))
            elif what == "next":
                way.next()
            elif what == "passed" and framed:
                way.passed(way.start + size * (way.sent - way.start) // 60)
            elif what == "trim" and not framed:
                way.trim(way.bound)
                assert way.sent - way.start <= way.bound
            elif what == "resume":
                framed = frames
                place = way.start + size * (way.sent - way.start) // 60
                way.resume(place, 1_000 if framed else ENDLESS)
                rest = b"".join(frame.payload for frame in all_of(way))
                assert told[place:].startswith(rest)
                assert framed or rest == told[place:]
            assert way.end == len(told)
            assert way.end - way.sent < way.bound + 60


class IncomingTests(SynchronousTestCase):
    """What comes is counted, and told of when it was passed on."""

    def setUp(self) -> None:
        self.way = Incoming(window=8)

    def test_told(self) -> None:
        """It is told when a quarter of the window was passed on, or something with its end."""
        self.way.take(data(b"a"))
        self.way.pass_on()
        self.assertFalse(self.way.due)
        self.way.take(data(b"b"))
        self.assertFalse(self.way.due)
        self.way.pass_on()
        self.assertTrue(self.way.due)
        self.assertEqual(self.way.tell(), passed(2))
        self.assertFalse(self.way.due)
        self.way.take(END)
        self.way.pass_on()
        self.assertTrue(self.way.due)
        self.assertEqual(self.way.tell(), passed(3))
        self.assertEqual(repr(self.way), "<Incoming 3 received, 3 passed on, 3 told END>")

    def test_window(self) -> None:
        """More than the window is against the protocol; an end holds nothing."""
        self.way.take(data(bytes(8)))
        self.assertRaises(ProtocolError, self.way.take, data(b"9"))
        self.way.take(END)

    def test_behind_the_end(self) -> None:
        """Nothing comes behind the end, but for a reset behind a FIN."""
        self.way.take(END)
        self.assertRaises(ProtocolError, self.way.take, END)
        self.way.take(broken("reset"))
        with self.assertRaises(ProtocolError) as caught:
            self.way.take(data(b"x"))
        self.assertEqual(str(caught.exception), "D behind the end")
        self.assertRaises(ProtocolError, self.way.take, broken("again"))
        self.assertEqual((self.way.received, self.way.last), (2, broken("reset")))


class TogetherTests(SynchronousTestCase):
    """Two ends, and carriers that are cut at any moment."""

    @settings(deadline=None, max_examples=300)
    @given(
        st.lists(st.binary(min_size=1, max_size=40), max_size=30),
        st.integers(1, 50),
        st.lists(st.sampled_from(["send", "deliver", "pass", "tell", "ack", "cut"]), max_size=200),
    )
    def test_exactly_once(self, pieces: list[bytes], window: int, steps: list[str]) -> None:
        """Whatever is cut, what arrives is a beginning of what was sent, and all of it in the end."""
        outgoing, incoming = Outgoing(bound=64), Incoming(window)
        outgoing.resume(0, window)
        for piece in pieces:
            outgoing.push(data(piece))
        outgoing.push(END)
        wire: list[Frame] = []
        answers: list[Frame] = []
        arrived = bytearray()

        def step(what: str) -> None:
            if what == "send" and (frame := outgoing.next()):
                wire.append(frame)
            elif what == "deliver" and wire:
                incoming.take(wire[0])
                arrived.extend(wire.pop(0).payload)
            elif what == "pass":
                incoming.pass_on()
            elif what == "tell":
                answers.append(incoming.tell())
            elif what == "ack" and answers:
                outgoing.passed(answers.pop(0).place)
            elif what == "cut":
                wire.clear()
                answers.clear()
                outgoing.resume(incoming.received, window)

        for what in steps:
            step(what)
        assert b"".join(pieces).startswith(arrived)
        for _ in range(2_000):
            for what in ("send", "deliver", "pass", "tell", "ack"):
                step(what)
        assert arrived == b"".join(pieces)
        assert incoming.last == END
        assert outgoing.done
