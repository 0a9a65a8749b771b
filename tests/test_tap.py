"""Tests for tcpsuite.tap: the options of ``twistd tcpsuite``, and starts that fail."""

from __future__ import annotations

import sys
from io import StringIO

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import ConfigError, StartError
from tcpsuite.tap import Options, makeService
from tests.config.support import ECHO, Folder


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def test_options(self) -> None:
        """A file, and settings as often as one likes."""
        options = Options()
        path = Folder(self).write(ECHO)
        options.parseOptions(["-c", path, "--set", "drain_timeout=1s", "--set=limits.connections=2"])
        config = options["loaded"].config
        self.assertEqual((config.drain_timeout, config.limits.connections), (1.0, 2))

    def test_defaults(self) -> None:
        """Without any: the demonstration."""
        options = Options()
        options.parseOptions([])
        self.assertIn("sessions", options["loaded"].config.listeners)

    def test_reactor(self) -> None:
        """A reactor that somebody has installed before stays; to have asked for another one is an error."""
        from twisted.internet import reactor

        path = Folder(self).write(ECHO)
        Options().parseOptions(["-c", path])
        with self.assertRaises(StartError) as caught:
            Options().parseOptions(["-c", path, "--set", "reactor=wx"])
        self.assertIn("the reactor wx cannot be used: a module that was imported", str(caught.exception))
        self.assertIs(sys.modules["twisted.internet.reactor"], reactor)

    def test_unknown(self) -> None:
        """What it does not know is a usage error."""
        with self.assertRaises(UsageError):
            Options().parseOptions(["--bogus"])

    def test_plugin(self) -> None:
        """twistd finds it as a plugin."""
        (maker,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "tcpsuite"]
        self.assertIs(maker.options, Options)


class StartTests(SynchronousTestCase):
    """What is said of a start that cannot be."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.patch(sys, "excepthook", sys.excepthook)
        self.standard_error = StringIO()
        self.patch(sys, "stderr", self.standard_error)
        self.patch(sys, "__stderr__", self.standard_error)

    def said(self, error: BaseException) -> str:
        sys.excepthook(type(error), error, None)
        return self.standard_error.getvalue()

    def make(self, text: str) -> None:
        options = Options()
        options.parseOptions(["--config", self.folder.write(text)])
        makeService(options)

    def test_reactor(self) -> None:
        """A reactor that nobody knows is a fault of the file, which tells those that there are."""
        with self.assertRaises(ConfigError) as caught:
            self.make("reactor = 'x'\n" + ECHO)
        self.assertIn("x.toml:1: reactor: expected auto or one of asyncio,", self.said(caught.exception))

    def test_faults(self) -> None:
        """Faults of the file end it, and are the last words of the process, without a traceback."""
        with self.assertRaises(ConfigError) as caught:
            self.make(ECHO + "x = 1\n")
        path = self.folder.path
        self.assertEqual(self.said(caught.exception), f"{path}/x.toml:5: listener.echo.x: unknown option\n")

    def test_missing(self) -> None:
        """So does what the file names and is not there."""
        with self.assertRaises(ConfigError) as caught:
            self.make(ECHO + '[auth]\npasswords = "/none/users"\n')
        self.assertIn("x.toml:6: auth.passwords: /none/users does not exist", self.said(caught.exception))

    def test_start_error(self) -> None:
        """What could not be started is told in its own words."""
        with self.assertRaises(ConfigError):
            self.make("x = 1\n")
        self.assertEqual(self.said(StartError("the port is taken")), "the port is taken\n")

    def test_bug(self) -> None:
        """Anything else is our own bug, and has its traceback."""
        with self.assertRaises(ConfigError):
            self.make("x = 1\n")
        self.assertIn("ZeroDivisionError: x", self.said(ZeroDivisionError("x")))
