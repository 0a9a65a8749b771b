"""Byte ranges of HTTP: which parts of a file a client asked for.  RFC 9110, sections 13.1.5 and 14."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RANGES = 16
"""Ranges that one request may ask for: a reader of an archive's index needs a few, nobody needs hundreds."""

_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
_BEYOND = 10**19
"""More than any file has; what is longer than its digits need not be turned into a number."""


@frozen
class Span:
    """The bytes of a file from ``start`` up to ``stop``, which is not among them."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes they are."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of ``Content-Range``, in a file of ``size`` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_ranges(header: str, size: int) -> tuple[Span, ...] | None:
    """What a ``Range`` header asks of a file of ``size`` bytes.

    :return: the spans to send, those that overlap or touch made one, in the order in which they were first
        asked for; none when the file has nothing of what was asked for (status 416); ``None`` when the header
        is to be ignored and the whole file sent: it is no valid list of byte ranges, or of more than
        :data:`MAX_RANGES`.
    """
    unit, _, listed = header.partition("=")
    specs = [spec for part in listed.split(",") if (spec := part.strip(" \t"))]
    if unit.strip(" \t").lower() != "bytes" or not 0 < len(specs) <= MAX_RANGES:
        return None
    bounds = [_bounds(spec) for spec in specs]
    if None in bounds:
        return None
    spans = [span for bound in bounds if bound and (span := _span(*bound, size))]
    # The last bytes of an empty file are there, all none of them, and no Content-Range can say so.
    return None if Span(0, 0) in spans else _merged(spans)


def if_range_holds(value: str, etag: str, modified: str, settled: bool) -> bool:
    """Whether an ``If-Range`` still describes the file, so that a range of it may be sent.

    :param value: the header's value: an entity tag, or a date.
    :param etag: the file's entity tag, quotes included; a weak one never holds.
    :param modified: the file's ``Last-Modified``, which a date must repeat to the letter.
    :param settled: whether the second that ``modified`` names is over: before that, the file may change again
        and keep its date.
    """
    if value.startswith(('"', "W/")):
        return value == etag and not value.startswith("W/")
    return value == modified and settled


def _bounds(spec: str) -> tuple[int | None, int | None] | None:
    """First and last byte, or only a last one: the last so many.  ``None`` when it is not valid."""
    match = _SPEC.fullmatch(spec)
    if match is None or spec == "-":
        return None
    first, last = (_number(digits) if digits else None for digits in match.groups())
    return None if first is not None and last is not None and first > last else (first, last)


def _span(first: int | None, last: int | None, size: int) -> Span | None:
    """What a file of ``size`` bytes has of a range; ``None`` for nothing."""
    if first is None:
        return Span(max(0, size - last), size) if last else None
    return Span(first, size if last is None else min(last + 1, size)) if first < size else None


def _number(digits: str) -> int:
    return _BEYOND if len(digits) > 19 else int(digits)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Make one of those that overlap or touch, each at the place of the first of its parts."""
    merged: list[tuple[int, Span]] = []
    for place, span in sorted(enumerate(spans), key=lambda item: item[1].start):
        if merged and span.start <= merged[-1][1].stop:
            before, wide = merged[-1]
            merged[-1] = (min(before, place), Span(wide.start, max(wide.stop, span.stop)))
        else:
            merged.append((place, span))
    return tuple(span for _, span in sorted(merged, key=lambda item: item[0]))
