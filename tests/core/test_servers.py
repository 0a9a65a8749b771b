"""One backend of an upstream."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.servers import Server


class ServerTests(SynchronousTestCase):
    """What is known of a server."""

    def test_new(self) -> None:
        """A new server is up, though nobody has checked it, and has done nothing."""
        server = Server("a", "tcp:192.0.2.1:80")
        self.assertEqual((server.weight, server.up, server.last_error), (1, True, ""))
        self.assertEqual((server.active, server.connections, server.failures), (0, 0, 0))

    def test_equal_to_itself_alone(self) -> None:
        """Two servers that read the same are two, in a comparison and as keys."""
        one, two = Server("a", "tcp:192.0.2.1:80"), Server("a", "tcp:192.0.2.1:80")
        self.assertNotEqual(one, two)
        self.assertEqual(len({one, two, one}), 2)

    def test_repr(self) -> None:
        """Its state is one line; the last error, which may be long, is left out."""
        server = Server("a", "tcp:192.0.2.1:80", last_error="refused")
        self.assertTrue(
            repr(server).startswith("Server(name='a', address='tcp:192.0.2.1:80', weight=1, up=True")
        )
        self.assertNotIn("refused", repr(server))

    def test_full(self) -> None:
        """A server is full when it has as many connections as it takes, or more; without a limit never."""
        server = Server("a", "tcp:192.0.2.1:80", active=1_000_000)
        self.assertFalse(server.full)
        server.max_connections = 2
        for active, full in [(0, False), (1, False), (2, True), (3, True)]:
            server.active = active
            self.assertIs(server.full, full)

    def test_error_rate(self) -> None:
        """Of all attempts the share that could not be made, or was reset later; 0 when there was none."""
        server = Server("a", "tcp:192.0.2.1:80")
        self.assertEqual(server.error_rate, 0.0)
        server.connections, server.failures, server.resets = 6, 2, 1
        self.assertEqual(server.error_rate, 3 / 8)
