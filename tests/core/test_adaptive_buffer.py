"""A queue of bytes whose memory grows and shrinks with what it holds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.buffers import CAPACITY, LIMIT, AdaptiveBuffer
from tcpsuite.errors import LocalError, OutOfResources

KIB, MIB = 1024, 1024 * 1024


class AdaptiveBufferTests(SynchronousTestCase):
    """A queue of bytes that begins with four."""

    def setUp(self) -> None:
        self.buffer = AdaptiveBuffer(capacity=4, limit=64)

    def assert_state(self, text: str) -> None:
        self.assertEqual(repr(self.buffer), f"<AdaptiveBuffer {text}>")

    def test_in_and_out(self) -> None:
        """What goes in comes out, in order, in any pieces."""
        self.buffer.append(b"abc")
        self.buffer.append(bytearray(b"de"))
        self.buffer.append(memoryview(b"fg"))
        self.assertEqual(len(self.buffer), 7)
        self.assertEqual(self.buffer.take(2), b"ab")
        self.buffer.drop(3)
        self.assertEqual(self.buffer.take(), b"fg")
        self.assertEqual(self.buffer.take(), b"")
        self.assertFalse(self.buffer)

    def test_no_memory_before_the_first_byte(self) -> None:
        """A buffer that never held anything has no memory."""
        self.assert_state("0 of 0 bytes, 0 resizes")
        self.buffer.append(b"a")
        self.assert_state("1 of 4 bytes, 1 resizes")

    def test_doubles_as_it_fills(self) -> None:
        """When its memory is full it doubles, and not before."""
        for size, capacity in ((4, 4), (5, 8), (8, 8), (9, 16), (16, 16), (17, 32)):
            self.buffer.append(bytes(size - len(self.buffer)))
            self.assertEqual(self.buffer.stats()["capacity"], capacity)
        self.assertEqual(self.buffer.stats()["resizes"], 4)

    def test_grows_at_once(self) -> None:
        """For a large piece it grows once, not step by step."""
        self.buffer.append(bytes(33))
        self.assert_state("33 of 64 bytes, 1 resizes")

    def test_gives_back_as_it_empties(self) -> None:
        """At a quarter full it gives half back; empty, all but what it began with."""
        self.buffer.append(bytes(range(32)))
        self.buffer.drop(23)
        self.assert_state("9 of 32 bytes, 1 resizes")
        self.buffer.drop(1)
        self.assert_state("8 of 16 bytes, 2 resizes")
        self.assertEqual(self.buffer.take(4), bytes((24, 25, 26, 27)))
        self.assert_state("4 of 8 bytes, 3 resizes")
        self.assertEqual(self.buffer.take(), bytes((28, 29, 30, 31)))
        self.assert_state("0 of 4 bytes, 4 resizes")

    def test_keeps_what_it_began_with(self) -> None:
        """Small messages that come and go resize nothing and move nothing."""
        for _ in range(100):
            self.buffer.append(b"abc")
            self.assertEqual(self.buffer.take(), b"abc")
        stats = self.buffer.stats()
        self.assertEqual((stats["resizes"], stats["moved"], stats["copied"]), (1, 0, 0))

    def test_moves_to_the_front(self) -> None:
        """When as much has left as is held, what is held moves to the front instead of growing."""
        self.buffer.append(b"abcd")
        self.buffer.drop(2)
        self.buffer.append(b"ef")
        self.assertEqual(bytes(self.buffer.view()), b"cdef")
        self.assert_state("4 of 4 bytes, 1 resizes")
        self.assertEqual((self.buffer.stats()["moved"], self.buffer.stats()["copied"]), (1, 2))

    def test_grows_rather_than_move_much(self) -> None:
        """When less has left than is held, it grows."""
        self.buffer.append(b"abcd")
        self.buffer.drop(1)
        self.buffer.append(b"e")
        self.assertEqual(bytes(self.buffer.view()), b"bcde")
        self.assert_state("4 of 8 bytes, 2 resizes")

    def test_grows_to_fit(self) -> None:
        """What just fits the next size fits, though something has left at the front."""
        self.buffer.append(b"abcd")
        self.buffer.drop(1)
        self.buffer.append(b"efghi")
        self.assert_state("8 of 8 bytes, 2 resizes")
        self.assertEqual(self.buffer.take(), b"bcdefghi")

    def test_limit(self) -> None:
        """It holds as much as its limit and not a byte more; what is refused leaves no trace."""
        self.buffer.append(bytes(64))
        error = self.assertRaises(OutOfResources, self.buffer.append, b"a")
        self.assertEqual(str(error), "64 and 1 more bytes in a buffer for 64")
        self.assertRaises(OutOfResources, self.buffer.room)
        self.assertEqual(self.buffer.take(), bytes(64))
        self.assertRaises(OutOfResources, self.buffer.append, bytes(65))
        self.assert_state("0 of 4 bytes, 2 resizes")

    def test_limit_within_the_memory(self) -> None:
        """The limit holds where there would be memory for more."""
        self.buffer.append(bytes(64))
        self.buffer.drop(1)
        self.buffer.append(b"a")
        self.assert_state("64 of 128 bytes, 2 resizes")
        self.assertRaises(OutOfResources, self.buffer.append, b"a")
        self.assertRaises(OutOfResources, self.buffer.room)
        self.buffer.drop(1)
        self.assertEqual(len(self.buffer.room()), 1)
        self.assertRaises(LocalError, self.buffer.fill, 2)

    def test_at_the_limit_it_is_bounded(self) -> None:
        """Kept full to its limit while bytes go through, it grows to twice that, and then copies little."""
        self.buffer.append(bytes(64))
        for _ in range(64 * 10):
            self.buffer.drop(1)
            self.buffer.append(b"a")
        self.assert_state("64 of 128 bytes, 2 resizes")
        self.assertLessEqual(self.buffer.stats()["copied"], 64 * 11)

    def test_twice_the_limit_is_the_most(self) -> None:
        """When twice its memory would be more than twice the limit, twice the limit is enough."""
        buffer = AdaptiveBuffer(capacity=4, limit=10)
        buffer.append(bytes(10))
        for count in (3, 3, 1):
            buffer.drop(count)
            buffer.append(bytes(count))
        self.assertEqual(repr(buffer), "<AdaptiveBuffer 10 of 20 bytes, 2 resizes>")

    def test_defaults(self) -> None:
        """Unless told otherwise it begins with 4 KiB and holds 32 MiB."""
        buffer = AdaptiveBuffer()
        buffer.append(b"a")
        self.assertEqual((buffer.stats()["capacity"], CAPACITY, LIMIT), (4 * KIB, 4 * KIB, 32 * MIB))
        buffer.append(bytes(LIMIT - 1))
        self.assertRaises(OutOfResources, buffer.append, b"a")

    def test_what_cannot_be(self) -> None:
        """The capacity is a byte at least, and no more than the limit."""
        self.assertRaises(LocalError, AdaptiveBuffer, 0, 10)
        self.assertRaises(LocalError, AdaptiveBuffer, 11, 10)
        wrong: Any
        for wrong in (1.5, True, "1", None):
            for sizes in ((wrong, 10), (1, wrong)):
                error = self.assertRaises(LocalError, AdaptiveBuffer, *sizes)
                self.assertIn(f"whole numbers, not capacity={sizes[0]!r} ", str(error))

    def test_too_many(self) -> None:
        """Who takes more than there is, or less than nothing, is told, and nothing leaves."""
        self.buffer.append(b"abc")
        wrong: Any
        for wrong in (4, -1, 1.5, True, "1"):
            for leave in (self.buffer.take, self.buffer.drop):
                error = self.assertRaises(LocalError, leave, wrong)
                self.assertEqual(str(error), f"from 0 to 3 bytes, which are held, not {wrong!r}")
        self.assertEqual(self.buffer.take(3), b"abc")

    def test_room(self) -> None:
        """What is written into its room is held once that is said, and not before."""
        self.buffer.append(b"ab")
        room = self.buffer.room()
        self.assertEqual(len(room), 2)
        room[:2] = b"cd"
        self.assertEqual(bytes(self.buffer.view()), b"ab")
        self.buffer.fill(1)
        self.assertEqual(self.buffer.take(), b"abc")

    def test_room_as_asked(self) -> None:
        """There is as much room as asked for at least, and one byte if not told."""
        self.assertEqual(len(self.buffer.room()), 4)
        self.buffer.append(b"abcd")
        self.assertEqual(len(self.buffer.room()), 4)
        self.assertEqual(len(self.buffer.room(10)), 12)
        self.assertEqual(len(self.buffer.room(60)), 60)
        self.assertEqual(self.buffer.take(), b"abcd")
        wrong: Any
        for wrong in (0, 1.5, True, "1"):
            error = self.assertRaises(LocalError, self.buffer.room, wrong)
            self.assertEqual(str(error), f"room for a whole number of bytes, at least 1, not {wrong!r}")

    def test_fill_too_much(self) -> None:
        """Nothing can be held for which there was no room."""
        self.assertRaises(LocalError, self.buffer.fill, 1)
        self.buffer.room()
        wrong: Any
        for wrong in (5, -1, 1.5, True, "1"):
            error = self.assertRaises(LocalError, self.buffer.fill, wrong)
            self.assertEqual(str(error), f"from 0 to 4 bytes, for which room was given, not {wrong!r}")
        self.buffer.fill(4)
        self.assertEqual(len(self.buffer), 4)

    def test_fill_after_something_else(self) -> None:
        """Room is for one fill, and gone when bytes come, leave or move: what nobody wrote is never held."""
        buffer = self.buffer
        buffer.append(b"abcdef")
        between: tuple[Callable[[], object], ...] = (
            lambda: buffer.append(b"g"),
            lambda: buffer.take(1),
            lambda: buffer.drop(1),
            buffer.shrink,
            lambda: buffer.fill(1),
            lambda: self.assertRaises(OutOfResources, buffer.room, 65),
        )
        for call in between:
            buffer.room(10)[:1] = b"x"
            call()
            held = bytes(buffer.view())
            error = self.assertRaises(LocalError, buffer.fill, 1)
            self.assertEqual(str(error), "from 0 to 0 bytes, for which room was given, not 1")
            self.assertEqual(bytes(buffer.view()), held)

    def test_view(self) -> None:
        """A view shows what is held, cannot be written to, and hinders nothing when it is kept."""
        self.buffer.append(b"xabcd")
        self.buffer.drop(1)
        view = self.buffer.view()
        self.assertEqual(bytes(view), b"abcd")
        self.assertTrue(view.readonly)
        self.buffer.append(bytes(60))
        self.buffer.drop()
        self.buffer.shrink()
        self.assertEqual(len(view), 4)

    def test_view_while_it_grows(self) -> None:
        """A view that is kept while it grows still shows what was held, and what is held is right."""
        self.buffer.append(b"abcd")
        view = self.buffer.view()
        self.buffer.append(b"efgh")
        self.assertEqual(bytes(view), b"abcd")
        view.release()
        self.buffer.append(b"ijkl")
        self.assertEqual(self.buffer.take(), b"abcdefghijkl")

    def test_its_own_view(self) -> None:
        """What it holds can be added to it, however it has to move for that."""
        for size in range(1, 33):
            for left in range(size):
                buffer = AdaptiveBuffer(capacity=4, limit=64)
                buffer.append(bytes(range(size)))
                buffer.drop(left)
                buffer.append(buffer.view())
                self.assertEqual(buffer.take(), bytes(range(left, size)) * 2)

    def test_find(self) -> None:
        """What is searched for is found among what is held, counted from its first byte, and nowhere else."""
        self.buffer.append(b"\nab\ncd\n")
        self.buffer.drop(1)
        self.assertEqual(self.buffer.find(b"\n"), 2)
        self.assertEqual(self.buffer.find(b"\n", 3), 5)
        self.assertEqual(self.buffer.find(b"\n", 6), -1)
        self.buffer.take()
        self.assertEqual(self.buffer.find(b"\n"), -1)

    def test_find_behind_the_end(self) -> None:
        """What left, and what was written into room but not held, is not found."""
        self.buffer.append(b"ab")
        self.buffer.room()[:2] = b"cd"
        self.assertEqual(self.buffer.find(b"bc"), -1)
        self.buffer.fill(1)
        self.assertEqual(self.buffer.find(b"bc"), 1)

    def test_shrink(self) -> None:
        """Asked to, it gives back all that it does not need, and all of it when it holds nothing."""
        self.buffer.append(b"abcde")
        self.buffer.shrink()
        self.assert_state("5 of 5 bytes, 2 resizes")
        self.buffer.shrink()
        self.assert_state("5 of 5 bytes, 2 resizes")
        self.buffer.append(b"f")
        self.assert_state("6 of 8 bytes, 3 resizes")
        self.assertEqual(self.buffer.take(), b"abcdef")
        self.buffer.shrink()
        self.assert_state("0 of 0 bytes, 5 resizes")
        self.buffer.append(b"a")
        self.assertEqual(self.buffer.take(), b"a")

    def test_stats(self) -> None:
        """What there is now, and what there was since the beginning."""
        self.buffer.append(b"abcd")
        self.buffer.append(b"efgh")
        self.buffer.drop(6)
        self.assertEqual(
            self.buffer.stats(),
            {
                "held": 2,
                "capacity": 4,
                "peak": 8,
                "resizes": 3,
                "grown": 2,
                "shrunk": 1,
                "moved": 0,
                "copied": 6,
            },
        )

    def test_a_large_message_in_small_pieces(self) -> None:
        """A message of 16 MiB that arrives in pieces of 1 KiB is moved less than once on the whole."""
        buffer, piece = AdaptiveBuffer(), bytes(KIB)
        for _ in range(16 * KIB):
            buffer.append(piece)
        self.assertEqual(len(buffer), 16 * MIB)
        stats = buffer.stats()
        self.assertLess(stats["copied"], 16 * MIB)
        self.assertEqual((stats["resizes"], stats["capacity"]), (13, 16 * MIB))
        for _ in range(16 * KIB):
            buffer.drop(KIB)
        self.assertLess(buffer.stats()["copied"], 2 * 16 * MIB)
        self.assertEqual(buffer.stats()["capacity"], 4 * KIB)


STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "append", "read", "take", "drop", "find"]), st.integers(0, 40)),
    max_size=200,
)


class AnyOrderTests(SynchronousTestCase):
    """Whatever is done to it, it is a queue of bytes, its memory is bounded, and it copies little."""

    @given(steps=STEPS, capacity=st.integers(1, 8), limit=st.integers(8, 100))
    def test_queue(self, steps: list[tuple[str, int]], capacity: int, limit: int) -> None:
        """It agrees with a simple model, keeps to its bounds, and copies each byte a few times at most."""
        buffer, model = AdaptiveBuffer(capacity, limit), b""
        source = (index % 256 for index in range(10**6))
        came, asked = 0, 1
        for step, size in steps:
            count = min(size, len(model))
            match step:
                case "append" | "read" if len(model) + max(size, 1) > limit:
                    self.assertRaises(OutOfResources, buffer.append, bytes(limit - len(model) + 1))
                case "append":
                    data = bytes(islice(source, size))
                    buffer.append(data)
                    model += data
                    came += size
                case "read":
                    data = bytes(islice(source, size))
                    room = buffer.room(max(size, 1))
                    self.assertLessEqual(len(room), limit - len(model))
                    room[:size] = data
                    room.release()  # nothing hinders it to grow where it stands
                    buffer.fill(size)
                    model += data
                    came += max(size, 1)
                case "take":
                    self.assertEqual(buffer.take(count), model[:count])
                    model = model[count:]
                case "drop":
                    buffer.drop(count)
                    model = model[count:]
                case _:
                    self.assertEqual(buffer.find(bytes([size]), count), model.find(bytes([size]), count))
            self.assertEqual((len(buffer), bytes(buffer.view())), (len(model), model))
            stats = buffer.stats()
            asked = 1 if step in ("take", "drop") else asked
            asked = max(asked, len(model))
            self.assertLessEqual(stats["capacity"], max(capacity, min(4 * asked, 2 * limit)))
            self.assertLessEqual(stats["copied"], 4 * came)
