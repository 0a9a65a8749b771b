"""Every exception, and whose fault it is."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite import errors
from tcpsuite.errors import ConfigError, LocalError, ProtocolError, RemoteError, TcpsuiteError

ALL = [found for _, found in inspect.getmembers(errors, inspect.isclass)]


class TreeTests(SynchronousTestCase):
    """The tree of exceptions."""

    def test_whose_fault(self) -> None:
        """Every exception but the root is our caller's fault or a peer's, and never both."""
        for error in ALL:
            if error is not TcpsuiteError:
                self.assertNotEqual(issubclass(error, LocalError), issubclass(error, RemoteError), error)

    def test_drawing(self) -> None:
        """The drawing on top of the module has every exception, and no other."""
        drawn = [
            line.split("── ")[1].split()[0] for line in (errors.__doc__ or "").splitlines() if "── " in line
        ]
        self.assertEqual(sorted(["TcpsuiteError", *drawn]), sorted(error.__name__ for error in ALL))


class ConfigErrorTests(SynchronousTestCase):
    """All faults of a configuration."""

    def test_a_line_each(self) -> None:
        """The text is a line for each fault, and the faults can be had as they are."""
        error = ConfigError([KeyError("a"), "b"])
        self.assertEqual(str(error), "'a'\nb")
        self.assertEqual(error.faults[1], "b")


class ProtocolErrorTests(SynchronousTestCase):
    """Bytes that a protocol does not allow."""

    def test_code_and_text(self) -> None:
        """A code for programs, a text for people."""
        error = ProtocolError("too-long", "a line may have 3 bytes")
        self.assertEqual((error.code, str(error)), ("too-long", "a line may have 3 bytes"))
