"""Tests for ``tcpsuite pool-size``."""

from __future__ import annotations

import tomllib

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.cli import main
from tests.config.support import Folder


def pool_size(*arguments: str) -> Result:
    """The command, called in this process."""
    return CliRunner().invoke(main, ["pool-size", *arguments])


class PoolSizeTests(SynchronousTestCase):
    """How large a pool should be."""

    def test_why(self) -> None:
        """Both sizes are said, and how they come about."""
        result = pool_size("500", "40ms")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(
            result.output,
            "min_connections = 10\nmax_connections = 40\n"
            "# 500 a second, for 40ms each, are 20 in use on average (Little's law).  "
            "Half as many are kept, at least 2; twice as many are allowed, at least 10.\n",
        )

    def test_goes_into_a_file(self) -> None:
        """What is printed is TOML that a pool's table takes as it is."""
        output = pool_size("0.5", "2").output
        self.assertEqual(tomllib.loads(output), {"min_connections": 2, "max_connections": 10})
        text = "[upstream.pg]\nservers = [{ name = 'a', address = 'tcp:h:1' }]\n[upstream.pg.pool]\n" + output
        self.assertEqual(Folder(self).load(text).config.upstreams["pg"].pool.max_connections, 10)

    def test_large(self) -> None:
        """Large figures are in digits; what is more than any pool may have is said to be, and not printed."""
        self.assertIn("# 1000000 a second, for 10ms each, are 10000 in use", pool_size("1e6", "10ms").output)
        self.assertEqual(pool_size("50000", "1s").exit_code, 0)
        for arrivals, mean in (("50000.5", "1s"), ("1e9", "1h"), ("1e308", "1h")):
            result = pool_size(arrivals, mean)
            self.assertEqual(result.exit_code, 2)
            self.assertIn("want more than the 100000 connections that a pool may have", result.output)
            self.assertNotIn("max_connections =", result.output)

    def test_wrong(self) -> None:
        """What is no number, or no duration, is named; the exit status is 2."""
        for arguments, name in (
            (("many", "1s"), "'ARRIVALS'"),
            (("nan", "1s"), "ARRIVALS"),
            (("--", "-1", "1s"), "ARRIVALS"),
            (("5", "soon"), "MEAN"),
            (("5", "inf"), "MEAN"),
        ):
            result = pool_size(*arguments)
            self.assertEqual(result.exit_code, 2)
            self.assertIn(f"Invalid value for {name}: ", result.output)
