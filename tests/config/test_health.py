"""The table that says how it is found out whether servers are well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config.show import show
from tcpsuite.net import health_options
from tcpsuite.net.health_options import OPTIONS_OF_TYPES, TYPES, HealthOptions
from tests.config.support import GATEWAY, Folder

TABLE = "[upstream.pg]\nservers = [{ name = 'a', address = 'tcp:192.0.2.1:1' }]\n[upstream.pg.health]\n"


class HealthOptionsTests(SynchronousTestCase):
    """From a file."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def faults(self, text: str) -> list[str]:
        return [line.partition("health")[2] for line in self.folder.faults(TABLE + text)]

    def read(self, text: str) -> HealthOptions:
        health: HealthOptions = self.folder.load(TABLE + text).config.upstreams["pg"].health
        return health

    def test_defaults(self) -> None:
        """A file that says nothing asks and judges, by connecting."""
        health = self.folder.load(GATEWAY).config.upstreams["pg"].health
        self.assertEqual(
            (health.mode, health.type, health.active, health.passive), ("hybrid", "tcp", True, True)
        )

    def test_modes(self) -> None:
        """Each mode asks, judges by real connections, does both or neither."""
        found = [
            (health.active, health.passive) for health in map(HealthOptions, ("active", "passive", "none"))
        ]
        self.assertEqual(found, [(True, False), (False, True), (False, False)])

    def test_each_type(self) -> None:
        """Every built-in type can be named, with what it needs."""
        for kind in TYPES:
            needs = 'expect = "x"' if kind == "send_expect" else ""
            self.assertEqual(self.read(f'type = "{kind}"\n{needs}').type, kind)
        (fault,) = self.faults('type = "none"')
        self.assertIn("expected one of tcp, send_expect, redis", fault)

    def test_what_a_type_does_not_look_at(self) -> None:
        """An option of another type is a fault, and all of them are told at once."""
        self.assertEqual(
            self.faults('type = "redis"\npath = "/x"\nhost = "y"\n'),
            [": path is for type http, and this is redis; host is for type http and tls, and this is redis"],
        )
        self.assertEqual(
            self.faults('type = "tcpsuite.net.checks.tcp:TCPCheck"\nsend = "x"\n'),
            [": send is for type send_expect, and this is tcpsuite.net.checks.tcp:TCPCheck"],
        )

    def test_expects_one_thing(self) -> None:
        """send_expect without an expectation, or with two of them, is a fault."""
        for text in ("", 'expect = "x"\nexpect_regex = "y"\n'):
            self.assertEqual(
                self.faults(f'type = "send_expect"\n{text}'),
                [": send_expect needs expect or expect_regex, one of them"],
            )

    def test_values(self) -> None:
        """Escapes, expressions, paths, statuses and names that are none are told where they stand."""
        for kind, option, value, expected in (
            (
                "send_expect",
                "send",
                r"\q",
                r"a text with escapes (\q is no escape: \r, \n, \t, \0, \\ and \xHH are)",
            ),
            ("send_expect", "expect_regex", "(", "a regular expression (no regular expression: missing )"),
            ("http", "status", "2xx", "statuses of HTTP ('2xx' is neither a status nor a range of them)"),
            ("http", "path", "x", "a path that begins with / and has neither a blank nor what is not ASCII"),
            (
                "http",
                "path",
                "/x y",
                "a path that begins with / and has neither a blank nor what is not ASCII",
            ),
            ("http", "host", "a\\r\\nb", "the name of a host"),
        ):
            quote = '"' if option == "host" else "'"
            (fault,) = self.faults(f'type = "{kind}"\n{option} = {quote}{value}{quote}\n')
            self.assertTrue(fault.startswith(f".{option}: expected {expected}"), fault)

    def test_tls_needs_its_extra(self) -> None:
        """Where OpenSSL is not installed a check of TLS is refused, with what to install."""
        with mock.patch.object(health_options, "find_spec", return_value=None):
            self.assertEqual(
                self.faults('type = "tls"\n'), [": type tls needs the tls extra: pip install 'tcpsuite[tls]'"]
            )

    def test_the_password_is_not_shown(self) -> None:
        """Neither a fault nor what is in force tells the password."""
        loaded = self.folder.load(TABLE + 'type = "redis"\npassword = "sesame"\n')
        self.assertNotIn("sesame", show(loaded))
        self.assertIn("password = ", show(loaded))
        (fault,) = self.faults('type = "tcp"\npassword = "sesame"\n')
        self.assertEqual(fault, ": password is for type redis, and this is tcp")

    def test_doubts(self) -> None:
        """A longest ejection that is shorter than the first one is doubted, and said what it means."""
        found = self.folder.load(TABLE + "ejection_time = 10\nmax_ejection_time = 5\n").doubts
        said = [line for line in self.folder.lines(found) if "health" in line]
        path = "x.toml:5: upstream.pg.health.max_ejection_time"
        self.assertEqual(said, [f"{path}: shorter than ejection_time, so every ejection lasts 10s"])


class PageTests(SynchronousTestCase):
    """docs/health.md."""

    def setUp(self) -> None:
        self.page = (Path(__file__).parents[2] / "docs" / "health.md").read_text()

    def test_tables(self) -> None:
        """Every table that the page shows is good."""
        tables = re.findall(r"```toml\n\[upstream\.\w+\.health\]\n(.*?)```", self.page, re.DOTALL)
        types = [Folder(self).load(TABLE + table).config.upstreams["pg"].health.type for table in tables]
        self.assertEqual(types, ["redis", "send_expect"])

    def test_types(self) -> None:
        """The page tells of every type, and of the options that each has."""
        table = self.page.partition("| type |")[2].partition("| `module:attribute` |")[0]
        told = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", table, re.MULTILINE))
        self.assertEqual(list(told), list(TYPES))
        for kind in TYPES:
            own = {option for option, kinds in OPTIONS_OF_TYPES.items() if kind in kinds}
            self.assertEqual(set(re.findall(r"`(\w+)`", told[kind])), own, kind)

    def test_program(self) -> None:
        """The program that the page shows watches its servers."""
        (program,) = re.findall(r"```python\n(.*?)```", self.page, re.DOTALL)
        names: dict[str, Any] = {}
        exec(program, names)
        self.assertEqual(repr(names["checker"]), "<HealthChecker cache running up=2 of 2>")
        names["checker"].stop()
