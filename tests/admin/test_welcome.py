"""The line that the welcome gives for the manhole can be typed as it is."""

from __future__ import annotations

from unittest import mock

from attrs import Factory, define, frozen
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.welcome import welcome


@frozen
class Manhole:
    path: str = ""
    ssh_addresses: tuple[str, ...] = ()


@frozen
class Admin:
    addresses: tuple[str, ...] = ()


@define
class Suite:
    manhole: Manhole
    admin: Admin = Admin()
    listeners: dict[str, object] = Factory(dict)


def tries(manhole: Manhole, **environ: str) -> list[str]:
    """What the table gives to try."""
    with mock.patch.dict("os.environ", {"HOME": "/home/ann", "XDG_STATE_HOME": "", **environ}):
        rows = welcome(Suite(manhole)).splitlines()[3:]
    return [row.partition("a Python prompt")[2].strip() for row in rows]


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
