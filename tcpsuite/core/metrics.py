"""Metric families as data, and the text that Prometheus reads.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/, the text-based format, version 0.0.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from itertools import pairwise
from math import inf, isnan
from typing import TYPE_CHECKING

from attrs import Attribute, Factory, field, frozen

from tcpsuite.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
"""What :func:`render` gives, in HTTP's words."""

Labels = Mapping[str, str]

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # two underscores are Prometheus's own
_SPECIAL = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Kind(Enum):
    """What the samples of a family are."""

    COUNTER = "counter"
    """They only grow, from 0 at the start of the process.  The name ends in ``_total`` by convention."""
    GAUGE = "gauge"
    """They go up and down."""
    HISTOGRAM = "histogram"
    """They are :class:`Distribution`\\ s."""


def _check_labels(_instance: object, _attribute: Attribute[Labels], labels: Labels) -> None:
    for name in labels:
        if not _LABEL_NAME.fullmatch(name):
            raise MetricError(f"no name for a label: {name!r}")


@frozen
class Sample:
    """One number of a counter or a gauge, and the labels that tell it from the others of its family."""

    value: float
    labels: Labels = field(default=Factory(dict), validator=_check_labels)


@frozen
class Distribution:
    """How many of the values seen were at most so great: one histogram, for one set of labels."""

    buckets: Mapping[float, int] = field()
    """Upper bounds, each with the number of values up to it, those of smaller bounds included.  The bound
    without end is added when it is written.
    """
    sum: float
    """All values together."""
    count: int
    """How many there were."""
    labels: Labels = field(default=Factory(dict), validator=_check_labels)

    def __attrs_post_init__(self) -> None:
        if "le" in self.labels:
            raise MetricError("the label 'le' of a histogram is for its buckets")
        if any(map(isnan, self.buckets)):
            raise MetricError("a bucket's bound is a number")
        counts = [0, *(count for _, count in sorted(self.buckets.items())), self.count]
        if any(more < less for less, more in pairwise(counts)):
            raise MetricError(f"a bucket holds what smaller ones hold, and more: {dict(self.buckets)}")
        if self.buckets.get(inf, self.count) != self.count:
            raise MetricError(f"the bucket without end holds all {self.count}, not {self.buckets[inf]}")


def _as_tuple(samples: Iterable[Sample | Distribution]) -> tuple[Sample | Distribution, ...]:
    return tuple(samples)


@frozen
class Family:
    """All samples of one name.

    :raises MetricError: for what the format does not allow: a name, samples of another kind, or two with the
        same labels.
    """

    name: str
    kind: Kind = field(converter=Kind)
    help: str
    """One sentence for people."""
    samples: tuple[Sample | Distribution, ...] = field(converter=_as_tuple)

    def __attrs_post_init__(self) -> None:
        if not _METRIC_NAME.fullmatch(self.name):
            raise MetricError(f"no name for a metric: {self.name!r}")
        right = Distribution if self.kind is Kind.HISTOGRAM else Sample
        seen = set()
        for sample in self.samples:
            if not isinstance(sample, right):
                raise MetricError(f"{self.name} is a {self.kind.value}, and this is not of one: {sample}")
            key = frozenset(sample.labels.items())
            if key in seen:
                raise MetricError(f"{self.name} has two samples with the labels {dict(sample.labels)}")
            seen.add(key)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that its lines begin with."""
        if self.kind is Kind.HISTOGRAM:
            return (self.name, f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


def render(families: Iterable[Family]) -> bytes:
    """The families in the text format, as :data:`CONTENT_TYPE` says.

    Families stand in the order of their names, samples in that of their labels, buckets in that of their
    bounds: the same numbers always give the same bytes.

    :raises MetricError: when two families share a name.
    """
    ordered = sorted(families, key=lambda family: family.name)
    taken: set[str] = set()
    for family in ordered:
        if not taken.isdisjoint(family.names):
            raise MetricError(f"two families write {taken.intersection(family.names)}")
        taken.update(family.names)
    text = "".join(f"{line}\n" for family in ordered for line in _lines(family))
    # A name from outside may hold half a surrogate pair: the page is more than that one letter.
    return text.encode("utf-8", "replace")


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}"
    yield f"# TYPE {family.name} {family.kind.value}"
    for sample in sorted(family.samples, key=lambda sample: sorted(sample.labels.items())):
        if isinstance(sample, Sample):
            yield f"{family.name}{_label_text(sample.labels)} {_number(sample.value)}"
        else:
            yield from _distribution_lines(family.name, sample)


def _distribution_lines(name: str, seen: Distribution) -> Iterator[str]:
    for bound, within in sorted({**seen.buckets, inf: seen.count}.items()):
        yield f"{name}_bucket{_label_text({**seen.labels, 'le': _number(bound)})} {within}"
    yield f"{name}_sum{_label_text(seen.labels)} {_number(seen.sum)}"
    yield f"{name}_count{_label_text(seen.labels)} {seen.count}"


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in sorted(labels.items()))
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    """As Go's ParseFloat reads it, without loss."""
    return str(int(value)) if isinstance(value, int) else _SPECIAL.get(repr(value), repr(value))
