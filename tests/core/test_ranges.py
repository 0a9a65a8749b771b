"""Which parts of a file a ``Range`` header asks for, and when ``If-Range`` lets it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.ranges import MAX_RANGES, Span, if_range_holds, parse_ranges

SIZE = 1000
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


class ParseTests(SynchronousTestCase):
    def assert_spans(self, header: str, *expected: tuple[int, int], size: int = SIZE) -> None:
        self.assertEqual(parse_ranges(header, size), tuple(Span(*pair) for pair in expected), header)

    def assert_ignored(self, header: str, size: int = SIZE) -> None:
        self.assertIsNone(parse_ranges(header, size), header)

    def test_first_and_last(self) -> None:
        """Both ends are among the bytes; an end behind the file is the file's."""
        self.assert_spans("bytes=0-0", (0, 1))
        self.assert_spans("bytes=10-19", (10, 20))
        self.assert_spans("bytes=990-5000", (990, 1000))
        self.assert_spans("bytes=0-", (0, 1000))
        self.assert_spans("bytes=999-", (999, 1000))

    def test_last_so_many(self) -> None:
        """A suffix counts from the end, and is the whole file when it is longer."""
        self.assert_spans("bytes=-1", (999, 1000))
        self.assert_spans("bytes=-1000", (0, 1000))
        self.assert_spans("bytes=-5000", (0, 1000))

    def test_nothing_there(self) -> None:
        """What lies behind the end, and the last zero bytes, are not satisfiable."""
        for header in ("bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=5000-,-0"):
            self.assert_spans(header)
        self.assert_spans("bytes=0-", size=0)

    def test_some_there(self) -> None:
        """What is not there is left out when something else is."""
        self.assert_spans("bytes=2000-3000,5-6", (5, 7))

    def test_empty_file(self) -> None:
        """The last bytes of an empty file are the whole of it: no range at all."""
        self.assert_ignored("bytes=-5", size=0)
        self.assert_spans("bytes=-0", size=0)

    def test_merged(self) -> None:
        """Spans that overlap or touch become one, at the place of the first."""
        self.assert_spans("bytes=0-9,10-19", (0, 20))
        self.assert_spans("bytes=5-14,0-9", (0, 15))
        self.assert_spans("bytes=0-99,10-19", (0, 100))
        self.assert_spans("bytes=0-9,11-19", (0, 10), (11, 20))
        self.assert_spans("bytes=500-599,0-9,600-699", (500, 700), (0, 10))
        self.assert_spans("bytes=-10,0-9,5-20", (990, 1000), (0, 21))

    def test_not_valid(self) -> None:
        """A header that is not valid, all of it, is ignored."""
        for header in (
            "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=9-1", "bytes=1-2-3",
            "bytes=0-1,x", "bytes=--1", "bytes=+1-2", "bytes=1 -2", "bytes=٣-٤", "lines=0-1", "=0-1",
            "bytes:0-1",
        ):  # fmt: skip
            self.assert_ignored(header)

    def test_white_space_and_case(self) -> None:
        """The unit's case, spaces around commas and empty places mean nothing."""
        self.assert_spans("Bytes=0-1, ,\t4-5 ,", (0, 2), (4, 6))

    def test_too_many(self) -> None:
        """So many ranges are served; one more, and the header is ignored."""
        spec = [f"{n * 10}-{n * 10}" for n in range(MAX_RANGES + 1)]
        most = parse_ranges("bytes=" + ",".join(spec[:-1]), SIZE)
        self.assertEqual(len(most or ()), MAX_RANGES)
        self.assert_ignored("bytes=" + ",".join(spec))

    def test_long_numbers(self) -> None:
        """A number of any length is behind the end of every file."""
        self.assert_spans(f"bytes=0-{'9' * 8000}", (0, 1000))
        self.assert_spans(f"bytes=-{'9' * 8000}", (0, 1000))
        self.assert_spans(f"bytes={'9' * 8000}-")
        self.assert_spans(f"bytes={'0' * 10}5-6", (5, 7))

    @given(st.text(alphabet="bytes=0123456789-, x", max_size=60), st.integers(0, 50))
    @example("bytes=0-0,2-2,1-1", 3)
    def test_any_text(self, header: str, size: int) -> None:
        """Whatever comes, spans lie in the file, have bytes, and neither overlap nor touch."""
        spans = sorted(parse_ranges(header, size) or (), key=lambda span: span.start)
        for span in spans:
            assert 0 <= span.start < span.stop <= size
        for before, after in pairwise(spans):
            assert before.stop < after.start

    @given(
        st.lists(
            st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), min_size=1, max_size=MAX_RANGES
        ),
        st.integers(1, 50),
    )
    def test_every_byte_that_was_asked_for(self, pairs: list[list[int]], size: int) -> None:
        """The spans hold the bytes that were asked for and are there, and no others."""
        header = "bytes=" + ",".join(f"{first}-{last}" for first, last in pairs)
        spans = parse_ranges(header, size)
        assert spans is not None
        wanted = {n for first, last in pairs for n in range(first, last + 1) if n < size}
        assert {n for span in spans for n in range(span.start, span.stop)} == wanted
        assert sum(span.length for span in spans) == len(wanted)

    def test_content_range(self) -> None:
        """A span says itself as Content-Range does: the last byte included."""
        self.assertEqual(Span(5, 10).content_range(20), "bytes 5-9/20")
        self.assertEqual(Span(5, 10).length, 5)


class IfRangeTests(SynchronousTestCase):
    def test_entity_tag(self) -> None:
        """The same strong tag holds; another, or a weak one, does not."""
        self.assertTrue(if_range_holds('"a"', '"a"', DATE, settled=True))
        self.assertTrue(if_range_holds('"a"', '"a"', DATE, settled=False))
        self.assertFalse(if_range_holds('"b"', '"a"', DATE, settled=True))
        self.assertFalse(if_range_holds('W/"a"', '"a"', DATE, settled=True))
        self.assertFalse(if_range_holds('W/"a"', 'W/"a"', DATE, settled=True))

    def test_date(self) -> None:
        """The date must be the very same, and its second over."""
        self.assertTrue(if_range_holds(DATE, '"a"', DATE, settled=True))
        self.assertFalse(if_range_holds(DATE, '"a"', DATE, settled=False))
        self.assertFalse(if_range_holds("Sun, 06 Nov 1994 08:49:38 GMT", '"a"', DATE, settled=True))
        self.assertFalse(if_range_holds("nonsense", '"a"', DATE, settled=True))
