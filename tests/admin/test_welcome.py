"""What the welcome gives to try can be typed as it is."""

from __future__ import annotations

from unittest import mock

from attrs import Factory, define, frozen
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.welcome import welcome
from tcpsuite.config.schema import Config, ListenerConfig, ServiceName
from tcpsuite.options import DirectoryPath, Endpoints
from tcpsuite.services.echo import EchoOptions
from tcpsuite.services.files import FilesOptions
from tcpsuite.services.message import MessageOptions
from tcpsuite.services.session import SessionOptions


@frozen
class Manhole:
    path: str = ""
    ssh_addresses: tuple[str, ...] = ()


@frozen
class Admin:
    addresses: tuple[str, ...] = ()


@frozen
class Listener:
    service: str
    endpoints: tuple[str, ...]
    addresses: tuple[str, ...]
    name: str = "one"


@define
class Suite:
    manhole: Manhole = Manhole()
    admin: Admin = Admin()
    listeners: dict[str, Listener] = Factory(dict)
    config: Config = Factory(Config)


def tries(manhole: Manhole, **environ: str) -> list[str]:
    """What the table gives to try."""
    with mock.patch.dict("os.environ", {"HOME": "/home/ann", "XDG_STATE_HOME": "", **environ}):
        rows = welcome(Suite(manhole)).splitlines()[3:]
    return [row.partition("a Python prompt")[2].strip() for row in rows]


def example(service: str, options: object, *endpoints: str) -> list[str]:
    """What the table gives to try of a listener on these endpoints, which had ports from 7001 on."""
    addresses = tuple(f"127.0.0.1:{port}" for port, _ in enumerate(endpoints, 7001))
    suite = Suite(
        listeners={"one": Listener(service, endpoints, addresses)},
        config=Config(
            listeners={"one": ListenerConfig(Endpoints(endpoints), ServiceName(service), options=options)}
        ),
    )
    return [row.partition(f"  {service}  ")[2].strip() for row in welcome(suite).splitlines()[3:]]


class TlsTests(SynchronousTestCase):
    """A listener that speaks TLS is tried by what speaks it too."""

    SSL = "ssl:0:privateKey=server.pem"

    def test_lines(self) -> None:
        """By openssl, which has a prompt as nc has one."""
        echo = EchoOptions()
        (line,) = example("echo", echo, self.SSL)
        self.assertEqual(line, "echo hello | openssl s_client -quiet -connect 127.0.0.1:7001")
        (line,) = example("session", SessionOptions(), self.SSL)
        self.assertEqual(line, "openssl s_client -quiet -connect 127.0.0.1:7001")

    def test_http(self) -> None:
        """By curl, which takes a certificate that nobody has signed."""
        (line,) = example("files", FilesOptions(root=DirectoryPath("/")), self.SSL)
        self.assertEqual(line, "curl -k https://127.0.0.1:7001/")

    def test_each_endpoint(self) -> None:
        """What a listener's endpoints speak is told of each."""
        self.assertEqual(
            example("echo", EchoOptions(), "tcp:0", self.SSL, "tcpsuite:0"),
            [
                "echo hello | nc -N 127.0.0.1 7001",
                "echo hello | openssl s_client -quiet -connect 127.0.0.1:7002",
                "echo hello | nc -N 127.0.0.1 7003",
            ],
        )


class CommandTests(SynchronousTestCase):
    """A message service is tried by our own command."""

    def test_lines(self) -> None:
        """It is called where it lies, and gets to a stream by an endpoint of streams."""
        plain, carried = example("message", MessageOptions(), "tcp:0", "mux:tcp:0")
        self.assertTrue(plain.endswith("tcpsuite call 127.0.0.1:7001 echo hello"), plain)
        self.assertTrue(carried.endswith("tcpsuite call mux:tcp:127.0.0.1:7002 echo hello"), carried)


class ManholeTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Where the command looks by itself, it needs to be told nothing."""
        own, other = "/home/ann/.local/state/tcpsuite/manhole/socket", "/x/tcpsuite/manhole/socket"
        self.assertTrue(tries(Manhole(own))[0].endswith("tcpsuite manhole"))
        self.assertTrue(tries(Manhole(other), XDG_STATE_HOME="/x")[0].endswith("tcpsuite manhole"))

    def test_elsewhere(self) -> None:
        """Of a socket anywhere else it is told."""
        (line,) = tries(Manhole("/srv/a b/manhole/socket"))
        self.assertTrue(line.endswith("tcpsuite manhole --socket '/srv/a b/manhole/socket'"), line)

    def test_ssh(self) -> None:
        """Over SSH each address has a line."""
        self.assertEqual(
            tries(Manhole(ssh_addresses=("127.0.0.1:7022", "[::1]:7023", "unix:/run/ssh"))),
            [
                "ssh -p 7022 127.0.0.1",
                "ssh -p 7023 ::1",
                "ssh -o 'ProxyCommand=socat - UNIX-CONNECT:/run/ssh' localhost",
            ],
        )

    def test_off(self) -> None:
        """Without a manhole there is no line."""
        self.assertEqual(tries(Manhole()), [])


class AdminTests(SynchronousTestCase):
    def test_line(self) -> None:
        """The pages are asked for by curl, over a UNIX socket by its path."""
        suite = Suite(admin=Admin(("127.0.0.1:7099", "unix:/run/a b/admin")))
        self.assertEqual(
            [row.partition("health, metrics, status  ")[2] for row in welcome(suite).splitlines()[3:]],
            [
                "curl http://127.0.0.1:7099/api/v1/status",
                "curl --unix-socket '/run/a b/admin' http://localhost/api/v1/status",
            ],
        )
