"""Tests for the faults of a configuration: each with its place, and all of them at once."""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config import Fault, load, loading
from tcpsuite.errors import ConfigError
from tcpsuite.plugin import ServiceType
from tests.config.support import ECHO, GATEWAY, Folder

EVERYTHING_WRONG = """\
drain_timeout = "5x"
nonsense = 1
[listener.db]
endpont = "tcp:6432"
service = "gateway"
upstream = "pgg"
idle_timeout = "3m"
[listener.echo]
endpoint = ["tcp:6432:interface=127.0.0.1", "7007", "127.0.0.1:80"]
service = "ecko"
its_own = "nobody knows"
limits = { connections = -1, conections_per_ip = 3 }
[listener.other]
endpoint = "tcp:6432"
service = "echo"
upstream = "pg"
[upstream.pg]
strategy = "leastconnections"
servers = [
  { name = "a", address = "tcp:10.0.0.1:5432", weight = 2000 },
  { name = 5, address = "10.0.0.1:5432" },
]
health = { type = "no.such.module:thing" }
[admin]
token = 5
endpoint = "tcp:99999"
"""


A_DURATION = 'expected a duration such as "500ms", "30s", "5m" or "2h"'


class FaultsTests(SynchronousTestCase):
    """Whatever is wrong is said."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_all_at_once(self) -> None:
        """Every fault of a file is said at once, in the order of its lines, with what would be right."""
        self.assertEqual(
            self.folder.faults(EVERYTHING_WRONG),
            [
                f"x.toml:1: drain_timeout: {A_DURATION}, got '5x'",
                "x.toml:2: nonsense: unknown option",
                "x.toml:3: listener.db.endpoint: required, and not given",
                "x.toml:4: listener.db.endpont: unknown option; did you mean endpoint?",
                (
                    "x.toml:6: listener.db.upstream: expected the name of an upstream, got 'pgg'; "
                    "did you mean pg?"
                ),
                (
                    "x.toml:9: listener.echo.endpoint[1]: expected a Twisted server endpoint string "
                    "(Unknown endpoint type: '7007'), got '7007'; did you mean tcp:7007?"
                ),
                (
                    "x.toml:9: listener.echo.endpoint[2]: expected a Twisted server endpoint string "
                    "(Unknown endpoint type: '127.0.0.1'), got '127.0.0.1:80'; "
                    "did you mean tcp:80:interface=127.0.0.1?"
                ),
                (
                    "x.toml:10: listener.echo.service: expected the name of a service, got 'ecko'; "
                    "did you mean echo?"
                ),
                "x.toml:12: listener.echo.limits.connections: expected a value from 1 to 1000000, got -1",
                (
                    "x.toml:12: listener.echo.limits.conections_per_ip: unknown option; "
                    "did you mean connections_per_ip?"
                ),
                (
                    "x.toml:14: listener.other.endpoint: expected an address of its own, got tcp:6432, "
                    "where listener.echo.endpoint[0] (x.toml:9) listens"
                ),
                "x.toml:16: listener.other.upstream: unknown option",
                (
                    "x.toml:18: upstream.pg.strategy: expected one of round_robin, least_connections, "
                    "least_time, random, power_of_two, ip_hash, first, or module:attribute, "
                    "got 'leastconnections'; did you mean least_connections?"
                ),
                "x.toml:20: upstream.pg.servers[0].weight: expected a value from 0 to 256, got 2000",
                "x.toml:21: upstream.pg.servers[1].name: expected text in quotes, got 5",
                (
                    "x.toml:21: upstream.pg.servers[1].address: expected a Twisted client endpoint string "
                    "(Unknown endpoint type: '10.0.0.1'), got '10.0.0.1:5432'; "
                    "did you mean tcp:10.0.0.1:5432?"
                ),
                (
                    "x.toml:23: upstream.pg.health.type: expected module:attribute that can be imported "
                    "(No module named 'no'), got 'no.such.module:thing'"
                ),
                "x.toml:25: admin.token: expected text in quotes, got '***'",
                "x.toml:26: admin.endpoint: expected a port from 0 to 65535, got 'tcp:99999'",
            ],
        )

    def test_fields(self) -> None:
        """A fault knows its parts, for programs."""
        try:
            self.folder.load(ECHO.replace("endpoint", "endpont"))
        except ConfigError as error:
            unknown = error.faults[1]
        self.assertEqual(
            unknown,
            Fault(
                os.path.join(self.folder.path, "x.toml"), 3, "listener.echo.endpont", "", "unknown option",
                "did you mean endpoint?",
            ),
        )  # fmt: skip

    def test_wrong_types(self) -> None:
        """A table, a list, a value where another is wanted: each is named for what it is."""
        cases = {
            "listener = 1\n": "listener: expected a table, got 1",
            "[[listener]]\n": "listener: expected a table, got a list",
            "[listener]\necho = true\n": "listener.echo: expected a table, got true",
            "[upstream.pg]\nservers = 'a'\n": "upstream.pg.servers: expected a list, got 'a'",
            "[upstream.pg]\nservers = []\n": (
                "upstream.pg.servers: expected at least one server, got an empty list"
            ),
            "[upstream.pg]\nservers = ['a']\n": "upstream.pg.servers[0]: expected a table, got 'a'",
            "[admin]\nendpoint = 7\n": (
                "admin.endpoint: expected an endpoint string, or a list of them, got 7"
            ),
            "[admin]\nendpoint = [7]\n": "admin.endpoint[0]: expected text in quotes, got 7",
            "[admin]\nhosts = 'a'\n": "admin.hosts: expected a list, got 'a'",
            "[limits]\nconnections = 1.5\n": "limits.connections: expected a whole number, got 1.5",
            "[limits]\nconnections = true\n": "limits.connections: expected a whole number, got true",
            "[manhole]\nenabled = 1\n": "manhole.enabled: expected true or false, got 1",
            "[sessions]\nmax_bytes = '1KB'\n": "",
            "[sessions]\nmax_bytes = '1 potato'\n": (
                'sessions.max_bytes: expected a size such as "64KiB", "1MiB" or a number of bytes, '
                "got '1 potato'"
            ),
            "[sessions]\nidle_timeout = 1979-05-27\n": (
                f"sessions.idle_timeout: {A_DURATION}, got 1979-05-27"
            ),
            "[listener.e]\nendpoint = []\nservice = 'echo'\n": (
                "listener.e.endpoint: expected at least one endpoint, got an empty list"
            ),
            "[listener.e]\nendpoint = 'tcp:1'\nservice = 'echo'\nlimits = 1\n[limits]\n": (
                "listener.e.limits: expected a table, got 1"
            ),
            "state_directory = 7\n": "state_directory: expected text in quotes, got 7",
            "state_directory = '-'\n": "state_directory: expected a directory's path, got '-'",
            "state_directory = 'state:x'\n": "state_directory: expected a directory's path, got 'state:x'",
        }
        for text, expected in cases.items():
            found = [fault.split(": ", 1)[1] for fault in self.folder.faults(text)]
            self.assertEqual(found, [expected] if expected else [])

    def test_sockets(self) -> None:
        """A socket option that the kernel would not take is a fault, with what it takes."""
        tables = (
            "[listener.db.socket]\nkeepalive_count = 128\nkeepalive_idle = '500ms'\nsend_buffer = 1\n"
            "[upstream.pg.socket]\nbacklog = 5\nhigh_water = '2GiB'\nuser_timeout = '2d'\n"
        )
        found = self.folder.faults(GATEWAY + tables)
        self.assertEqual(
            [fault.split(": ", 1)[1] for fault in found],
            [
                (
                    "listener.db.socket.keepalive_count: "
                    "expected a value from 1 to 127 probes, as the kernel counts them, got 128"
                ),
                (
                    "listener.db.socket.keepalive_idle: "
                    "expected whole seconds from 1 to 32767, as the kernel counts them, got '0.5s'"
                ),
                "listener.db.socket.send_buffer: expected 0, or a size from 4KiB to 1GiB, got '1B'",
                "upstream.pg.socket.backlog: unknown option",
                "upstream.pg.socket.high_water: expected a size from 4KiB to 1GiB, got '2GiB'",
                (
                    "upstream.pg.socket.user_timeout: "
                    "expected a value from 0 to 86400 seconds: a day is as good as never, got 172800.0"
                ),
            ],
        )

    def test_overload(self) -> None:
        """A share whose step would never end is a fault; 0 is none, and what lies above that."""
        text = "[overload]\nshrink_at = {}\npause_at = {}\n"
        what = "expected 0, or a share above 0.03 up to 1, for a step ends 0.03 below it"
        self.assertEqual(
            [fault.split(": ", 1)[1] for fault in self.folder.faults(text.format(0.03, 1.5))],
            [f"overload.shrink_at: {what}, got 0.03", f"overload.pause_at: {what}, got 1.5"],
        )
        self.assertEqual(self.folder.faults(text.format(0.0, 0.04)), [])

    def test_names_of_servers(self) -> None:
        """Two servers of one name are a fault."""
        self.assertEqual(
            self.folder.faults(GATEWAY.replace('"b"', '"a"')),
            ["x.toml:8: upstream.pg.servers: expected servers with a name each of their own, got 'a'"],
        )

    def test_providers(self) -> None:
        """A provider is a short name, or something that can be imported; its own error is told."""
        folder = self.folder
        folder.write("def good(chance): ...\nnumber = 5\n", "balancers_of_a_test.py")
        folder.write("1 / 0\n", "broken_module_of_a_test.py")
        sys.path.insert(0, folder.path)
        self.addCleanup(sys.path.remove, folder.path)
        self.addCleanup(sys.modules.pop, "balancers_of_a_test")

        def faults(strategy: str) -> list[str]:
            found = folder.faults(GATEWAY, f"upstream.pg.strategy={strategy}")
            return [fault.removeprefix("--set: upstream.pg.strategy: expected ") for fault in found]

        self.assertEqual(faults("balancers_of_a_test:good"), [])
        self.assertEqual(
            faults("balancers_of_a_test:god"),
            [
                (
                    "module:attribute that can be imported "
                    "(module 'balancers_of_a_test' has no attribute 'god'), "
                    "got 'balancers_of_a_test:god'"
                )
            ],
        )
        self.assertEqual(
            faults("balancers_of_a_test:number"),
            ["module:attribute that can be called, got 'balancers_of_a_test:number'"],
        )
        self.assertEqual(
            faults("broken_module_of_a_test:x"),
            ["module:attribute that can be imported (division by zero), got 'broken_module_of_a_test:x'"],
        )

    def test_secrets_are_not_told(self) -> None:
        """No message shows what a secret is."""
        web = '[listener.web]\nendpoint = "tcp:1"\nservice = "files"\nroot = "."\n'
        for table, where in ((web, "x.toml:5: listener.web"), ("[admin]\n", "x.toml:2: admin")):
            for text in ("token = 31337", "token = ['31337']", "token = '31337'"):
                (fault,) = self.folder.faults(f"{table}{text}\n")
                self.assertIn(f"{where}.token: expected ", fault)
                self.assertNotIn("31337", fault)

    def test_a_slip_beside_an_unknown_service(self) -> None:
        """What looks like a common option is told even where the service, and so its own, are unknown."""
        faults = self.folder.faults('[listener.db]\nendpont = "tcp:1"\nservice = "ecko"\nits_own = 1\n')
        self.assertEqual(
            faults,
            [
                "x.toml:1: listener.db.endpoint: required, and not given",
                "x.toml:2: listener.db.endpont: unknown option; did you mean endpoint?",
                (
                    "x.toml:3: listener.db.service: expected the name of a service, got 'ecko'; "
                    "did you mean echo?"
                ),
            ],
        )

    def test_an_upstream_beside_an_unknown_service(self) -> None:
        """An upstream that is not there is told even where the service is unknown, or missing."""
        for line in ('service = "ecko"', "# no service"):
            faults = self.folder.faults(f'[listener.db]\nendpoint = "tcp:1"\n{line}\nupstream = "nope"\n')
            self.assertEqual(
                [fault.partition(", got")[0] for fault in faults][1:],
                ["x.toml:4: listener.db.upstream: expected the name of an upstream"],
            )

    def test_an_upstream_of_sessions(self) -> None:
        """The upstream of sessions is one that there is, or none."""
        (fault,) = self.folder.faults(GATEWAY + '[sessions]\nupstream = "pgg"\n')
        self.assertRegex(
            fault, "sessions.upstream: expected the name of an upstream, got 'pgg'; did you mean pg"
        )
        for name in ("pg", ""):
            config = self.folder.load(GATEWAY + f'[sessions]\nupstream = "{name}"\n').config
            self.assertEqual(config.sessions.upstream, name)

    def test_a_service_that_is_not_all_there(self) -> None:
        """A service whose module cannot be imported, for whatever reason, is a fault of who wants it."""
        self.folder.write("raise SystemExit(3)\n", "exits_in_a_test.py")
        self.folder.write("raise RuntimeError('out of\\n  order')\n", "raises_in_a_test.py")
        self.folder.write("", "lacks_in_a_test.py")
        self.folder.write("class Options: ...\n", "odd_in_a_test.py")
        self.patch(sys, "path", [self.folder.path, *sys.path])
        for module, why in {
            "no_such_module_of_a_test": "No module named 'no_such_module_of_a_test'",
            "exits_in_a_test": "SystemExit(3)",
            "raises_in_a_test": "out of order",
            "odd_in_a_test": "<class 'odd_in_a_test.Options'> is not an attrs-decorated class.",
            "lacks_in_a_test": "module 'lacks_in_a_test' has no attribute 'Options'",
        }.items():
            broken = ServiceType("broken", "", module, "Options")
            self.patch(loading, "service_types", lambda broken=broken: {"broken": broken})
            self.addCleanup(sys.modules.pop, module, None)
            self.assertEqual(
                self.folder.faults('[listener.x]\nendpoint = "tcp:1"\nservice = "broken"\n'),
                [f"x.toml:1: listener.x: expected a service that can be imported ({why}), got 'broken'"],
            )


class FilesTests(SynchronousTestCase):
    """Files that are no configuration at all."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_syntax(self) -> None:
        """A file that is no TOML has that one fault, with its line."""
        cases = {
            "a = 1\n[listener.db\nunknown = 1\n": "x.toml:2: not TOML: expected ']' at the end of a table "
            "declaration (column 13)",
            "a = 1\na = 2\n": "x.toml:2: not TOML: cannot overwrite a value (column 6)",
            'a = """\n\n': "x.toml:1: not TOML: unterminated string (at the end)",
            "a =": "x.toml:1: not TOML: invalid value (at the end)",
        }
        for text, expected in cases.items():
            self.assertEqual(self.folder.faults(text), [expected])

    def test_syntax_before_all_else(self) -> None:
        """While one of several files is no TOML, nothing else is judged; all such files are named."""
        self.folder.write("[", "conf.d/a.toml")
        self.folder.write("nonsense = 1", "conf.d/b.toml")
        self.folder.write("]", "conf.d/c.toml")
        found = self.folder.faults("nonsense = 1\n")
        self.assertEqual([fault.split(":")[0] for fault in found], ["conf.d/a.toml", "conf.d/c.toml"])

    def test_unreadable(self) -> None:
        """A file that is not there, or is a directory, is named."""
        for name, why in (("none.toml", "No such file or directory"), ("", "Is a directory")):
            path = os.path.join(self.folder.path, name)
            with self.assertRaises(ConfigError) as caught:
                load(path, environ={})
            self.assertEqual(str(caught.exception), f"{path}: expected a file that can be read, got {why}")

    def test_too_much(self) -> None:
        """A number of too many digits, and lists or keys in one another without end, are no TOML for us."""
        nested = "x.toml: lists and tables nested too deep"
        for text, expected in {
            f"a = {'5' * 5000}\n": "x.toml: not TOML: a number of too many digits",
            f"a = {'[' * 3000}{']' * 3000}\n": nested,
            f"a = {'[' * 3000}\n": nested,
            f"{'a.' * 3000}b = 1\n": nested,
        }.items():
            self.assertEqual(self.folder.faults(text), [expected])

    def test_unreadable_drop_ins(self) -> None:
        """A conf.d that cannot be read is no conf.d that is empty."""
        path = self.folder.write(ECHO)
        os.symlink("conf.d", os.path.join(self.folder.path, "conf.d"))  # it leads to itself
        with self.assertRaises(ConfigError) as caught:
            load(path, environ={})
        self.assertEqual(
            self.folder.lines(caught.exception.faults),
            ["conf.d: expected a folder that can be read, got Too many levels of symbolic links"],
        )

    def test_not_utf_8(self) -> None:
        """TOML is UTF-8; the first byte that is not is named, with its line."""
        self.assertEqual(
            self.folder.faults(b"a = 1\nb = '\xfc'\n"), ["x.toml:2: expected UTF-8, got the byte 0xfc"]
        )
