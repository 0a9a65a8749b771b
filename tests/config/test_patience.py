"""Tests for tcpsuite.config.patience: what is said about slow clients in vain."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.support import ECHO, ROOMY, Folder

SESSIONS = '[listener.s]\nendpoint = "tcp:1"\nservice = "session"\nanonymous = true\n'
FILES = '[listener.web]\nendpoint = "tcp:1"\nservice = "files"\nroot = "."\n'


class DoubtsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def doubts(self, text: str) -> list[str]:
        return self.folder.lines(self.folder.load(text, machine=ROOMY).doubts)

    def test_idle_comes_first(self) -> None:
        """What takes longer than the idle time-out is told, with what ends the connection."""
        (line,) = self.doubts(ECHO + 'write_timeout = "2m"\n')
        self.assertIn("write_timeout: it never counts: idle_timeout ends who takes nothing after 2m", line)
        text = SESSIONS + 'idle_timeout = "5s"\nfirst_byte_timeout = "6s"\n'
        (line,) = self.doubts(text)
        self.assertIn("first_byte_timeout: it never counts: idle_timeout ends who is silent after 5s", line)

    def test_what_nobody_said(self) -> None:
        """A default that a short idle time-out overtakes is no fault of anybody; nor is one without end."""
        self.assertEqual(self.doubts(SESSIONS + 'idle_timeout = "5s"\n'), [])
        self.assertEqual(self.doubts(SESSIONS + 'idle_timeout = 0\nwrite_timeout = "1h"\n'), [])
        self.assertEqual(self.doubts(SESSIONS), [])

    def test_login(self) -> None:
        """Where sessions are anonymous nobody has to log in."""
        (line,) = self.doubts(SESSIONS + 'login_timeout = "5s"\n')
        self.assertIn("login_timeout: nobody has to log in, for anonymous = true", line)

    def test_in_hand(self) -> None:
        """Requests of HTTP are taken one at a time."""
        (line,) = self.doubts(FILES + "max_requests_in_hand = 5\n")
        self.assertIn("max_requests_in_hand: it counts requests in lines", line)
        self.assertEqual(self.doubts(FILES + 'protocol = "lines"\nmax_requests_in_hand = 5\n'), [])
