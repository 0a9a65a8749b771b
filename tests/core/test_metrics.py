"""Metric families, and the text that Prometheus reads."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.metrics import CONTENT_TYPE, Distribution, Family, Kind, Sample, render
from tcpsuite.errors import LocalError, MetricError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.floats() | st.integers(-(2**53), 2**53)
SAMPLES = st.lists(
    st.builds(Sample, NUMBERS, st.dictionaries(NAMES, TEXT, max_size=3)),
    max_size=5,
    unique_by=lambda sample: frozenset(sample.labels.items()),
)


def lines(*families: Family) -> list[str]:
    return render(families).decode().splitlines()


def parsed(*families: Family) -> dict[str, Any]:
    """What Prometheus's own client reads, by name."""
    return {family.name: family for family in text_string_to_metric_families(render(families).decode())}


class RenderTests(SynchronousTestCase):
    """The text of families."""

    def test_nothing(self) -> None:
        """No families are no text."""
        self.assertEqual(render([]), b"")

    def test_content_type(self) -> None:
        """The text says which version of the format it is in."""
        self.assertEqual(CONTENT_TYPE, b"text/plain; version=0.0.4; charset=utf-8")

    def test_counter_and_gauge(self) -> None:
        """A family is its help, its type, and a line a sample; the last line ends like the others."""
        family = Family("accepted_total", "counter", "Accepted.", [Sample(3, {"listener": "db", "a": "b"})])
        self.assertEqual(
            render([family, Family("up", Kind.GAUGE, "Up.", [Sample(1.5)])]),
            b"# HELP accepted_total Accepted.\n"
            b"# TYPE accepted_total counter\n"
            b'accepted_total{a="b",listener="db"} 3\n'
            b"# HELP up Up.\n"
            b"# TYPE up gauge\n"
            b"up 1.5\n",
        )

    def test_histogram(self) -> None:
        """A histogram is its buckets in order, the one without end last, then the sum and the count."""
        seen = Distribution({1.0: 2, 0.5: 1}, 4.25, 3, {"server": "a"})
        self.assertEqual(
            lines(Family("seconds", "histogram", "Time.", [seen])),
            [
                "# HELP seconds Time.",
                "# TYPE seconds histogram",
                'seconds_bucket{le="0.5",server="a"} 1',
                'seconds_bucket{le="1.0",server="a"} 2',
                'seconds_bucket{le="+Inf",server="a"} 3',
                'seconds_sum{server="a"} 4.25',
                'seconds_count{server="a"} 3',
            ],
        )

    def test_histogram_without_labels(self) -> None:
        """A histogram needs no labels, no buckets, and no values."""
        self.assertEqual(
            lines(Family("seconds", "histogram", "Time.", [Distribution({}, 0, 0)]))[2:],
            ['seconds_bucket{le="+Inf"} 0', "seconds_sum 0", "seconds_count 0"],
        )

    def test_the_last_bucket_may_be_given(self) -> None:
        """The bucket without end is written once, whether it is given or not."""
        given_, added = Distribution({1: 2, inf: 3}, 1.0, 3), Distribution({1: 2}, 1.0, 3)
        self.assertEqual(
            *(lines(Family("seconds", "histogram", "Time.", [seen])) for seen in (given_, added))
        )

    def test_order(self) -> None:
        """The same numbers give the same bytes, in whatever order they come."""
        one, two = Sample(1, {"a": "1"}), Sample(2, {"a": "2"})
        first, second = Family("x", "gauge", "X.", [one, two]), Family("y", "gauge", "Y.", [])
        again = Family("x", "gauge", "X.", [two, one])
        self.assertEqual(render([first, second]), render([second, again]))

    def test_numbers(self) -> None:
        """Numbers are written as the format has them, and without loss."""
        for number, text in (
            (0, "0"), (True, "1"), (2**64, "18446744073709551616"), (0.1, "0.1"), (1e300, "1e+300"),
            (-0.5, "-0.5"), (inf, "+Inf"), (-inf, "-Inf"), (nan, "NaN"),
        ):  # fmt: skip
            self.assertEqual(lines(Family("x", "gauge", "X.", [Sample(number)]))[2], f"x {text}")

    def test_escapes(self) -> None:
        """A backslash, a quote and a line's end in a label, and a backslash and a line's end in a help."""
        family = Family("x", "gauge", 'a\\b "c"\nd', [Sample(1, {"path": 'a\\b "c"\nd'})])
        self.assertEqual(
            lines(family), [r'# HELP x a\\b "c"\nd', "# TYPE x gauge", r'x{path="a\\b \"c\"\nd"} 1']
        )

    def test_half_a_surrogate_pair(self) -> None:
        """A letter that UTF-8 cannot say is replaced, and the rest is there."""
        self.assertEqual(lines(Family("x", "gauge", "X.", [Sample(1, {"a": "b\udc80"})]))[2], 'x{a="b?"} 1')

    @given(name=NAMES, help_=TEXT.map(str.strip), samples=SAMPLES)
    def test_prometheus_reads_it(self, name: str, help_: str, samples: list[Sample]) -> None:
        """Prometheus's own client reads back what was written."""
        family = parsed(Family(f"x{name}", "gauge", f"A{help_}", samples))[f"x{name}"]
        self.assertEqual((family.type, family.documentation), ("gauge", f"A{help_}"))
        read = {frozenset(sample.labels.items()): sample.value for sample in family.samples}
        self.assertEqual(len(read), len(samples))
        for sample in samples:
            value = read[frozenset(sample.labels.items())]
            self.assertTrue(value == sample.value or (isnan(value) and isnan(sample.value)))

    @given(counts=st.dictionaries(st.floats(allow_nan=False), st.integers(0, 1000), max_size=6))
    def test_prometheus_reads_histograms(self, counts: dict[float, int]) -> None:
        """Prometheus's own client reads back the buckets of a histogram, and finds the last to hold all."""
        total, buckets = 0, {}
        for bound in sorted(counts):
            total += counts[bound]
            buckets[bound] = total
        family = parsed(Family("x", "histogram", "X.", [Distribution(buckets, 1.5, total)]))["x"]
        read = {float(sample.labels["le"]): sample.value for sample in family.samples if sample.labels}
        self.assertEqual(read, {**buckets, inf: total})
        rest = {sample.name: sample.value for sample in family.samples if not sample.labels}
        self.assertEqual(rest, {"x_sum": 1.5, "x_count": total})


class RefusalTests(SynchronousTestCase):
    """What the format cannot say."""

    def assert_refused(self, text: str, make: Any, *args: Any) -> None:
        self.assertIn(text, str(self.assertRaises(MetricError, make, *args)))

    def test_kind_of_error(self) -> None:
        """It is our caller's fault, and a ValueError for those who know no more."""
        self.assertTrue(issubclass(MetricError, LocalError))
        self.assertTrue(issubclass(MetricError, ValueError))

    def test_metric_names(self) -> None:
        """A metric's name is ASCII letters, digits, underscores and colons, no digit first."""
        for name in ("", "1x", "a-b", "a b", "é", "a\n", "a{"):
            self.assert_refused(repr(name), Family, name, "gauge", "X.", [])
        for name in ("x", "_", ":a:b", "A1"):
            self.assertEqual(Family(name, "gauge", "X.", []).name, name)

    def test_label_names(self) -> None:
        """A label's name has no colon, and does not begin like Prometheus's own."""
        for name in ("", "1x", "a-b", "a:b", "é", "a\n", "__name"):
            self.assert_refused(repr(name), Sample, 1, {name: "x"})
            self.assert_refused(repr(name), Distribution, {}, 0, 0, {name: "x"})
        self.assertEqual(Sample(1, {"_a": "x", "a__b": "y"}).value, 1)

    def test_unknown_kind(self) -> None:
        """A kind that the format does not know is refused."""
        self.assertRaises(ValueError, Family, "x", "thermometer", "X.", [])

    def test_samples_of_another_kind(self) -> None:
        """A histogram has distributions, everything else has samples."""
        self.assert_refused("x is a histogram", Family, "x", "histogram", "X.", [Sample(1)])
        self.assert_refused("x is a gauge", Family, "x", "gauge", "X.", [Distribution({}, 0, 0)])

    def test_same_labels(self) -> None:
        """No two samples of a family have the same labels."""
        samples = [Sample(1, {"a": "x", "b": "y"}), Sample(2, {"b": "y", "a": "x"})]
        self.assert_refused("x has two samples", Family, "x", "gauge", "X.", samples)
        self.assert_refused("x has two samples", Family, "x", "gauge", "X.", [Sample(1), Sample(1)])

    def test_same_name(self) -> None:
        """No two families have the same name, nor write lines of the same name."""
        gauge, count = Family("x", "gauge", "X.", []), Family("x_count", "gauge", "X.", [])
        histogram = Family("x", "histogram", "X.", [])
        self.assert_refused("'x'", render, [gauge, gauge])
        self.assert_refused("'x'", render, [gauge, histogram])
        self.assert_refused("'x_count'", render, [histogram, count])
        self.assert_refused("'x_count'", render, [count, histogram])
        self.assertTrue(render([gauge, count]))

    def test_label_of_buckets(self) -> None:
        """The label of a bucket's bound is no histogram's own; a gauge may have it."""
        self.assert_refused("'le'", Distribution, {}, 0, 0, {"le": "1"})
        self.assertEqual(Sample(1, {"le": "1"}).value, 1)

    def test_buckets(self) -> None:
        """Each bucket holds at least what the smaller ones hold, and the one without end holds all."""
        self.assert_refused("and more", Distribution, {1: 3, 2: 2}, 0, 5)
        self.assert_refused("and more", Distribution, {1: 3}, 0, 2)
        self.assert_refused("and more", Distribution, {1: -1}, 0, 2)
        self.assert_refused("without end", Distribution, {1: 1, inf: 2}, 0, 3)
        self.assert_refused("a number", Distribution, {nan: 1}, 0, 3)
