"""Frames are read at every split, and nonsense is named."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.frames import (
    END,
    MAX_PAYLOAD,
    MAX_WHY,
    TAKEN,
    Frame,
    FrameReader,
    Kind,
    broken,
    passed,
)
from tcpsuite.errors import ProtocolError

FRAMES = [Frame(Kind.DATA, b"some bytes"), passed(2**40), END, broken("it was reset"), TAKEN]
WIRE = b"".join(frame.encode() for frame in FRAMES)


class FrameReaderTests(SynchronousTestCase):
    """What goes in as bytes comes out as frames."""

    def test_wire(self) -> None:
        """The bytes are as the module's page says."""
        self.assertEqual(FRAMES[0].encode(), b"D\0\0\0\x0asome bytes")
        self.assertEqual(passed(258).encode(), b"A\0\0\0\x08\0\0\0\0\0\0\1\2")
        self.assertEqual(END.encode() + TAKEN.encode(), b"E\0\0\0\0T\0\0\0\0")

    def test_every_split(self) -> None:
        """Wherever the bytes are split, the same frames are read."""
        for at in range(len(WIRE) + 1):
            reader = FrameReader()
            self.assertEqual([*reader.feed(WIRE[:at]), *reader.feed(WIRE[at:])], FRAMES)
            self.assertEqual(repr(reader), "<FrameReader 0 bytes>")

    def test_byte_by_byte(self) -> None:
        """One byte at a time, too."""
        reader = FrameReader()
        self.assertEqual([frame for byte in WIRE for frame in reader.feed(bytes([byte]))], FRAMES)

    def test_places(self) -> None:
        """Each byte moves the place by one, and so does each end."""
        self.assertEqual([frame.size for frame in FRAMES if frame.kind is not Kind.PASSED], [10, 1, 1, 1])
        self.assertEqual(FRAMES[1].place, 2**40)

    def test_long_reason(self) -> None:
        """A reason is no place for a novel."""
        self.assertEqual(len(broken("x" * 10_000).payload), MAX_WHY)

    def refused(self, data: bytes) -> str:
        """Why ``data`` is no frame."""
        with self.assertRaises(ProtocolError) as caught:
            list(FrameReader().feed(data))
        self.assertEqual(caught.exception.code, "frame")
        return str(caught.exception)

    def test_nonsense(self) -> None:
        """What can be no frame is told before anything of it is kept."""
        self.assertEqual(self.refused(b"GET /"), "expected a frame of DEBAT, got b'G'")
        self.assertEqual(
            self.refused(Frame(Kind.DATA, bytes(MAX_PAYLOAD + 1)).encode()[:5]),
            "D: expected at most 65536 bytes, got 65537",
        )
        self.assertEqual(self.refused(b"A\0\0\0\x07"), "A: expected 8 bytes, got 7")
        self.assertEqual(self.refused(b"E\xff\xff\xff\xff"), "E: expected 0 bytes, got 4294967295")

    def test_good_ones_first(self) -> None:
        """What stands before the nonsense is read."""
        frames = FrameReader().feed(END.encode() + b"?????")
        self.assertEqual(next(frames), END)
        self.assertRaises(ProtocolError, next, frames)
