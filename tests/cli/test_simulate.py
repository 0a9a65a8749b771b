"""Tests for ``tcpsuite simulate``."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.cli import main
from tests.config.support import Folder

CONFIG = """
[listener.db]
endpoint = "tcp:6432:interface=127.0.0.1"
service = "gateway"
upstream = "pg"

[listener.other]
endpoint = "tcp:6433:interface=127.0.0.1"
service = "echo"

[upstream.pg]
bounded_load = 1.5
servers = [
  { name = "a", address = "tcp:127.0.0.1:1", weight = 3 },
  { name = "b", address = "tcp:127.0.0.1:2", max_connections = 30 },
  { name = "spare", address = "tcp:127.0.0.1:3", backup = true },
]

[upstream.idle]
servers = [{ name = "a", address = "tcp:127.0.0.1:1" }]
"""


THREE = [f"{{name='{name}', address='tcp:h:1'}}" for name in "abc"]


def log_line(number: int, server: str = "a", **more: object) -> str:
    """A connection of four seconds, each second one."""
    return json.dumps(
        {
            "time": f"2026-11-21T07:{number // 60:02}:{number % 60:02}.000Z",
            "peer": f"192.0.2.{number}:4711",
            "listener": "db",
            "server": server,
            "bytes_in": 1,
            "bytes_out": 2,
            "seconds": 4.0,
            "reason": "client_closed",
            "attempts": [{"server": server, "error": "", "seconds": 0.001}],
        }
        | more
    )


class SimulateTests(SynchronousTestCase):
    """An access log, dealt out by other strategies."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.config = self.folder.write(CONFIG)
        self.lines = [log_line(number, "b" if number % 4 else "old") for number in range(80)]

    def simulate(self, *strategies: str, upstream: str = "pg", settings: tuple[str, ...] = ()) -> Result:
        log = self.folder.write("\n".join(self.lines) + "\n", "access.log")
        arguments = ["simulate", log, "--config", self.config, "--upstream", upstream]
        for strategy in strategies:
            arguments += ["--strategy", strategy]
        for setting in settings:
            arguments += ["--set", setting]
        return CliRunner().invoke(main, arguments)

    def rows(self, *strategies: str, settings: tuple[str, ...] = ()) -> dict[str, list[str]]:
        """The cells of each row of the table, by its first word."""
        result = self.simulate(*strategies, settings=settings)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        found = (row.split() for row in result.stdout.splitlines() if row)
        return {first: rest for first, *rest in found}

    def test_table(self) -> None:
        """Beside what was stands what would have been, by each strategy: the share of each server, and the
        most connections that it had at once.
        """
        rows = self.rows("round_robin", "first")
        self.assertEqual(rows["80"], ["connections", "of", "upstream", "pg;", "other", "lines:", "0"])
        self.assertEqual(
            rows["server"], ["weight", "as", "it", "was", "peak", "round_robin", "peak", "first", "peak"]
        )
        self.assertEqual(rows["a"], ["3", "0.0%", "0", "75.0%", "3", "100.0%", "4"])
        self.assertEqual(rows["b"], ["1", "75.0%", "3", "25.0%", "1", "0.0%", "0"])
        self.assertEqual(rows["spare"], ["-", "0.0%", "0", "0.0%", "0", "0.0%", "0"])
        self.assertEqual(rows["old"], ["-", "25.0%", "1", "0.0%", "0", "0.0%", "0"])
        self.assertEqual(rows["maximum"], ["over", "mean", "4.00", "1.00", "1.33"])
        self.assertIn("shares, not promises", self.simulate("first").stdout)

    def test_got_none(self) -> None:
        """Those for whom no server would have had room are told."""
        rows = self.rows(
            "first", settings=("upstream.pg.servers=[{name='b', address='tcp:h:1', max_connections=2}]",)
        )
        self.assertEqual(rows["got"], ["none", "0", "40"])

    def test_bounded_load(self) -> None:
        """Strategies have the options of the file: here one client finds its bound."""
        self.lines = [log_line(number, peer="192.0.2.1:1", seconds=40.0) for number in range(80)]
        free = self.rows("ip_hash", settings=("upstream.pg.bounded_load=0",))
        bound = self.rows("ip_hash", settings=(f"upstream.pg.servers=[{', '.join(THREE)}]",))
        self.assertIn("100.0%", (free["a"] + free["b"])[3:])
        self.assertNotIn("100.0%", [bound[name][3] for name in "abc"])

    def test_affinity(self) -> None:
        """An upstream with affinity is simulated with it: a client keeps the server that it had."""
        self.lines = [log_line(number, peer=f"192.0.2.{number % 2}:1") for number in range(80)]
        sticks = (f"upstream.pg.servers=[{', '.join(THREE)}]", "upstream.pg.affinity=ip")
        rows = self.rows("round_robin", settings=sticks)
        self.assertEqual(sorted(rows[name][3] for name in "abc"), ["0.0%", "50.0%", "50.0%"])
        self.assertEqual(rows["80"][3:6], ["pg,", "with", "its"])
        rows = self.rows("round_robin", settings=sticks[:1])
        self.assertNotIn("0.0%", [rows[name][3] for name in "abc"])

    def test_own_balancer(self) -> None:
        """A balancer of somebody's own is named as in the file."""
        rows = self.rows("tcpsuite.core.balancing:First")
        self.assertEqual(rows["a"][3], "100.0%")

    def test_other_lines(self) -> None:
        """Lines of other listeners are left out; lines that are none are counted, and the first is told."""
        self.lines[3:3] = [log_line(3, listener="other"), "nonsense", "more nonsense"]
        result = self.simulate("random")
        self.assertEqual(result.exit_code, 0)
        self.assertTrue(
            result.stderr.endswith("not of a JSON access log: 2 lines left out, the first is line 5\n")
        )
        self.assertIn("80 connections of upstream pg; other lines: 1", result.stdout)

    def test_chance(self) -> None:
        """The same seed gives the same table."""
        self.assertEqual(self.simulate("random").stdout, self.simulate("random").stdout)

    def test_nothing_to_show(self) -> None:
        """An upstream that there is not, one to which no connection led, and a log in text are told."""
        for upstream, why in (
            ("pgg", "has no upstream 'pgg'; it has pg, idle"),
            ("idle", "no connection of"),
        ):
            result = self.simulate("first", upstream=upstream)
            self.assertEqual((result.exit_code, result.stdout), (1, ""))
            self.assertIn(why, result.stderr)
        self.lines = ["2026-11-21T07:35:24.065Z id=66bfba-3 peer=127.0.0.1:49780"]
        result = self.simulate("first")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(
            '1 line left out, the first is line 1; does [access_log] say format = "json"?', result.stderr
        )

    def test_several_logs(self) -> None:
        """Several logs are one; what is wrong in one of them is told with its name."""
        old = self.folder.write("\n".join([*self.lines[:40], "nonsense"]), "access.log.1")
        log = self.folder.write("\n".join(self.lines[40:]), "access.log")
        arguments = ["--config", self.config, "--upstream", "pg", "--strategy", "first"]
        result = CliRunner().invoke(main, ["simulate", log, old, *arguments])
        self.assertEqual(result.exit_code, 0)
        self.assertIn("80 connections of upstream pg; other lines: 0", result.stdout)
        self.assertEqual(
            result.stderr,
            f"{old}: not of a JSON access log: 1 line left out, the first is line 41\n",
        )

    def test_unknown_strategies(self) -> None:
        """A strategy that there is not is refused with those that there are, one's own with what is wrong."""
        result = self.simulate("firs")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("expected one of round_robin, ", result.stderr)
        result = self.simulate("no.such:thing")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("no.such:thing cannot be used", result.stderr)
