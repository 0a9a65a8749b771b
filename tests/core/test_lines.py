"""Splitting what arrives into lines."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.lines import MAX_LINE, MAX_VERB, LineError, LineSplitter
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable


STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bb", b"\xc3\xa9", b"\xff"]), max_size=40
).map(b"".join)


def read(splitter: LineSplitter, pieces: Iterable[bytes]) -> list[str]:
    """All that comes out: lines as they are, errors as ``!code``."""
    found = []
    for piece in pieces:
        splitter.feed(piece)
        while True:
            try:
                line = splitter.next()
            except ProtocolError as error:
                found.append(f"!{error.code}")
            else:
                if line is None:
                    break
                found.append(line)
    return found


def verbs(pieces: Iterable[bytes]) -> list[str]:
    """The first words of the lines that cannot be read."""
    splitter, found = LineSplitter(), []
    for piece in pieces:
        splitter.feed(piece)
        try:
            while splitter.next() is not None:
                pass
        except LineError as error:
            found.append(error.verb)
    return found


def expected(stream: bytes, max_length: int) -> list[str]:
    """The same, by a rule that needs all of the stream."""
    *lines, tail = stream.split(b"\n")
    found = []
    for line in (line.removesuffix(b"\r") for line in lines):
        if len(line) > max_length:
            found.append("!too-long")
        else:
            try:
                found.append(line.decode())
            except UnicodeDecodeError:
                found.append("!not-utf8")
    return [*found, "!too-long"] if len(tail.removesuffix(b"\r")) > max_length else found


class LineSplitterTests(SynchronousTestCase):
    """Lines of at most five bytes, read in all the ways in which they can arrive."""

    def assert_lines(self, stream: bytes, lines: list[str]) -> None:
        """Whole, byte by byte, and with a tail, these are the lines."""
        tail = b"tail"
        for pieces in (
            [stream],
            [stream[index : index + 1] for index in range(len(stream))],
            [stream + tail[:2], tail[2:]],
        ):
            self.assertEqual(read(LineSplitter(5), pieces), lines)

    def test_lines(self) -> None:
        """A line ends with LF or CR LF, which are no part of it; a line may be empty."""
        self.assert_lines(b"one\ntwo\r\n\n\r\nlast\n", ["one", "two", "", "", "last"])

    def test_carriage_returns(self) -> None:
        """A CR elsewhere, and all but the last of several, are part of the line."""
        self.assert_lines(b"a\rb\n\r\r\nc\r\r\n", ["a\rb", "\r", "c\r"])

    def test_letters(self) -> None:
        """Lines are UTF-8."""
        self.assert_lines("\N{SNOWMAN}é\n".encode(), ["\N{SNOWMAN}é"])

    def test_not_utf8(self) -> None:
        """A line that is not UTF-8 is reported, and the next is read."""
        self.assert_lines(b"\xff\nb\n\xc3\nd\n", ["!not-utf8", "b", "!not-utf8", "d"])

    def test_just_fits(self) -> None:
        """A line may be as long as the limit, its end not counted."""
        self.assert_lines(b"12345\n12345\r\n", ["12345", "12345"])

    def test_too_long(self) -> None:
        """A line one byte over the limit is reported once, and the next is read."""
        self.assert_lines(b"123456\nb\n12345\r\r\nc\n", ["!too-long", "b", "!too-long", "c"])

    def test_much_too_long(self) -> None:
        """However long it is, it is reported once."""
        self.assert_lines(b"x" * 10_000 + b"\nb\n", ["!too-long", "b"])

    def test_reported_early(self) -> None:
        """A line is reported with the first byte that is too many, before its end is seen."""
        splitter = LineSplitter(5)
        self.assertEqual(read(splitter, [b"12345", b"\r"]), [])
        self.assertEqual(read(splitter, [b"x"]), ["!too-long"])
        self.assertEqual(read(LineSplitter(5), [b"12345", b"6"]), ["!too-long"])

    def test_endless_line_is_not_held(self) -> None:
        """Of a line that is too long nothing is held, while it goes on and after."""
        splitter = LineSplitter(5)
        read(splitter, [b"123456"])
        for _ in range(10):
            self.assertEqual(read(splitter, [b"x" * 1000]), [])
            self.assertEqual(repr(splitter), "<LineSplitter 0 bytes skipping>")
        self.assertEqual(read(splitter, [b"x\nok\n"]), ["ok"])
        self.assertEqual(repr(splitter), "<LineSplitter 0 bytes>")

    def test_default_limit(self) -> None:
        """Unless told otherwise, a line may have 16 KiB."""
        self.assertEqual(MAX_LINE, 16384)
        self.assertEqual(read(LineSplitter(), [b"x" * MAX_LINE + b"\n"]), ["x" * MAX_LINE])
        self.assertEqual(read(LineSplitter(), [b"x" * MAX_LINE + b"y\n"]), ["!too-long"])

    def test_partial(self) -> None:
        """It is partial while a line has begun and not ended, one that is skipped too."""
        splitter = LineSplitter(5)
        self.assertFalse(splitter.partial)
        for piece, partial in (
            (b"a", True),
            (b"\n", False),
            (b"123456", True),
            (b"x", True),
            (b"\nb", True),
            (b"\n", False),
        ):
            read(splitter, [piece])
            self.assertEqual(splitter.partial, partial, piece)

    def test_rest(self) -> None:
        """A reader that takes over behind a line gets all that came after it, and nothing stays."""
        splitter = LineSplitter(5)
        splitter.feed(b"PUT\n\x00\xff\nbody that is no line")
        self.assertEqual(splitter.next(), "PUT")
        self.assertEqual(len(splitter), 23)
        self.assertEqual(splitter.rest(), b"\x00\xff\nbody that is no line")
        self.assertFalse(splitter.partial)
        self.assertEqual(read(splitter, [b"next\n"]), ["next"])

    def test_rest_of_half_a_line(self) -> None:
        """What was looked through for a line's end is handed over too."""
        splitter = LineSplitter(5)
        self.assertEqual(read(splitter, [b"abc"]), [])
        self.assertEqual(splitter.rest(), b"abc")
        self.assertEqual(read(splitter, [b"\nd\n"]), ["", "d"])

    def test_verb_of_what_cannot_be_read(self) -> None:
        """The error knows the first word of the line, however it arrived, up to a sane length."""
        for line, verb in (
            (b"SET " + b"x" * 20_000, "SET"),
            (b"GET \xff", "GET"),
            (b"G\xffT x", "G\N{REPLACEMENT CHARACTER}T"),
            (b"x" * 20_000, "x" * MAX_VERB),
            (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        ):
            stream = line + b"\n"
            for pieces in ([stream], [bytes([byte]) for byte in stream], [stream + b"ta", b"il"]):
                self.assertEqual(verbs(pieces), [verb])

    @given(stream=STREAMS, max_length=st.integers(0, 6), cuts=st.lists(st.integers(0, 80), max_size=10))
    def test_cut_anywhere(self, stream: bytes, max_length: int, cuts: list[int]) -> None:
        """However a stream is cut, the same lines and errors come out of it, and little is held."""
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        pieces = [stream[start:end] for start, end in pairwise(places)]
        splitter = LineSplitter(max_length)
        self.assertEqual(read(splitter, pieces), expected(stream, max_length))
        self.assertLessEqual(len(splitter), max_length + 1)


class HeldTests(SynchronousTestCase):
    """Three lines may be held."""

    def test_too_many(self) -> None:
        """What arrives past them is reported when its turn comes, and what comes behind that is read."""
        splitter = LineSplitter(5, 3)
        self.assertEqual(
            read(splitter, [b"1\n2\n3\n4\n\xff\n", b"6\n"]), ["1", "2", "3", "!limit", "!limit", "6"]
        )

    def test_room(self) -> None:
        """Each line that is taken makes room for one; several stretches may be refused."""
        splitter = LineSplitter(5, 3)
        splitter.feed(b"1\n2\n3\n4\n5\n")
        self.assertEqual([splitter.next(), splitter.next()], ["1", "2"])
        splitter.feed(b"6\n")
        self.assertEqual(read(splitter, [b"7"]), ["3", "!limit", "!limit", "!limit"])
        self.assertEqual(read(splitter, [b"\n8\n"]), ["7", "8"])

    def test_too_long(self) -> None:
        """A line that is too long was reported before, however many are held."""
        splitter = LineSplitter(5, 1)
        self.assertEqual(read(splitter, [b"123456", b"\n1\n2\n"]), ["!too-long", "!limit", "!limit"])
        self.assertEqual(read(splitter, [b"1\n123456\n2\n"]), ["1", "!limit", "!limit"])

    def test_rest(self) -> None:
        """Who takes the rest takes it all, and the next lines are counted anew."""
        splitter = LineSplitter(5, 2)
        splitter.feed(b"1\n2\n3\n4\n")
        self.assertEqual(splitter.next(), "1")
        self.assertEqual(splitter.rest(), b"2\n3\n4\n")
        self.assertEqual(read(splitter, [b"5\n6\n7\n"]), ["5", "6", "!limit"])

    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6))))
    def test_any_order(self, steps: list[tuple[int, int]]) -> None:
        """However lines come and are taken, exactly those that found three before them are reported."""
        splitter = LineSplitter(5, 3)
        held: list[str] = []
        for come, taken in steps:
            splitter.feed(b"x\n" * come)
            held += ["x" if len(held) + index < 3 else "!limit" for index in range(come)]
            for expected in held[:taken]:
                try:
                    found = splitter.next()
                except LineError as error:
                    found = f"!{error.code}"
                self.assertEqual(found, expected)
            del held[:taken]
