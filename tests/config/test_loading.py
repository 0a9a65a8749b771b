"""Tests for tcpsuite.config.loading: what the sources of a configuration come to."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config import Config, LimitsOptions, load
from tcpsuite.config.tuning import Machine
from tcpsuite.services.echo import EchoOptions
from tests.config.support import ECHO, GATEWAY, ROOMY, Folder


class SourcesTests(SynchronousTestCase):
    """File, conf.d, environment, command line."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_defaults(self) -> None:
        """What nobody says is as the classes say."""
        loaded = self.folder.load(ECHO)
        echo = loaded.config.listeners["echo"]
        self.assertEqual(echo.endpoint, ("tcp:7007",))
        self.assertEqual(echo.limits, LimitsOptions())
        self.assertEqual(echo.options, EchoOptions())
        self.assertEqual(loaded.config.sessions, Config().sessions)
        self.assertEqual(str(loaded.tree.origin(("listener", "echo", "endpoint")))[-8:], "x.toml:3")

    def test_drop_ins(self) -> None:
        """Files in conf.d go over the file, key by key, in order of name; a list is replaced whole."""
        self.folder.write('[listener.db]\nidle_timeout = "1h"\nfin_timeout = 1\n', "conf.d/10-a.toml")
        self.folder.write(
            '[listener.db]\nidle_timeout = "2h"\n[[upstream.pg.servers]]\nname = "c"\naddress = "tcp:h:1"\n',
            "conf.d/20-b.toml",
        )
        self.folder.write("not TOML", "conf.d/30-c.toml.disabled")
        loaded = self.folder.load(GATEWAY)
        listener = loaded.config.listeners["db"]
        self.assertEqual((listener.idle_timeout, listener.options.fin_timeout), (7200.0, 1.0))
        self.assertEqual([server.name for server in loaded.config.upstreams["pg"].servers], ["c"])
        origins = [
            str(loaded.tree.origin(path)).replace(self.folder.path + os.sep, "")
            for path in (
                ("listener", "db", "endpoint"),
                ("listener", "db", "idle_timeout"),
                ("listener", "db", "fin_timeout"),
                ("upstream", "pg", "servers", 0, "name"),
            )
        ]
        self.assertEqual(
            origins, ["x.toml:3", "conf.d/20-b.toml:2", "conf.d/10-a.toml:3", "conf.d/20-b.toml:4"]
        )

    def test_hidden_drop_ins(self) -> None:
        """What an editor leaves behind under a hidden name is not read, and conf.d need not be a folder."""
        self.folder.write("not TOML", "conf.d/.10-a.toml")
        self.assertEqual(len(self.folder.load(ECHO).config.listeners), 1)
        self.folder.write("", "other/conf.d")
        load(self.folder.write(ECHO, "other/x.toml"), environ={}, machine=ROOMY)

    def test_byte_order_mark(self) -> None:
        """A mark of the order of bytes, which some editors begin a file with, is passed over."""
        loaded = self.folder.load(b"\xef\xbb\xbf" + ECHO.encode())
        self.assertEqual(loaded.tree.origin(("listener", "echo", "endpoint")).line, 3)

    def test_environment(self) -> None:
        """A variable goes over the files; its name is found whatever its case, and with _ for -."""
        loaded = self.folder.load(
            ECHO.replace("listener.echo", "listener.My-Echo"),
            environ={
                "TCPSUITE__LISTENER__MY_ECHO__IDLE_TIMEOUT": "7s",
                "TCPSUITE__ADMIN__TOKEN": "1234567890123456",
            },
        )
        self.assertEqual(loaded.config.listeners["My-Echo"].idle_timeout, 7.0)
        self.assertEqual(loaded.config.admin.token, "1234567890123456")
        self.assertEqual(str(loaded.tree.origin(("admin", "token"))), "TCPSUITE__ADMIN__TOKEN")

    def test_misspelt_variables(self) -> None:
        """A variable with one underscore where two are wanted is passed over, and doubted."""
        loaded = self.folder.load(
            ECHO,
            environ={
                "TCPSUITE_LIMITS__CONNECTIONS": "5",
                "TCPSUITE_LISTENER__ECHO__ENDPOINT": "tcp:1",
                "TCPSUITE_DRAIN_TIMEOUT": "5s",
                "TCPSUITE_ADMIN_TOKEN": "x",
                "TCPSUITE_VERSION": "others'",
                "TCPSUITE_LIMITSX": "others'",
            },
        )
        self.assertEqual(loaded.config.limits, LimitsOptions())
        self.assertEqual(
            [str(doubt) for doubt in loaded.doubts],
            [
                f"TCPSUITE_{given}: passed over; did you mean TCPSUITE__{meant}?"
                for given, meant in (
                    ("ADMIN_TOKEN", "ADMIN__TOKEN"),
                    ("DRAIN_TIMEOUT", "DRAIN_TIMEOUT"),
                    ("LIMITS__CONNECTIONS", "LIMITS__CONNECTIONS"),
                    ("LISTENER__ECHO__ENDPOINT", "LISTENER__ECHO__ENDPOINT"),
                )
            ],
        )

    def test_settings(self) -> None:
        """A setting goes over the environment; a number counts the elements of a list."""
        loaded = self.folder.load(
            GATEWAY,
            "upstream.pg.servers[1].weight=7",
            "upstream.pg.retries=9",
            'listener."db".endpoint=["tcp:1", "tcp:2"]',
            environ={
                "TCPSUITE__UPSTREAM__PG__RETRIES": "8",
                "TCPSUITE__UPSTREAM__PG__SERVERS__0__WEIGHT": "5",
            },
        )
        upstream = loaded.config.upstreams["pg"]
        self.assertEqual([server.weight for server in upstream.servers], [5, 7])
        self.assertEqual(upstream.retries, 9)
        self.assertEqual(loaded.config.listeners["db"].endpoint, ("tcp:1", "tcp:2"))
        self.assertEqual(str(loaded.tree.origin(("upstream", "pg", "retries"))), "--set")

    def test_text_becomes_what_is_wanted(self) -> None:
        """Text that no file holds stands for a number, a truth value or a list where one is wanted."""
        config = self.folder.load(
            GATEWAY,
            "listener.db.limits.connections=0x10",
            "listener.db.limits.exempt_loopback=off",
            "listener.db.idle_timeout=90",
            "listener.db.early_data=1024",
            'admin.hosts=["a", "b"]',
            "upstream.pg.servers[0].name=true",
            "upstream.pg.health={ rise = 7 }",
            "manhole.enabled=Yes",
            "admin.endpoint=",
        ).config
        listener = config.listeners["db"]
        self.assertEqual((listener.limits.connections, listener.limits.exempt_loopback), (16, False))
        self.assertEqual((listener.idle_timeout, listener.options.early_data), (90.0, 1024))
        self.assertEqual((config.admin.hosts, config.upstreams["pg"].servers[0].name), (("a", "b"), "true"))
        self.assertEqual(config.upstreams["pg"].health.rise, 7)
        self.assertTrue(config.manhole.enabled)
        self.assertEqual(config.admin.endpoint, ())

    def test_text_in_a_file_is_text(self) -> None:
        """In a file a string is a string: a number in quotes is no number."""
        self.assertEqual(
            self.folder.faults(ECHO + '[limits]\nconnections = "16"\nexempt_loopback = "no"\n'),
            [
                "x.toml:6: limits.connections: expected a whole number, got '16'",
                "x.toml:7: limits.exempt_loopback: expected true or false, got 'no'",
            ],
        )

    def test_settings_that_lead_nowhere(self) -> None:
        """What is no KEY=VALUE, or leads into a value or past a list, is a fault."""
        found = self.folder.faults(
            GATEWAY,
            "listener",
            "a b=1",
            "upstream.pg.servers[2].weight=1",
            "upstream.pg.servers.x.weight=1",
            "listener.db.service.x=1",
        )
        self.assertEqual(
            found,
            [
                "--set: expected KEY=VALUE, such as listener.db.upstream=pg, got 'listener'",
                "--set: expected KEY=VALUE, such as listener.db.upstream=pg, got 'a b=1'",
                (
                    "--set: expected the name of an option, got upstream.pg.servers[2].weight: "
                    "2 where a list has elements 0 to 1"
                ),
                (
                    "--set: expected the name of an option, got upstream.pg.servers.x.weight: "
                    "x where a list has elements 0 to 1"
                ),
                "--set: expected the name of an option, got listener.db.service.x: x inside of a value",
            ],
        )

    def test_limits_are_inherited(self) -> None:
        """A listener's limits are those of [limits], but for what it says itself."""
        loaded = self.folder.load(
            ECHO
            + "[listener.echo.limits]\nconnections = 5\n[limits]\nconnections = 7\nconnections_per_ip = 3\n"
        )
        self.assertEqual(
            loaded.config.listeners["echo"].limits, LimitsOptions(connections=5, connections_per_ip=3)
        )
        self.assertEqual(loaded.config.limits, LimitsOptions(connections=7, connections_per_ip=3))
        self.assertEqual(loaded.tree.origin(("listener", "echo", "limits", "connections_per_ip")).line, 9)

    def test_a_service_s_own_default(self) -> None:
        """A service may have another default for an option that all have: the gateway waits ten minutes."""
        config = self.folder.load(GATEWAY + ECHO).config
        self.assertEqual(config.listeners["echo"].idle_timeout, 120.0)
        self.assertEqual(config.listeners["db"].idle_timeout, 600.0)


class PathTests(SynchronousTestCase):
    """Files and directories that a configuration names."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_relative(self) -> None:
        """A relative path is taken from the folder of the file that names it, or else from where we are."""
        self.folder.write('[auth]\npasswords = "../users"\n', "conf.d/a.toml")
        config = self.folder.load(
            '[listener.web]\nendpoint = "tcp:1"\nservice = "files"\nroot = "pub/../www"\n',
            "manhole.authorized_keys=keys",
        ).config
        self.assertEqual(config.listeners["web"].options.root, os.path.join(self.folder.path, "www"))
        self.assertEqual(config.auth.passwords, os.path.join(self.folder.path, "users"))
        self.assertEqual(config.manhole.authorized_keys, os.path.join(os.getcwd(), "keys"))

    def test_state_directory(self) -> None:
        """The file's word, else systemd's first directory, else the user's own place; always absolute."""
        path = self.folder.path
        cases = [
            ('state_directory = "s"\n', {"STATE_DIRECTORY": "/var/lib/a"}, os.path.join(path, "s")),
            ("", {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
            ("", {"XDG_STATE_HOME": "/x"}, "/x/tcpsuite"),
            ("", {"XDG_STATE_HOME": "x"}, os.path.expanduser("~/.local/state/tcpsuite")),
            ("", {}, os.path.expanduser("~/.local/state/tcpsuite")),
            ('state_directory = ""\n', {"XDG_STATE_HOME": "/x"}, "/x/tcpsuite"),
        ]
        for text, environ, expected in cases:
            config = self.folder.load(text + ECHO, environ=environ or {"OTHER": "1"}).config
            self.assertEqual(config.state_directory, expected)

    def test_in_the_state_directory(self) -> None:
        """What begins with state: lies in the state directory."""
        config = self.folder.load(
            '[listener.web]\nendpoint = "tcp:1"\nservice = "files"\nroot = "state:sample"\n',
            environ={"STATE_DIRECTORY": "/var/lib/a"},
        ).config
        self.assertEqual(config.listeners["web"].options.root, "/var/lib/a/sample")
        self.assertEqual(config.sample_directory, "/var/lib/a/sample")


class DemonstrationTests(SynchronousTestCase):
    """What runs when no file is named."""

    def test_ports(self) -> None:
        """Gateway, echo, files, sessions, messages and the admin page, on the ports that the README names."""
        loaded = load(None, environ={"STATE_DIRECTORY": "/s"}, machine=ROOMY)
        config = loaded.config
        ports = {
            name: [endpoint.split(":")[1] for endpoint in listener.endpoint]
            for name, listener in config.listeners.items()
        }
        self.assertEqual(
            ports,
            {
                "gateway": ["7000"], "one": ["7001"], "two": ["7002"], "three": ["7003"], "echo": ["7007"],
                "files": ["7080"], "file-lines": ["7081"], "sessions": ["7090"],
                "messages": ["7070"],
            },
        )  # fmt: skip
        self.assertEqual(config.admin.endpoint, ("tcp:7099:interface=127.0.0.1",))
        self.assertTrue(config.manhole.enabled)
        self.assertTrue(config.listeners["sessions"].options.anonymous)
        self.assertEqual(config.listeners["files"].options.root, config.sample_directory)
        self.assertEqual([server.weight for server in config.upstreams["echoes"].servers], [1, 2, 1])

    def test_loopback_only(self) -> None:
        """Nobody else on the network reaches the demonstration."""
        config = load(None, environ={}, machine=ROOMY).config
        endpoints = [endpoint for each in config.listeners.values() for endpoint in each.endpoint]
        for endpoint in (*endpoints, *config.admin.endpoint, *config.manhole.ssh):
            self.assertIn(":interface=127.0.0.1", endpoint)

    def test_no_doubts(self) -> None:
        """It fits a shell with its usual limit of 1024 descriptors, and nothing in it is missing."""
        loaded = load(None, environ={}, machine=Machine(1024, 4096))
        self.assertEqual((loaded.missing, loaded.doubts), ((), ()))

    def test_overrides(self) -> None:
        """Settings and the environment go over it too."""
        loaded = load(None, ["listener.echo.idle_timeout=5s"], {"TCPSUITE__MANHOLE__ENABLED": "0"}, ROOMY)
        self.assertEqual(loaded.config.listeners["echo"].idle_timeout, 5.0)
        self.assertFalse(loaded.config.manhole.enabled)
