"""Tests for the files in etc/: they are good, and etc/tcpsuite.toml tells of every option."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config import Config, load
from tcpsuite.config.schema import FILE_KEYS, listener_table
from tcpsuite.config.walk import options_of
from tcpsuite.net.options import ServerOptions, UpstreamOptions
from tcpsuite.plugin import service_types
from tests.config.support import ROOMY, Folder

ETC = Path(__file__).parents[2] / "etc"
REFERENCE = ETC / "tcpsuite.toml"
DIFFERENT: dict[tuple[str, ...], str] = {("admin", "endpoint"): "tcp:7099:interface=127.0.0.1"}
"""Where the file, as it stands, says something else than the default."""


def switched_on() -> str:
    """The reference with all that is commented out in force."""
    return re.sub(r"^#(?=\S)", "", REFERENCE.read_text(), flags=re.MULTILINE)


def told_before(text: str) -> dict[str, set[str]]:
    """What the comment above each option says, by the option's name."""
    told: dict[str, set[str]] = {}
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            comment.append(line[2:])
            continue
        if match := re.match(r"#?(\w+) = ", line):
            told.setdefault(match[1], set()).add(" ".join(comment))
        comment = []
    return told


class ExamplesTests(SynchronousTestCase):
    """Everything in etc/ that is a configuration."""

    def test_good(self) -> None:
        """Each passes, and leaves no doubt on a machine that has room."""
        files = [*ETC.glob("*.toml"), *ETC.glob("examples/*.toml")]
        self.assertEqual(len(files), 7)
        for file in files:
            loaded = load(str(file), environ={}, machine=ROOMY)
            self.assertEqual(loaded.doubts, (), file.name)

    def test_reference_runs(self) -> None:
        """etc/tcpsuite.toml as it stands needs nothing, answers on loopback only, and offers no prompt."""
        loaded = load(str(REFERENCE), environ={}, machine=ROOMY)
        self.assertEqual(loaded.missing, ())
        self.assertFalse(loaded.config.manhole.enabled)
        for endpoint in (*loaded.config.listeners["echo"].endpoint, *loaded.config.admin.endpoint):
            self.assertIn("interface=127.0.0.1", endpoint)

    def test_reference_switched_on(self) -> None:
        """With all that is commented out in force it is right too."""
        config = Folder(self).load(switched_on()).config
        self.assertEqual({each.service for each in config.listeners.values()}, set(service_types()))


class ReferenceTests(SynchronousTestCase):
    """etc/tcpsuite.toml against the classes."""

    def setUp(self) -> None:
        self.table: dict[str, Any] = tomllib.loads(switched_on())
        self.told = told_before(REFERENCE.read_text())
        self.config = Folder(self).load(switched_on()).config

    def test_top(self) -> None:
        """Every option outside of listeners and upstreams, with its default."""
        self.complete(Config, self.table, self.config, ())

    def test_upstreams(self) -> None:
        """Every option of an upstream and of its servers, with its default."""
        (name,) = self.table["upstream"]
        upstream, table = self.config.upstreams[name], self.table["upstream"][name]
        self.complete(UpstreamOptions, table, upstream, ("upstream",))
        self.complete(ServerOptions, table["servers"][0], upstream.servers[0], ("server",))

    def test_listeners(self) -> None:
        """Every option of every service; those that all listeners have, once."""
        for name, table in self.table["listener"].items():
            listener = self.config.listeners[name]
            options = type(listener.options)
            self.complete(options, table, listener.options, (name,))
        self.complete(
            listener_table(None), self.table["listener"]["echo"], self.config.listeners["echo"], ("echo",)
        )

    def complete(self, cls: Any, table: dict[str, Any], config: Any, path: tuple[str, ...]) -> None:
        for field in options_of(cls):
            key = FILE_KEYS.get(field.name, field.name)
            self.assertIn(key, table, path)
            value, here = getattr(config, field.name), (*path, key)
            if attrs.has(type(value)):
                self.complete(type(value), table[key], value, here)
            elif key not in FILE_KEYS.values() and key not in ("servers",):
                self.assertIn(field.metadata["doc"], self.told[key], here)
                if field.default is not attrs.NOTHING and key != "state_directory":
                    different = DIFFERENT.get(here)
                    expected = field.default if different is None else (different,)
                    self.assertEqual(value, expected, here)


class DocumentTests(SynchronousTestCase):
    """docs/configuration.md."""

    def test_faults(self) -> None:
        """The faults that it shows are those of the file that it shows."""
        text = (ETC.parent / "docs" / "configuration.md").read_text().partition("\n## Faults\n")[2]
        file, output = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("toml", "console"))
        assert file is not None
        assert output is not None
        found = Folder(self).faults(file[1])
        shown = output[1].replace("gateway.toml:", "x.toml:").splitlines()
        self.assertEqual(found, shown[1:])
