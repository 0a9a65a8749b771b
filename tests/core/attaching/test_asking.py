"""What a client asks for that wants to be attached."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.asking import LARGEST_WINDOW, Granted, Wanted
from tcpsuite.errors import ProtocolError

MARK = "0123456789abcdef"


class WantedTests(SynchronousTestCase):
    """The words behind ATTACH."""

    def test_good(self) -> None:
        """Each word may be left out with those behind it."""
        self.assertEqual(Wanted.parse(), Wanted("", None, 0))
        self.assertEqual(Wanted.parse("new"), Wanted("new", None, 0))
        self.assertEqual(Wanted.parse("new", "0"), Wanted("new", 0, 0))
        self.assertEqual(Wanted.parse(MARK, "007", "1"), Wanted(MARK, 7, 1))
        self.assertEqual(
            Wanted.parse(MARK, "9" * 18, str(LARGEST_WINDOW)), Wanted(MARK, 10**18 - 1, LARGEST_WINDOW)
        )

    def test_bad(self) -> None:
        """What cannot be meant is refused, with what could be."""
        for words, why in (
            (("old",), "connection is new"), ((MARK[1:],), "16 digits"), ((MARK.upper(),), "16 digits"),
            ((MARK, "-1"), "received is a number"), ((MARK, "1" * 19), "received is a number"),
            ((MARK, "²"), "received is a number"), (("new", "1"), "nothing was received"),
            ((MARK, "1", "x"), "window is a number"), ((MARK, "1", "0"), "window is 1 to"),
            ((MARK, "1", str(LARGEST_WINDOW + 1)), "window is 1 to"),
        ):  # fmt: skip
            with self.assertRaises(ProtocolError) as caught:
                Wanted.parse(*words)
            self.assertEqual(caught.exception.code, "usage")
            self.assertRegex(str(caught.exception), rf"^ATTACH \[connection .*\]: .*{why}", words)

    def test_granted(self) -> None:
        """The answer has the four things in their order."""
        self.assertEqual(str(Granted(MARK, 1, 22, 333)), f"{MARK} 1 22 333")
