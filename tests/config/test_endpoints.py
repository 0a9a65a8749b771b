"""Tests for tcpsuite.config.endpoints and conflicts: endpoint strings, and which cannot listen together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.support import ECHO, GATEWAY, Folder

CHECKOUT = Path(__file__).parents[2]


class EndpointTests(SynchronousTestCase):
    """Endpoint strings, and whether they can listen together."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def faults(self, *endpoints: str) -> list[str]:
        tables = "".join(
            f'[listener.l{number}]\nendpoint = "{endpoint}"\nservice = "echo"\n'
            for number, endpoint in enumerate(endpoints)
        )
        return [fault.split(": ", 2)[2] for fault in self.folder.faults(tables)]

    def test_good(self) -> None:
        """All kinds of endpoints of Twisted are taken, those of systemd without being looked for."""
        self.assertEqual(
            self.faults(
                "tcp:1",
                "tcp:port=2",
                "tcp6:3",
                "unix:/run/x.sock",
                "systemd:domain=INET:index=0",
                "tcp:0",
                "systemd:INET6:name=web",
                f"unix:/{'x' * 106}",
                r"unix:/a\\=b",
                "tcp:4:127.0.0.1:50",
                "mux:tcp:6",
                r"tcpsuite:5:interface=\\:\\:1:reusePort=yes:keepaliveIdle=30s",
            ),
            [],
        )

    def test_conflicts(self) -> None:
        """One port on one address is one listener's; a listener on all addresses has all of them."""
        pairs = {
            ("tcp:1", "tcp:1"): True,
            ("tcp:1", "tcp:1:interface=127.0.0.1"): True,
            ("tcp:1:interface=127.0.0.1", "tcp:1:backlog=5"): True,
            ("tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.2"): False,
            ("tcp:1", "tcp:2"): False,
            ("tcp:0", "tcp:0"): False,
            ("unix:/a", "unix:/a"): True,
            ("unix:/a", "unix:/b"): False,
            ("systemd:domain=INET:index=0", "systemd:INET:0"): True,
            ("systemd:domain=INET:name=a", "systemd:domain=INET:name=a"): True,
            ("systemd:domain=INET:name=0", "systemd:domain=INET:index=0"): False,
            ("tcp:1", r"tcp6:1:interface=\\:\\:1"): False,
            ("tcp:1", "tcp6:1"): True,
            ("tcp6:1", "tcp:1:interface=127.0.0.1"): True,
            (r"tcp:1:interface=\\:\\:1", "tcp6:1"): True,
            (r"tcp:1:interface=\\:\\:1", "tcp:1:interface=127.0.0.1"): False,
            ("tcpsuite:1", "tcp:1"): True,
            ("tcpsuite:1", "tcpsuite:1:reusePort=yes"): True,
            ("tcpsuite:1:reusePort=yes", "tcpsuite:1:127.0.0.1:reusePort=yes"): False,
            ("tcpsuite:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.2"): False,
            ("haproxy:tcp:1", "tcp:1"): True,
            ("haproxy:tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.2"): False,
            ("haproxy:tcpsuite:1", "tcpsuite:1:reusePort=yes"): True,
            ("haproxy:tcpsuite:1:reusePort=yes", "TCPSUITE:1:reusePort=yes"): False,
            ("HAProxy:unix:/a", "unix:/a"): True,
            ("mux:tcp:1", "tcp:1"): True,
            ("mux:tcp:1:interface=127.0.0.1", "MUX:tcp:1:interface=127.0.0.2"): False,
            ("mux:tcpsuite:1:reusePort=yes", "tcpsuite:1:reusePort=yes"): False,
            ("mux:unix:/a", "unix:/a"): True,
            ("haproxy:systemd:INET:0", "SYSTEMD:INET:0"): True,
        }
        for (one, other), conflict in pairs.items():
            self.assertEqual(bool(self.faults(one, other)), conflict, (one, other))

    def test_admin_and_manhole(self) -> None:
        """The admin listener and the manhole listen too."""
        found = self.folder.faults(
            ECHO
            + '[admin]\nendpoint = "tcp:7007"\n[manhole]\n'
            + 'ssh = ["tcp:9:interface=127.0.0.1", "tcp:7007:interface=127.0.0.1"]\n'
        )
        self.assertEqual([fault.split(": ", 2)[1] for fault in found], ["admin.endpoint", "manhole.ssh[1]"])

    def test_bad(self) -> None:
        """What Twisted cannot parse is told in Twisted's words, with what may have been meant."""
        self.assertEqual(
            self.faults("tcp:http"),
            [
                (
                    "expected a Twisted server endpoint string "
                    "(invalid literal for int() with base 10: 'http'), "
                    "got 'tcp:http'"
                )
            ],
        )
        self.assertIn("did you mean tcp:80?", self.faults("80")[0])
        self.assertEqual(self.faults("tcp:65536"), ["expected a port from 0 to 65535, got 'tcp:65536'"])

    def test_bad_arguments(self) -> None:
        """What Twisted would say of its own functions is said of the string."""
        what = "expected a Twisted server endpoint string"
        self.assertEqual(
            self.faults("tcp:1:interfce=::1", "tcp:1:interface=::1", "unix:mode=600"),
            [
                f"{what} (there is no interfce=), got 'tcp:1:interfce=::1'; did you mean interface?",
                (
                    f"{what} (more arguments than it takes), got 'tcp:1:interface=::1'; "
                    r"a colon inside of one is written \:"
                ),
                f"{what} (it lacks 'address'), got 'unix:mode=600'",
            ],
        )

    def test_bad_of_ours(self) -> None:
        """Of our own endpoint string, too, what is wrong is said, and what may have been meant."""
        what = "expected a Twisted server endpoint string"
        self.assertEqual(
            self.faults("tcpsuite:1:reuseport=yes", "tcpsuite:2:nodelay=maybe", "tcpsuite:65536"),
            [
                (f"{what} (there is no reuseport=), got 'tcpsuite:1:reuseport=yes'; did you mean reusePort?"),
                (f"{what} (nodelay: expected true or false, got 'maybe'), got 'tcpsuite:2:nodelay=maybe'"),
                "expected a port from 0 to 65535, got 'tcpsuite:65536'",
            ],
        )
        self.assertIn("mean reusePort?", self.faults("haproxy:tcpsuite:1:reuseport=yes")[0])
        self.assertEqual(
            self.faults("haproxy:tcp:65536"), ["expected a port from 0 to 65535, got 'haproxy:tcp:65536'"]
        )

    def test_bad_carriers(self) -> None:
        """What carries streams has to be good itself."""
        what = "expected a Twisted server endpoint string"
        self.assertEqual(
            self.faults("mux:tcp:65536", "mux:", "mux:tpc:1"),
            [
                "expected a port from 0 to 65535, got 'tcp:65536'",
                f"{what} (expected mux:tcp:…, or another endpoint behind mux:), got 'mux:'",
                f"{what} (Unknown endpoint type: 'tpc'), got 'tpc:1'; did you mean tcp:1:interface=tpc?",
            ],
        )

    def test_backlog(self) -> None:
        """What a string gives as its backlog has the bounds of that in a table."""
        for text in ("tcpsuite:1:backlog={}", "tcp:1:backlog={}", "tcp:1:127.0.0.1:{}", "unix:/a:backlog={}"):
            self.assertEqual(self.faults(text.format(1)) + self.faults(text.format(65_535)), [])
            for backlog in (-3, 0, 65_536, 99_999_999_999):
                bad = text.format(backlog)
                self.assertEqual(
                    self.faults(bad), [f"expected a backlog from 1 to 65535 connections, got '{bad}'"]
                )

    def test_interface(self) -> None:
        """The interface of our own endpoint string is an address, and no second port or name."""
        for good in ("", "127.0.0.1", r"\\:\\:1", r"fe80\\:\\:1%lo"):
            self.assertEqual(self.faults(f"tcpsuite:1:interface={good}"), [])
        for bad in ("43008", "interface=256.0.0.1", "interface=localhost"):
            what = f"an IPv4 or IPv6 address as interface, not {bad.rpartition('=')[2]}"
            self.assertEqual(
                self.faults(f"tcpsuite:43008:{bad}"), [f"expected {what}, got 'tcpsuite:43008:{bad}'"]
            )

    def test_systemd(self) -> None:
        """An endpoint of systemd's is checked by its form: its socket is there only when it starts."""
        for bad in (
            "systemd:nonsense", "systemd:domain=INET", "systemd:domain=INET:index=x", "systemd:INET:name=",
            "systemd:domain=IPX:index=0", "systemd:domain=INET:index=0:name=x", "systemd:INET:0:x:y",
        ):  # fmt: skip
            (fault,) = self.faults(bad)
            self.assertIn("expected systemd:domain=INET:name=NAME, or index=0;", fault)

    def test_unix_paths(self) -> None:
        """A path must be there, and fit into the kernel's address."""
        for bad in ("unix:", f"unix:/{'x' * 107}", f"unix:/{'é' * 54}"):
            self.assertEqual(
                self.faults(bad), [f"expected unix: and a path of at most 107 bytes, got '{bad}'"]
            )

    def test_without_tls(self) -> None:
        """Where the tls extra is not installed, that is what is said of endpoints with TLS."""
        program = f"""
import sys
sys.modules["OpenSSL"] = None
sys.path.insert(0, {str(CHECKOUT)!r})
from tcpsuite.config.endpoints import check_client, check_server
for check, text in ((check_server, "ssl:443"), (check_client, "tls:h:443")):
    try:
        check(text)
    except ValueError as error:
        print(error.expected, error.hint)
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual(
            done.stdout.splitlines(),
            [
                f"a Twisted {side} endpoint string (needs the tls extra: pip install 'tcpsuite[tls]') "
                for side in ("server", "client")
            ],
            done.stderr,
        )

    def test_servers(self) -> None:
        """An upstream's addresses are checked as clients' endpoints."""

        def faults(address: str) -> list[str]:
            found = self.folder.faults(GATEWAY.replace("tcp:10.0.0.1:5432", address))
            return [fault.split(": ", 2)[2] for fault in found]

        for good in ("tcp:host=h:port=1", "unix:/run/x", "tcp:a\\\\:b:65535", "tcp:h:1:timeout=5"):
            self.assertEqual(faults(good), [])
        for bad in ("tcp:h:0", "tcp:h:-1", "tcp:h:65536", "tcp:host=h:port=70000"):
            self.assertEqual(faults(bad), [f"expected a port from 1 to 65535, got '{bad}'"])
        for bad in ("tcp::80", "tcp:host=:port=443"):
            self.assertEqual(faults(bad), [f"expected {bad[:3]}:HOST:PORT, got '{bad}'"])
        for bad in ("unix:", "unix:path=", f"unix:/{'x' * 107}"):
            self.assertEqual(faults(bad), [f"expected unix: and a path of at most 107 bytes, got '{bad}'"])
        self.assertEqual(len(faults("")), 1)
