"""A length, and so many bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.messages.framing import LENGTH, MAX_MESSAGE, MessageReader, framed

SOME = [b"", b"a", b"three", bytes(300), b"last"]


class MessageReaderTests(SynchronousTestCase):
    """Bytes in, messages out."""

    def test_at_once(self) -> None:
        """Several in one read are given together, in order."""
        reader = MessageReader()
        self.assertEqual(reader.feed(b"".join(map(framed, SOME))), SOME)
        self.assertFalse(reader.partial)

    def test_every_split(self) -> None:
        """Cut in two at any place, with a tail, they are the same."""
        wire = b"".join(map(framed, SOME))
        for cut in range(len(wire) + 1):
            reader = MessageReader()
            self.assertEqual(reader.feed(wire[:cut]) + reader.feed(wire[cut:] + b"\0\0"), SOME)
            self.assertTrue(reader.partial)

    def test_byte_by_byte(self) -> None:
        """So they are when each byte comes alone."""
        reader, heard = MessageReader(), []
        for byte in b"".join(map(framed, SOME)):
            heard += reader.feed(bytes([byte]))
        self.assertEqual(heard, SOME)
        self.assertEqual(repr(reader), "<MessageReader held=0 missing=0>")

    def test_longest(self) -> None:
        """The longest that is allowed passes; one byte more is refused before any of it is kept."""
        reader = MessageReader(10)
        self.assertEqual(reader.feed(framed(bytes(10))), [bytes(10)])
        self.assertEqual(reader.feed(framed(b"good") + LENGTH.pack(11) + bytes(11)), [b"good"])
        assert reader.fault is not None
        self.assertEqual(reader.fault.code, "too-long")
        self.assertEqual(str(reader.fault), "expected a message of at most 10 bytes, got 11")
        self.assertEqual(repr(reader), "<MessageReader held=0 missing=0 broken>")
        self.assertEqual(reader.feed(framed(b"more")), [])

    def test_four_gib(self) -> None:
        """A length of 4 GiB keeps nothing."""
        reader = MessageReader()
        reader.feed(b"\xff\xff\xff\xff")
        assert reader.fault is not None
        self.assertEqual(reader.fault.code, "too-long")

    def test_large(self) -> None:
        """The pieces of a large one are kept as they are, and put together once."""
        reader = MessageReader()
        message = bytes(range(256)) * 4096 * 16
        self.assertEqual(len(message), MAX_MESSAGE)
        wire = framed(message)
        piece = wire[1000 : 1000 + 65536]
        self.assertEqual(reader.feed(wire[:1000]), [])
        self.assertEqual(reader.feed(piece), [])
        self.assertIs(reader._pieces[1], piece)
        self.assertEqual(reader.feed(wire[1000 + 65536 :]), [message])

    @given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 12)))
    def test_any_pieces(self, messages: list[bytes], sizes: list[int]) -> None:
        """Whatever was sent in whatever pieces is heard."""
        wire, reader, heard = b"".join(map(framed, messages)), MessageReader(), []
        for size in sizes:
            heard += reader.feed(wire[:size])
            wire = wire[size:]
        self.assertEqual(heard + reader.feed(wire), messages)
        self.assertFalse(reader.partial)

    @given(st.binary(), st.integers(1, 9))
    def test_any_bytes(self, data: bytes, size: int) -> None:
        """Of bytes that are anything no more is kept than a message may have."""
        reader = MessageReader(100)
        for at in range(0, len(data), size):
            for message in reader.feed(data[at : at + size]):
                self.assertLessEqual(len(message), 100)
            self.assertLess(len(reader._head) + sum(map(len, reader._pieces)), 100)
