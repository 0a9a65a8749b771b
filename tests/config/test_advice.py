"""Tests for tcpsuite.config.advice: what is not wrong, and not well either."""

from __future__ import annotations

import re
import sys
from unittest.mock import patch

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config.tuning import Machine
from tests.config.support import ECHO, GATEWAY, ROOMY, Folder

FILES = '[listener.web]\nendpoint = "tcp:1"\nservice = "files"\n'
SESSIONS = '[listener.s]\nendpoint = "tcp:1"\nservice = "session"\n'
ANONYMOUS = SESSIONS + "anonymous = true\n"
ATTACHED = '[sessions]\nupstream = "db"\n[upstream.db]\nservers = [{ name = "a", address = "tcp:h:1" }]\n'


class MissingTests(SynchronousTestCase):
    """What a start will not find."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def missing(self, text: str) -> list[str]:
        return self.folder.lines(self.folder.load(text).missing)

    def test_missing(self) -> None:
        """A root, a password file, a file of keys that does not exist is named."""
        text = FILES + 'root = "www"\n[auth]\npasswords = "users"\n[manhole]\nauthorized_keys = "keys"\n'
        self.assertEqual(
            self.missing(text),
            [
                "x.toml:4: listener.web.root: www does not exist",
                "x.toml:6: auth.passwords: users does not exist",
                "x.toml:8: manhole.authorized_keys: keys does not exist",
            ],
        )

    def test_there(self) -> None:
        """What exists is not; nor what will be made in the state directory, nor what is not set."""
        self.folder.write("", "www/a")
        self.assertEqual(self.missing(FILES + 'root = "www"\n'), [])
        self.assertEqual(self.missing('state_directory = "none/"\n' + FILES + 'root = "state:sample"\n'), [])


class BrokenTests(SynchronousTestCase):
    """What a start will find, and have no use for."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def broken(self, text: str) -> list[str]:
        return self.folder.lines(self.folder.load(text).broken)

    def test_redis(self) -> None:
        """Sessions in Redis, and shared limits, want its client library; what is not served wants nothing."""
        redis = '[sessions]\nstore = "redis"\n'
        self.assertEqual(self.broken(SESSIONS + redis), [])
        with patch.dict(sys.modules, {"txredisapi": None}):
            (line,) = self.broken(SESSIONS + redis)
            self.assertEqual(self.broken(SESSIONS) + self.broken(ECHO + redis), [])
            limits = '[listener.echo.limits]\nshared = ["connections_per_ip"]\n[redis]\n'
            (shared,) = self.broken(ECHO + limits)
        self.assertTrue(
            line.startswith("x.toml:5: sessions.store: redis wants tcpsuite[redis] installed: "), line
        )
        self.assertIn(": listener.echo.limits.shared: redis wants tcpsuite[redis] installed: ", shared)

    def test_reactor(self) -> None:
        """A reactor whose module cannot be imported here is told; those that can be are not."""
        for good in ("auto", "poll", "asyncio"):
            self.assertEqual(self.broken(f'reactor = "{good}"\n' + ECHO), [])
        (line,) = self.broken('reactor = "iocp"\n' + ECHO)
        self.assertTrue(line.startswith("x.toml:1: reactor: iocp cannot be used here: "), line)

    def test_overrides(self) -> None:
        """All faults of a file of overrides are told once; a good or absent file has none."""
        text = ECHO + "[listener.other]\nendpoint = 'tcp:8'\nservice = 'echo'\n[limits]\noverrides = 'map'\n"
        where = f"x.toml:{text.count(chr(10))}: listener.echo.limits.overrides: map: line"
        self.assertEqual(self.broken(text), [])
        self.folder.write("# mine\n10.0.0.0/8 connections_per_ip=5\n", "map")
        self.assertEqual(self.broken(text), [])
        self.folder.write("unix message_burst=0\n10.0.0.0/8\n", "map")
        first, second = self.broken(text)
        self.assertEqual(first, f"{where} 1: message_burst: expected a value from 1 to 1000000, got 0")
        self.assertTrue(second.startswith(f"{where} 2: it says nothing of "), second)

    def test_password_file(self) -> None:
        """A password file that is malformed, or no file, is told; a good or absent one is not."""
        text = ECHO + '[auth]\npasswords = "users"\n'
        where = f"x.toml:{text.count(chr(10))}: auth.passwords: users"
        self.assertEqual(self.broken(text), [])
        self.folder.write("# mine\n", "users")
        self.assertEqual(self.broken(text), [])
        self.folder.write("# mine\nalice:plain\n", "users")
        self.assertEqual(self.broken(text), [f"{where}:2: expected a hash of the form scrypt$n$r$p$salt$key"])
        self.folder.write("", "folder/a")
        self.assertEqual(
            self.broken(text.replace("users", "folder")),
            [where.replace("users", "folder: Is a directory")],
        )


class DoubtsTests(SynchronousTestCase):
    """Values that make no sense together, or not on this machine."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def doubts(self, text: str, *settings: str, machine: Machine = ROOMY) -> list[str]:
        return self.folder.lines(self.folder.load(text, *settings, machine=machine).doubts)

    def test_none(self) -> None:
        """An ordinary configuration leaves no doubt."""
        self.assertEqual(self.doubts(ECHO + GATEWAY), [])

    def test_upstreams(self) -> None:
        """Of an upstream: unused, without weight, times and counts that cannot be."""
        unused = "[upstream.other]\nservers = [{ name = 'a', address = 'tcp:h:1' }]\n"
        self.assertEqual(self.doubts(unused + GATEWAY), ["x.toml:1: upstream.other: no listener leads to it"])
        self.assertEqual(self.doubts(ANONYMOUS + ATTACHED), [])
        (doubt,) = self.doubts(ECHO + ATTACHED)
        self.assertIn("upstream.db: no listener leads to it", doubt)
        self.assertEqual(
            self.doubts(GATEWAY, "upstream.pg.servers[0].weight=0", "upstream.pg.servers[1].weight=0"),
            ["x.toml:8: upstream.pg.servers: every weight is 0, so no server takes a connection"],
        )
        self.assertEqual(
            self.doubts(GATEWAY, "upstream.pg.health.timeout=6", "upstream.pg.connect_timeout=11"),
            [
                "--set: upstream.pg.health.timeout: longer than the interval of 5s",
                "--set: upstream.pg.connect_timeout: longer than connect_budget, so attempts end after 10s",
            ],
        )

    def test_nobody_can_log_in(self) -> None:
        """Sessions and uploads for which nobody can log in are doubted, until somebody can."""
        users = self.folder.write("", "users")
        self.assertEqual(len(self.doubts(SESSIONS)), 1)
        self.assertEqual(self.doubts(ANONYMOUS), [])
        self.assertEqual(self.doubts(SESSIONS, f"auth.passwords={users}"), [])
        uploads = FILES + 'root = "."\nuploads = true\n'
        self.assertEqual(len(self.doubts(uploads)), 1)
        self.assertEqual(self.doubts(uploads + 'token = "sixteen letters."\n'), [])
        self.assertEqual(self.doubts(uploads, f"auth.passwords={users}"), [])
        self.assertEqual(
            self.doubts(ECHO + '[manhole]\nssh = "tcp:2:interface=127.0.0.1"\n'),
            ["x.toml:6: manhole.ssh: nobody can log in: authorized_keys names no file"],
        )

    def test_open_admin(self) -> None:
        """An admin listener that answers to other machines wants a token."""
        for endpoint in ("tcp:1", "tcp:1:interface=10.0.0.1", "tcp6:1"):
            text = f'{ECHO}[admin]\nendpoint = "{endpoint}"\n'
            self.assertEqual(
                self.doubts(text),
                ["x.toml:6: admin.endpoint: it answers to other machines, and no token is asked for"],
            )
            self.assertEqual(self.doubts(text + 'token = "sixteen letters."\n'), [])
        for endpoint in ("tcp:1:interface=127.0.0.1", "tcp:1:interface=\\\\:\\\\:1", "unix:/run/admin"):
            self.assertEqual(self.doubts(f'{ECHO}[admin]\nendpoint = "{endpoint}"\n'), [])

    def test_limits(self) -> None:
        """A limit that can never be met is doubted."""
        (doubt,) = self.doubts(ECHO + "[limits]\nconnections = 50\n")
        self.assertIn("listener.echo.limits.connections_per_ip: more than connections", doubt)

    def test_descriptors(self) -> None:
        """A connection of a gateway, or that may be attached, takes two descriptors, others one; the listener
        that wants most is named.
        """
        settings = ("limits.connections=1000",)
        self.assertEqual(self.doubts(GATEWAY + ECHO, *settings, machine=Machine(2100, 4096)), [])
        (doubt,) = self.doubts(GATEWAY + ECHO, *settings, machine=Machine(2099, 4096))
        self.assertIn("listener.db.limits.connections: so many connections want 2100 descriptors", doubt)
        self.assertEqual(self.doubts(ECHO, *settings, machine=Machine(1100, 4096)), [])
        self.assertEqual(self.doubts(ANONYMOUS, *settings, machine=Machine(1100, 4096)), [])
        (doubt,) = self.doubts(ANONYMOUS + ATTACHED, *settings, machine=Machine(2099, 4096))
        self.assertIn("listener.s.limits.connections: so many connections want 2100 descriptors", doubt)
        self.assertEqual(len(self.doubts(ECHO, *settings, machine=Machine(1099, 4096))), 1)

    def test_tracking(self) -> None:
        """A firewall that tracks fewer connections than there may be is named; a gateway has two a client."""
        settings = ("limits.connections=1000",)
        self.assertEqual(self.doubts(GATEWAY, *settings, machine=evolve(ROOMY, tracked=2000)), [])
        (doubt,) = self.doubts(GATEWAY, *settings, machine=evolve(ROOMY, tracked=1999))
        self.assertIn("listener.db.limits.connections: the firewall may have to keep track of 2000", doubt)

    def test_local_ports(self) -> None:
        """Each connection to one server wants a port, whichever listener its client came by; what bounds them
        is named.  Servers on UNIX sockets want none.
        """
        machine = evolve(ROOMY, local_ports=1999)
        both = (
            GATEWAY
            + GATEWAY.replace("listener.db", "listener.b2")
            .replace("6432", "6433")
            .partition("\n[upstream")[0]
        )
        settings = ("limits.connections=1000",)
        self.assertEqual(self.doubts(GATEWAY, *settings, machine=machine), [])
        (doubt,) = self.doubts(both, *settings, machine=machine)
        self.assertIn(
            "listener.db.limits.connections: 2000 connections may lead to server a at once, and "
            "net.ipv4.ip_local_port_range has 1999 ports for them",
            doubt,
        )
        self.assertEqual(
            self.doubts(re.sub(r"tcp:10.0.0.(.):5432", r"unix:/\1", both), *settings, machine=machine), []
        )
        bounded = ("upstream.pg.servers[0].max_connections=1500", "upstream.pg.servers[1].max_connections=9")
        self.assertEqual(self.doubts(both, *settings, *bounded, machine=machine), [])
        (doubt,) = self.doubts(both, *settings, *bounded, machine=evolve(ROOMY, local_ports=1499))
        self.assertIn("upstream.pg.servers[0].max_connections: 1500 connections", doubt)

    def test_silent_clients(self) -> None:
        """Clients whom nothing ends when they have vanished are doubted, and probes that never come."""
        off = ("listener.echo.socket.keepalive=no",)
        self.assertEqual(self.doubts(ECHO, *off), [])
        self.assertEqual(self.doubts(ECHO, "listener.echo.idle_timeout=0"), [])
        (doubt,) = self.doubts(ECHO, *off, "listener.echo.idle_timeout=0")
        self.assertIn("listener.echo.socket.keepalive: a client that has vanished keeps its place", doubt)
        unix = ECHO.replace("tcp:7007", "unix:/x")
        (doubt,) = self.doubts(unix, *off, "listener.echo.idle_timeout=0")
        self.assertIn("it says nothing on UNIX sockets", doubt)
        probes = ("listener.echo.socket.keepalive_idle=5m",)
        self.assertEqual(self.doubts(ECHO, "listener.echo.idle_timeout=30s"), [])
        self.assertEqual(self.doubts(ECHO, *probes, "listener.echo.idle_timeout=6m"), [])
        self.assertEqual(self.doubts(ECHO, *probes, "listener.echo.idle_timeout=0"), [])
        (doubt,) = self.doubts(ECHO, *probes, "listener.echo.idle_timeout=5m")
        self.assertIn("nobody is ever probed: idle_timeout ends who is silent after 5m", doubt)

    def test_overload(self) -> None:
        """A limit above what there is, and steps in the wrong order, are doubted."""
        machine = evolve(ROOMY, memory=2**30)
        self.assertEqual(self.doubts(ECHO, "overload.memory_limit=1GiB", machine=machine), [])
        (doubt,) = self.doubts(ECHO, "overload.memory_limit=2GiB", machine=machine)
        self.assertIn("or the control group, has 1024 MiB: it is never reached", doubt)
        (doubt,) = self.doubts(ECHO, "overload.pause_at=0.9")
        self.assertIn("overload.shrink_at: more than pause_at", doubt)
        self.assertEqual(self.doubts(ECHO, "overload.pause_at=0"), [])

    def test_backlog(self) -> None:
        """A kernel that lets fewer connections wait than a listener asks for is named."""
        self.assertEqual(self.doubts(ECHO, machine=Machine(20_000, 1024)), [])
        several = ECHO + "[listener.echo.socket]\nbacklog = 2000\n" + GATEWAY
        self.assertEqual(
            self.doubts(several, machine=Machine(50_000, 128)),
            [
                (
                    "x.toml:6: listener.echo.socket.backlog: 2000 connections should be able to wait, "
                    "and net.core.somaxconn is 128"
                )
            ],
        )
        (doubt,) = self.doubts(ECHO, machine=Machine(20_000, 1023))
        self.assertIn("listener.echo.socket.backlog: 1024 connections", doubt)

    def test_backlog_of_an_endpoint(self) -> None:
        """What an endpoint gives as its own backlog counts, and not the table's beside it."""
        table = "[listener.echo.socket]\nbacklog = 4000\n"
        for kind in ("tcp", "tcpsuite"):
            own = ECHO.replace("tcp:7007", f"{kind}:7007:backlog=2000") + table
            (doubt,) = self.doubts(own, machine=Machine(20_000, 1999))
            self.assertIn("x.toml:3: listener.echo.endpoint: 2000 connections should be able to wait", doubt)
            self.assertEqual(self.doubts(own, machine=Machine(20_000, 2000)), [])

    def test_buffers(self) -> None:
        """A buffer that the kernel will cut is named, with what becomes of it."""
        settings = ("listener.db.socket.receive_buffer=8MiB", "upstream.pg.socket.send_buffer=1MiB")
        self.assertEqual(self.doubts(GATEWAY, *settings, machine=Machine(50_000, 1024, 2**23, 2**20)), [])
        self.assertEqual(
            self.doubts(GATEWAY, *settings, machine=Machine(50_000, 1024, 2**22, 2**20 - 1)),
            [
                "--set: listener.db.socket.receive_buffer: more than net.core.rmem_max, so it is 4MiB",
                "--set: upstream.pg.socket.send_buffer: more than net.core.wmem_max, so it is 1048575B",
            ],
        )

    def test_unix_sockets(self) -> None:
        """What is said of TCP where there are UNIX sockets alone is doubted; what counts there is not."""
        table = "[listener.echo.socket]\nbacklog = 9\nhigh_water = 8192\nnodelay = false\n"
        upstream = "[upstream.pg.socket]\nhigh_water = 8192\nuser_timeout = 5\n"
        unix = ECHO.replace('"tcp:7007"', '["unix:/x", "systemd:domain=UNIX:name=x"]')
        servers = re.sub(r"tcp:10.0.0.(.):5432", r"unix:/\1", GATEWAY)
        self.assertEqual(
            self.doubts(unix + table),
            [
                (
                    "x.toml:8: listener.echo.socket.nodelay: it says nothing on UNIX sockets, "
                    "and there are no others here"
                )
            ],
        )
        (doubt,) = self.doubts(servers + upstream)
        self.assertIn("upstream.pg.socket.user_timeout: it says nothing", doubt)
        self.assertEqual(self.doubts(ECHO.replace('"tcp:7007"', '["tcp:1", "unix:/x"]') + table), [])
        self.assertEqual(self.doubts(servers.replace("unix:/1", "tcp:h:1") + upstream), [])

    def test_nothing_to_serve(self) -> None:
        """So is a file without a listener."""
        self.assertEqual(self.doubts(""), ["default: listener: there is none, so nothing is served"])

    def test_this_machine(self) -> None:
        """The machine that this runs on allows something."""
        machine = Machine.this()
        self.assertGreater(machine.descriptors, 0)
        self.assertGreater(machine.backlog, 0)
        self.assertGreater(machine.receive_buffer, 4096)
        self.assertGreater(machine.send_buffer, 4096)
        self.assertGreater(machine.local_ports, 1)
        self.assertGreater(machine.tracked, 0)
        self.assertGreater(machine.memory, 2**20)
