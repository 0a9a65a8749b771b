"""Tests for tcpsuite.config.sharing: limits that are shared with nobody, or not as somebody meant."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.support import ECHO, ROOMY, Folder

REDIS = '[redis]\nserver = "tcp:10.0.0.9:6379"\n'


class SharingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def doubts(self, text: str) -> list[str]:
        return self.folder.lines(self.folder.load(text, machine=ROOMY).doubts)

    def test_nowhere(self) -> None:
        """To share limits it takes a Redis that is named; it is asked for once, where they are shared."""
        shared = '[limits]\nshared = ["connections_per_ip"]\n'
        expected = "limits.shared: expected a table [redis] beside it, which says where they are counted"
        (line,) = self.folder.faults(ECHO + shared)
        self.assertIn(expected, line)
        own = '[listener.other]\nendpoint = "tcp:5"\nservice = "echo"\nlimits.shared = ["message_rate"]\n'
        (line,) = self.folder.faults(own)
        self.assertIn(f"listener.other.{expected}", line)
        self.assertEqual(self.doubts(ECHO + shared + REDIS), [])
        self.assertEqual(self.doubts(ECHO + "[limits]\nshared = []\n"), [])

    def test_which(self) -> None:
        """What is no limit is not shared, and refuses nobody."""
        (line,) = self.folder.faults(ECHO + REDIS + '[limits]\nshared = ["bandwidth_per_ip"]\n')
        self.assertIn("limits.shared: expected names of limits, of connections_per_ip", line)
        for option in ("batch", "local_share"):
            (line,) = self.folder.faults(ECHO + f"[limits]\n{option} = 1.5\n")
            self.assertIn(f"limits.{option}: expected ", line)

    def test_off(self) -> None:
        """A limit that is off is shared in vain, which is told once for all; an override may set it."""
        text = ECHO + '[listener.b]\nendpoint = "tcp:9"\nservice = "echo"\n' + REDIS
        shared = '[limits]\nshared = ["connection_rate"]\n'
        (line,) = self.doubts(text + shared)
        self.assertIn("shared: connection_rate is 0, no limit, so there is nothing to share", line)
        self.folder.write("10.0.0.0/8 connection_rate=5\n", "map")
        self.assertEqual(self.doubts(text + shared + 'overrides = "map"\n'), [])

    def test_not_shared(self) -> None:
        """What is not shared does not mind whether Redis is away."""
        (line,) = self.doubts(ECHO + '[limits]\nrefuse_when_away = ["message_rate"]\n')
        self.assertIn("refuse_when_away: message_rate is not among shared", line)

    def test_times(self) -> None:
        """Who may wait for an answer for as long as the lease lasts may be taken for dead."""
        shared = '[limits]\nshared = ["connections_per_ip"]\n'
        slow = REDIS + 'timeout = "4s"\n'
        (line,) = self.doubts(ECHO + shared + slow)
        self.assertIn("redis.timeout: longer than a third of lease, 10s", line)
        self.assertEqual(self.doubts(ECHO + shared + slow + 'lease = "12s"\n'), [])
        self.assertEqual(self.doubts(ECHO + slow), [])
