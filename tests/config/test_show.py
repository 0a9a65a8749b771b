"""Tests for tcpsuite.config.show: what is in force, as TOML that loads again."""

from __future__ import annotations

import os
import tomllib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config import load
from tcpsuite.config.show import format_value, show
from tcpsuite.options import Duration, Size, parse_duration, parse_size
from tests.config.support import ECHO, GATEWAY, ROOMY, Folder


class ShowTests(SynchronousTestCase):
    """The text that show-config prints."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def show(self, text: str, *settings: str) -> str:
        return show(self.folder.load(text, *settings)).replace(self.folder.path + os.sep, "")

    def test_origins(self) -> None:
        """Each value has its origin beside it: file and line, variable, setting, or default."""
        self.folder.write("[limits]\nconnections = 9\n", "conf.d/a.toml")
        loaded = self.folder.load(
            ECHO, "drain_timeout=5m", environ={"TCPSUITE__MANHOLE__ENABLED": "1", "STATE_DIRECTORY": "/s"}
        )
        lines = show(loaded).replace(self.folder.path + os.sep, "").splitlines()
        for line in (
            'drain_timeout = "5m"  # --set',
            'state_directory = "/s"  # STATE_DIRECTORY',
            "[listener.echo]",
            'endpoint = "tcp:7007"  # x.toml:3',
            'service = "echo"  # x.toml:4',
            'idle_timeout = "2m"  # default',
            "[listener.echo.limits]",
            "connections = 9  # conf.d/a.toml:2",
            "connections_per_ip = 100  # default",
            "enabled = true  # TCPSUITE__MANHOLE__ENABLED",
            'max_bytes = "1MiB"  # default',
            "hosts = []  # default",
        ):
            self.assertIn(line, lines)

    def test_loads_again(self) -> None:
        """What is printed, loaded, is the same configuration."""
        texts = [
            ECHO.replace("listener.echo", 'listener."a b.c"').replace('"tcp:7007"', '["tcp:1", "tcp:2"]'),
            GATEWAY + ECHO + '[admin]\nhosts = ["a\\"b", "c"]\n',
        ]
        for text in texts:
            first = self.folder.load(text)
            again = self.folder.load(show(first))
            self.assertEqual(again.config, first.config)

    def test_the_demonstration_loads_again(self) -> None:
        """So is the demonstration."""
        first = load(None, environ={}, machine=ROOMY)
        again = load(self.folder.write(show(first)), environ={}, machine=ROOMY)
        self.assertEqual(again.config, first.config)

    def test_tables_of_words(self) -> None:
        """A table of words stands on one line, whatever its keys are."""
        text = '[listener.m]\nendpoint = "tcp:1"\nservice = "message"\nmethods = { "a b" = "os.path:join" }\n'
        loaded = Folder(self).load(text)
        self.assertIn('\nmethods = { "a b" = "os.path:join" }  # ', show(loaded))
        again = Folder(self).load(show(loaded)).config.listeners["m"].options
        self.assertEqual(again, loaded.config.listeners["m"].options)

    def test_secrets(self) -> None:
        """Of a secret one sees that there is one, and where; not what it is.  The text loads all the same."""
        text = self.show(ECHO + '[admin]\ntoken = "31337-and-some-more"\n')
        self.assertIn('# token = "***"  # x.toml:6; a secret, not shown', text)
        self.assertNotIn("31337", text)
        self.assertEqual(self.folder.load(text).config.admin.token, "")

    def test_elements(self) -> None:
        """Each element of a list of tables is a table of its own, so that each value has its line."""
        text = self.show(GATEWAY)
        self.assertIn(
            '[[upstream.pg.servers]]\nname = "a"  # x.toml:9\naddress = "tcp:10.0.0.1:5432"  # x.toml:9\n'
            "weight = 1  # default\n",
            text,
        )
        self.assertEqual(len(tomllib.loads(text)["upstream"]["pg"]["servers"]), 2)

    @given(st.floats(0, 1e9))
    def test_durations(self, seconds: float) -> None:
        """A duration is written without loss."""
        text = tomllib.loads("a = " + format_value(seconds, Duration))["a"]
        self.assertEqual(parse_duration(text), seconds)

    @given(st.integers(0, 2**50))
    def test_sizes(self, size: int) -> None:
        """So is a size."""
        self.assertEqual(parse_size(tomllib.loads("a = " + format_value(size, Size))["a"]), size)
