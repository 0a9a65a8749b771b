"""The words that configuration classes are written in."""

from __future__ import annotations

import sys
from math import inf, nan
from pathlib import Path

from attrs import NOTHING, fields, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.options import (
    Duration,
    OptionError,
    Provider,
    Secret,
    at_least,
    between,
    format_duration,
    format_size,
    import_provider,
    option,
    parse_duration,
    parse_size,
    parse_truth,
)


@frozen
class Example:
    """Options to try."""

    needed: str = option(NOTHING, "Must be given.")
    checked: int = option(NOTHING, "Must be given, and fit.", check=between(1, 3))
    pause: Duration = option(Duration(1.5), "How long.", check=at_least(0.5, "seconds"))
    kind: Provider = option(Provider("a"), "Which.", choices=("a", "b"))


class SecretTests(SynchronousTestCase):
    """What is never shown."""

    def test_repr(self) -> None:
        """A secret, and a table that holds one, tell whether there is one, and not which."""
        self.assertEqual((repr(Secret("open sesame")), repr(Secret(""))), ("'***'", "''"))
        self.assertEqual(Secret("open sesame"), "open sesame")


class TruthTests(SynchronousTestCase):
    """Truth values as text."""

    def test_words(self) -> None:
        """Yes and no, in the words that people use for them."""
        for texts, truth in ((("yes", "TRUE", "on", "1"), True), (("no", "False", "off", "0"), False)):
            for text in texts:
                self.assertIs(parse_truth(text), truth)

    def test_others(self) -> None:
        """Anything else is refused."""
        for text in ("", "2", "y", "maybe"):
            self.assertRaises(OptionError, parse_truth, text)


class OptionTests(SynchronousTestCase):
    """Fields of a configuration class."""

    def test_default(self) -> None:
        """What is not given has its default."""
        example = Example("x", 1)
        self.assertEqual((example.pause, example.kind), (1.5, "a"))

    def test_needed(self) -> None:
        """An option without a default must be given."""
        self.assertRaises(TypeError, Example)

    def test_check(self) -> None:
        """A value that does not pass the check is refused, with or without a default beside it."""
        self.assertRaises(OptionError, Example, "x", 4)
        self.assertRaises(OptionError, Example, "x", 3, 0.1)
        self.assertEqual(Example("x", 3, Duration(0.5)).pause, 0.5)

    def test_metadata(self) -> None:
        """The field knows its sentence and its choices."""
        metadata = fields(Example).kind.metadata
        self.assertEqual((metadata["doc"], metadata["choices"]), ("Which.", ("a", "b")))


class OptionErrorTests(SynchronousTestCase):
    """A value that does not fit."""

    def test_text(self) -> None:
        """The error says what was expected, and what came."""
        error = OptionError("a number", "x")
        self.assertEqual(str(error), "expected a number, got 'x'")
        self.assertEqual((error.expected, error.got), ("a number", "x"))


class CheckTests(SynchronousTestCase):
    """Bounds of numbers."""

    def refusal(self, check: object, value: float) -> str:
        return str(self.assertRaises(OptionError, check, value).expected)

    def test_between(self) -> None:
        """Both ends are allowed, and nothing beyond them."""
        check = between(0.5, 1_000_000, "seconds")
        check(0.5)
        check(1_000_000)
        self.assertEqual(self.refusal(check, 0.49), "a value from 0.5 to 1000000 seconds")
        self.assertEqual(self.refusal(between(1, 2), 3), "a value from 1 to 2")

    def test_at_least(self) -> None:
        """The bound is allowed, and nothing below."""
        check = at_least(1_000_000, "bytes")
        check(1_000_000)
        self.assertEqual(self.refusal(check, 999_999), "a value of at least 1000000 bytes")
        self.assertEqual(self.refusal(at_least(0), -1), "a value of at least 0")

    def test_not_a_number(self) -> None:
        """TOML can say ``nan``; it lies nowhere."""
        self.refusal(between(0, 1), nan)
        self.refusal(at_least(0), nan)


class DurationTests(SynchronousTestCase):
    """Seconds, written and read."""

    def test_written(self) -> None:
        """Each unit, fractions, and a space before the unit."""
        for text, seconds in (
            ("500ms", 0.5), ("30s", 30.0), ("1.5s", 1.5), ("5m", 300.0), ("2h", 7200.0), ("1d", 86400.0),
            (" 5 s ", 5.0), ("0s", 0.0), ("1.1ms", 0.0011),
        ):  # fmt: skip
            self.assertEqual(parse_duration(text), seconds)

    def test_numbers(self) -> None:
        """A number is seconds."""
        self.assertEqual([parse_duration(each) for each in (0, "0", 3, 0.25)], [0.0, 0.0, 3.0, 0.25])
        self.assertIsInstance(parse_duration(3), float)

    def test_nonsense(self) -> None:
        """Everything else is refused: signs, exponents, foreign digits, what no float can hold."""
        nonsense: tuple[object, ...] = (
            "", "5", "s", "-5s", "5 days", "5S", "1e3s", ".5s", "5.s", "٣s", "5s5s", -1, -0.1, nan, inf, -inf,
            True, None, [], 10**400, "9" * 400 + "d", "9" * 10_000 + "s",
        )  # fmt: skip
        for value in nonsense:
            error = self.assertRaises(OptionError, parse_duration, value)
            self.assertEqual(error.expected, 'a duration such as "500ms", "30s", "5m" or "2h"')

    def test_format(self) -> None:
        """The greatest unit that goes into it evenly; seconds, or milliseconds, otherwise."""
        for seconds, text in (
            (0, "0s"), (0.2, "200ms"), (0.0015, "1.5ms"), (1e-9, "0.000001ms"), (1, "1s"), (1.5, "1.5s"),
            (60, "1m"), (90, "90s"), (3600.0, "1h"), (5400, "90m"), (172800, "2d"), (86400.5, "86400.5s"),
            (1234567, "1234567s"),
        ):  # fmt: skip
            self.assertEqual(format_duration(seconds), text)

    @given(st.floats(min_value=0, allow_infinity=False) | st.integers(0, 10**9))
    def test_round_trip(self, seconds: float) -> None:
        """What was written is read back exactly."""
        self.assertEqual(parse_duration(format_duration(seconds)), seconds)


class SizeTests(SynchronousTestCase):
    """Bytes, written and read."""

    def test_written(self) -> None:
        """Each unit, by thousands and by 1024s, fractions, and a space before the unit."""
        for text, size in (
            ("0B", 0), ("1000B", 1000), ("1kB", 1000), ("1KB", 1000), ("1KiB", 1024), ("64 KiB", 65536),
            ("1.5MiB", 1572864), ("2GB", 2 * 10**9), ("1TiB", 2**40), ("1TB", 10**12), ("1.1KiB", 1126),
            (" 1MB ", 10**6), ("9007199254740993B", 9007199254740993),
        ):  # fmt: skip
            self.assertEqual(parse_size(text), size)

    def test_numbers(self) -> None:
        """A whole number is bytes."""
        self.assertEqual([parse_size(0), parse_size(65536)], [0, 65536])

    def test_nonsense(self) -> None:
        """Everything else is refused."""
        for value in (
            "",
            "5",
            "KiB",
            "-1B",
            "5 apples",
            "1kiB",
            "1b",
            "٣B",
            "9" * 10_000 + "B",
            -1,
            1.5,
            True,
            None,
        ):
            error = self.assertRaises(OptionError, parse_size, value)
            self.assertEqual(error.expected, 'a size such as "64KiB", "1MiB" or a number of bytes')

    def test_format(self) -> None:
        """The greatest unit of 1024s that goes into it evenly."""
        for size, text in (
            (0, "0B"), (1000, "1000B"), (1024, "1KiB"), (1536, "1536B"), (2**20, "1MiB"), (3 * 2**30, "3GiB"),
            (2**40, "1TiB"), (2**50, "1024TiB"),
        ):  # fmt: skip
            self.assertEqual(format_size(size), text)

    @given(st.integers(0, 2**60))
    def test_round_trip(self, size: int) -> None:
        """What was written is read back exactly."""
        self.assertEqual(parse_size(format_size(size)), size)


class ImportProviderTests(SynchronousTestCase):
    """Providers by ``module:attribute``."""

    def test_found(self) -> None:
        """The attribute of the module, or an attribute of that."""
        self.assertIs(import_provider("tcpsuite.options:OptionError"), OptionError)
        self.assertIs(
            import_provider("tcpsuite.options:OptionError.with_traceback"), OptionError.with_traceback
        )

    def test_not_found(self) -> None:
        """Whatever keeps it from being imported is said."""
        for name in ("no_such_module:x", "tcpsuite.options:no_such", "tcpsuite.options", ":x", "a b:c", ""):
            error = self.assertRaises(OptionError, import_provider, name)
            self.assertIn("module:attribute that can be imported (", error.expected)
            self.assertEqual(error.got, name)

    def test_broken(self) -> None:
        """A module that wants to end the process is not importable either; what it says is one line."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.patch(sys, "path", [str(folder), *sys.path])
        for name, text, why in (
            ("ends_of_a_test", "raise SystemExit('no\\nlicence')", "no licence"),
            ("fails_of_a_test", "raise AssertionError", "AssertionError()"),
        ):
            (folder / f"{name}.py").write_text(text)
            error = self.assertRaises(OptionError, import_provider, f"{name}:x")
            self.assertEqual(error.expected, f"module:attribute that can be imported ({why})")
