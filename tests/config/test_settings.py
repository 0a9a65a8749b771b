"""Tests for values given as text: by ``--set`` and the environment."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config import LimitsOptions
from tcpsuite.config.show import show
from tests.config.support import ECHO, GATEWAY, Folder


class TablesTests(SynchronousTestCase):
    """What TOML reads as a table or a list is one, as if it stood in a file."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_limits(self) -> None:
        """A table is laid key by key over what is there, and reaches the listeners."""
        loaded = self.folder.load(
            ECHO + "[limits]\nconnections = 7\nconnections_per_ip = 3\n",
            "limits={connections=5}",
            "listener.echo.limits={exempt_loopback=false}",
        )
        self.assertEqual(loaded.config.limits, LimitsOptions(connections=5, connections_per_ip=3))
        self.assertEqual(
            loaded.config.listeners["echo"].limits,
            LimitsOptions(connections=5, connections_per_ip=3, exempt_loopback=False),
        )

    def test_environment(self) -> None:
        """A variable may hold a table; what is said later goes over single keys of it."""
        config = self.folder.load(
            ECHO,
            "limits.connections=6",
            environ={"TCPSUITE__LIMITS": "{connections=5, connections_per_ip=2}"},
        ).config
        self.assertEqual(config.limits, LimitsOptions(connections=6, connections_per_ip=2))

    def test_listener(self) -> None:
        """A whole listener may be given; its relative paths are taken from where we are."""
        loaded = self.folder.load(
            ECHO, 'listener.web={endpoint="tcp:22001", service="files", root="www", max_upload="1MiB"}'
        )
        options = loaded.config.listeners["web"].options
        self.assertEqual((options.root, options.max_upload), (os.path.join(os.getcwd(), "www"), 2**20))

    def test_servers(self) -> None:
        """A list takes the place of a list, and may hold tables; names lead into it."""
        loaded = self.folder.load(
            GATEWAY,
            'upstream={pg={servers=[{name="x", address="tcp:h:1"}, {name="y", address="tcp:h:2"}]}}',
            "upstream.pg.servers[1]={weight=9}",
        )
        servers = [(server.name, server.weight) for server in loaded.config.upstreams["pg"].servers]
        self.assertEqual(servers, [("x", 1), ("y", 9)])

    def test_conflicts(self) -> None:
        """Endpoints in such a list are compared with all others."""
        self.assertEqual(
            self.folder.faults(ECHO, 'admin.endpoint=["tcp:7008", "tcp:7007"]'),
            [
                (
                    "--set: admin.endpoint[1]: expected an address of its own, got tcp:7007, "
                    "where listener.echo.endpoint (x.toml:3) listens"
                )
            ],
        )

    def test_origins(self) -> None:
        """Every value in such a table has its origin."""
        shown = show(self.folder.load(GATEWAY, "upstream.pg.health={rise=7}", 'admin.hosts=["a"]'))
        self.assertIn("rise = 7  # --set\n", shown)
        self.assertIn('hosts = ["a"]  # --set\n', shown)
        self.assertIn("fall = 3  # default\n", shown)

    def test_loose_inside(self) -> None:
        """Text in such a table may stand for a number, as it may outside of one."""
        config = self.folder.load(ECHO, 'limits={connections="5", exempt_loopback="off"}').config
        self.assertEqual(config.limits, LimitsOptions(connections=5, exempt_loopback=False))

    def test_wrong_type(self) -> None:
        """A table where a value is wanted is named for what it is."""
        self.assertEqual(
            self.folder.faults(ECHO, "limits.connections=[1]", "limits.exempt_loopback={}", "limits.x={y=1}"),
            [
                "--set: limits.connections: expected a whole number, got a list",
                "--set: limits.exempt_loopback: expected true or false, got a table",
                "--set: limits.x: unknown option",
            ],
        )


class ValuesTests(SynchronousTestCase):
    """Text that stands for one value."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_one_value(self) -> None:
        """Text that would be more than one value is none."""
        for text in ("5\nx=1", "5\n[limits]", "[1]\nx=1"):
            (fault,) = self.folder.faults(ECHO, f"drain_timeout={text}")
            self.assertTrue(fault.endswith(f"got {text!r}"), fault)

    def test_too_much(self) -> None:
        """A number of too many digits, and lists in lists without end, are no values."""
        for text in ("5" * 5000, "[" * 3000, "[" * 3000 + "]" * 3000):
            (fault,) = self.folder.faults(ECHO, f"limits.connections={text}")
            self.assertIn("--set: limits.connections: expected a whole number, got ", fault)
            self.assertLess(len(fault), 300)
