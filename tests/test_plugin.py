"""Tests for tcpsuite.plugin: service types, ours and those of others."""

from __future__ import annotations

import subprocess
import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import NOTHING, frozen
from twisted.internet.protocol import Factory
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tcpsuite import plugin
from tcpsuite.config import loading
from tcpsuite.config.show import show
from tcpsuite.errors import ConfigError
from tcpsuite.interfaces import IServiceType
from tcpsuite.options import Duration, Secret, option
from tcpsuite.plugin import ServiceType, service_types
from tcpsuite.services.echo import EchoFactory, EchoOptions
from tests.config.support import Folder

CHECKOUT = Path(__file__).parents[1]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class PaintOptions:
    """The options of a service that somebody else has written."""

    share: float = option(NOTHING, "Some number.")
    colour: Colour = option(Colour.RED, "Some type of their own.")
    words: tuple[str, ...] = option((), "Some list.")
    key: Secret = option(Secret(""), "Some secret.")
    idle_timeout: Duration = option(Duration(7.0), "Another default than ours.")


class ServiceTypesTests(SynchronousTestCase):
    """Service types, built in."""

    def test_built_in(self) -> None:
        """Echo, files, sessions, messages and the gateway are plugins of Twisted."""
        found = service_types()
        self.assertEqual(set(found), {"echo", "files", "session", "message", "gateway"})
        for name, service in found.items():
            verifyObject(IServiceType, service)
            verifyObject(IPlugin, service)
            self.assertEqual(service.name, name)

    def test_called(self) -> None:
        """What is asked of a service type is asked of the service's own module."""
        echo = service_types()["echo"]
        context: Any = object()
        self.assertIs(echo.options(), EchoOptions)
        self.assertIsInstance(echo.build(EchoOptions(), context), EchoFactory)
        self.assertIn("7007", echo.example(EchoOptions(), "127.0.0.1", 7007))

    def test_two_of_one_name(self) -> None:
        """Two service types of one name are a fault that names both modules; one found twice is not."""
        one, other = (ServiceType("echo", "", module, "Options") for module in ("a.b", "c.d"))
        found = [one, one]
        self.patch(plugin, "getPlugins", lambda _: found)
        self.addCleanup(service_types.cache_clear)
        service_types.cache_clear()
        self.assertEqual(service_types(), {"echo": one})
        service_types.cache_clear()
        found[1] = other
        error = self.assertRaises(ConfigError, service_types)
        self.assertEqual(error.faults, ("two service types are called echo: of a.b and of c.d",))

    def test_looked_for_once(self) -> None:
        """Whoever asks twice is answered from memory."""
        self.assertIs(service_types(), service_types())

    def test_cheap(self) -> None:
        """The plugin module, which every twistd on the machine runs, imports none of what it names."""
        program = (
            "import sys, twisted.plugins.tcpsuite_plugin;"
            "print(*(name for name in sys.modules if name.startswith('tcpsuite') or name in "
            "('cattrs', 'click', 'rich', 'twisted.internet.reactor', 'twisted.web')))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
        self.assertEqual(
            set(done.stdout.split()),
            {"tcpsuite", "tcpsuite.plugin", "tcpsuite.errors", "tcpsuite.interfaces"},
        )


class OthersTests(SynchronousTestCase):
    """A service type of somebody's package."""

    def setUp(self) -> None:
        module = types.ModuleType("paint_of_a_test")
        self.factory = Factory()
        vars(module).update(PaintOptions=PaintOptions, build=lambda options, context: self.factory)
        self.patch(sys, "modules", {**sys.modules, module.__name__: module})
        paint = ServiceType("paint", "a test's", module.__name__, "PaintOptions")
        self.patch(loading, "service_types", lambda: {"paint": paint})
        self.folder = Folder(self)

    def test_options(self) -> None:
        """Its options stand beside the common ones, checked by their types, with its own default for one."""
        loaded = self.folder.load(
            '[listener.x]\nendpoint = "tcp:1"\nservice = "paint"\nshare = 1\ncolour = "blue"\n',
            'listener.x.words=["a", "b"]',
        )
        listener = loaded.config.listeners["x"]
        self.assertEqual(listener.options, PaintOptions(1.0, Colour.BLUE, ("a", "b")))
        self.assertEqual(listener.idle_timeout, 7.0)
        self.assertEqual(listener.options.idle_timeout, 7.0)
        self.assertIn("share = 1.0  # ", show(loaded))

    def test_faults(self) -> None:
        """What does not fit is a fault with its line, whatever its types say."""
        found = self.folder.faults(
            '[listener.x]\nendpoint = "tcp:1"\nservice = "paint"\ncolour = "green"\nshare = true\nkey = 1\n'
            "words = [1]\nidle_timeout = -1\n"
        )
        self.assertEqual(
            [fault.split(": ", 2)[:2] for fault in found],
            [
                ["x.toml:4", "listener.x.colour"],
                ["x.toml:5", "listener.x.share"],
                ["x.toml:6", "listener.x.key"],
                ["x.toml:7", "listener.x.words[0]"],
                ["x.toml:8", "listener.x.idle_timeout"],
            ],
        )
        self.assertIn("'green' is not a valid Colour", found[0])
        self.assertIn("expected a number, got true", found[1])
