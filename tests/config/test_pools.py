"""Tests for tcpsuite.config.pools: presets, what cannot be in a pool, and what makes little sense."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config.show import show
from tcpsuite.core.pooling.settings import PRESETS, PoolSettings
from tests.config.support import GATEWAY, Folder

LONE = "[upstream.pg]\nservers = [{ name = 'a', address = 'tcp:192.0.2.1:1' }]\n[upstream.pg.pool]\n"
"""An upstream that services other than the gateway may use; its pool's options begin on line 4."""
SESSION = LONE + 'mode = "session"\nreset = "redis"\n'


class PoolCase(SynchronousTestCase):
    """A folder to read from."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def settings(self, text: str, *settings: str) -> PoolSettings:
        return self.folder.load(text, *settings).config.upstreams["pg"].pool.settings()

    def doubts(self, text: str, *settings: str) -> list[str]:
        found = self.folder.lines(self.folder.load(text, *settings).doubts)
        return [line for line in found if ".pool." in line]


class OptionsTests(PoolCase):
    """From a table to what a pool is told."""

    def test_defaults(self) -> None:
        """A file that says nothing of pools has what a pool that is told nothing has."""
        self.assertEqual(self.settings(GATEWAY), PoolSettings())

    def test_written(self) -> None:
        """Durations, numbers and words arrive as a pool wants them."""
        text = 'idle_timeout = "5m"\nmax_uses = 7\nlifetime_jitter = 0.25\nidle_order = "fifo"\n'
        self.assertEqual(
            self.settings(SESSION + text),
            PoolSettings("session", idle_timeout=300.0, max_uses=7, lifetime_jitter=0.25, idle_order="fifo"),
        )

    def test_bounds(self) -> None:
        """What a pool cannot follow by itself is a fault of its option."""
        self.assertEqual(
            self.folder.faults(SESSION + "error_rate = 0\nback_off = 0\n"),
            [
                "x.toml:6: upstream.pg.pool.error_rate: expected a value from 0.001 to 1, got 0.0",
                "x.toml:7: upstream.pg.pool.back_off: expected a value from 0.001 to 3600 seconds, got 0.0",
            ],
        )

    def test_words(self) -> None:
        """A word that is none is answered with those that there are, the empty one among them."""
        (fault,) = self.folder.faults(LONE + 'preset = "low-latncy"\n')
        words = '"", high-throughput, low-latency, resource-constrained, balanced'
        self.assertEqual(
            fault.partition(": expected ")[2],
            f"one of {words}, got 'low-latncy'; did you mean low-latency?",
        )
        (fault,) = self.folder.faults(LONE + 'reset = "redi"\n')
        self.assertEqual(
            fault.partition(": expected ")[2],
            "one of \"\", redis, or module:attribute, got 'redi'; did you mean redis?",
        )


class PresetTests(PoolCase):
    """``preset`` in a file."""

    def test_between_the_table_and_the_defaults(self) -> None:
        """The table comes before the preset, wherever it says it, and the preset before the defaults."""
        self.folder.write("[upstream.pg.pool]\nmin_connections = 7\n", "conf.d/a.toml")
        settings = self.settings(
            SESSION + 'preset = "low-latency"\nidle_timeout = 12\n', "upstream.pg.pool.max_idle_time=61"
        )
        self.assertEqual(
            settings,
            PoolSettings(
                "session",
                **{
                    **PRESETS["low-latency"],
                    "min_connections": 7,
                    "idle_timeout": 12.0,
                    "max_idle_time": 61.0,
                },
            ),
        )

    def test_each(self) -> None:
        """Each preset that there is can be named."""
        for name, preset in PRESETS.items():
            settings = self.settings(SESSION, f"upstream.pg.pool.preset={name}")
            self.assertEqual(settings, PoolSettings("session", **preset))

    def test_shown(self) -> None:
        """What is in force says which preset it came from, and loads again."""
        first = self.folder.load(SESSION + 'preset = "balanced"\nmin_connections = 6\n')
        text = show(first).replace(self.folder.path + os.sep, "")
        for line in (
            'preset = "balanced"  # x.toml:6',
            "min_connections = 6  # x.toml:7",
            "max_connections = 20  # preset balanced",
            'health_check_interval = "30s"  # preset balanced',
            "max_connecting = 4  # default",
        ):
            self.assertIn(line, text.splitlines())
        self.assertEqual(self.folder.load(text).config, first.config)

    def test_one_upstream(self) -> None:
        """A preset of one upstream does not touch another one, nor what is the same for all."""
        other = LONE.replace("pg", "other")
        config = self.folder.load(SESSION + 'preset = "balanced"\n' + other).config
        self.assertEqual(config.upstreams["other"].pool.settings(), PoolSettings())

    def test_no_word(self) -> None:
        """A preset that is no text, in a table or not, is a fault like any other."""
        for text in (LONE + "preset = [1]\n", LONE + "preset = 3\n"):
            (fault,) = self.folder.faults(text)
            self.assertIn("x.toml:4: upstream.pg.pool.preset: expected text in quotes", fault)
        (fault,) = self.folder.faults(LONE.replace("[upstream.pg.pool]", 'pool = "low-latency"'))
        self.assertIn("x.toml:3: upstream.pg.pool: expected a table", fault)


class MisfitsTests(PoolCase):
    """What cannot be: nothing starts."""

    def test_combinations(self) -> None:
        """All are told at once, each at the option that says it."""
        self.assertEqual(
            self.folder.faults(SESSION + "min_connections = 9\nmax_connections = 8\nback_off_limit = 0.1\n"),
            [
                "x.toml:6: upstream.pg.pool.min_connections: min_connections (9) is over max_connections (8)",
                "x.toml:8: upstream.pg.pool.back_off_limit: back_off (0.2 s) is over back_off_limit (0.1 s)",
            ],
        )

    def test_against_a_preset(self) -> None:
        """What does not go with a preset is told of the option that the file gives."""
        self.assertEqual(
            self.folder.faults(SESSION + 'preset = "low-latency"\nmax_connections = 8\n'),
            ["x.toml:7: upstream.pg.pool.max_connections: min_connections (20) is over max_connections (8)"],
        )

    def test_session_without_a_reset(self) -> None:
        """A connection with the state of the last client is lent to nobody."""
        text = "session needs a reset, for the next client must not meet what the last one left"
        self.assertEqual(
            self.folder.faults(LONE + 'mode = "session"\n'), [f"x.toml:4: upstream.pg.pool.mode: {text}"]
        )
        for good in ('mode = "message"\n', 'mode = "session"\nreset = "redis"\n'):
            self.assertEqual(self.folder.faults(LONE + good), [])

    def test_behind_a_gateway(self) -> None:
        """A gateway relays whole connections: they cannot be lent again."""
        text = "cannot serve listener.db: a gateway does not see where a client's last answer ends"
        for mode in ("session", "message"):
            self.assertEqual(
                self.folder.faults(GATEWAY, f"upstream.pg.pool.mode={mode}", "upstream.pg.pool.reset=redis"),
                [f"--set: upstream.pg.pool.mode: {mode} {text}"],
            )
        for mode in ("on_demand", "preconnect"):
            self.assertEqual(self.folder.faults(GATEWAY, f"upstream.pg.pool.mode={mode}"), [])


class DoubtsTests(PoolCase):
    """What can be, and is told as a warning."""

    def test_none(self) -> None:
        """Every preset in every mode that it is for leaves no doubt."""
        for name in PRESETS:
            preset = f"upstream.pg.pool.preset={name}"
            self.assertEqual(self.doubts(SESSION, preset), [])
            self.assertEqual(self.doubts(GATEWAY, preset, "upstream.pg.pool.mode=preconnect"), [])

    def test_combinations(self) -> None:
        """Each stands at the option that is given, or at the one that is most likely meant."""
        short, silent = self.doubts(SESSION + "acquire_timeout = 0.5\n")
        where = "x.toml:6: upstream.pg.pool.acquire_timeout: "
        self.assertTrue(short.startswith(f"{where}acquire_timeout (0.5 s) is under 1 s: "), short)
        self.assertTrue(silent.startswith(f"{where}validation_timeout (1 s) is over acq"), silent)

    def test_more_ahead_than_a_server_has(self) -> None:
        """No more should be made ahead than each server has at once; where none are, it does not matter."""
        few = ("upstream.pg.servers[1].max_connections=3", "upstream.pg.pool.min_connections=4")
        warm = "upstream.pg.pool.mode=preconnect"
        (line,) = self.doubts(GATEWAY, *few, warm)
        text = "min_connections (4) is over the max_connections of server b (3)"
        self.assertEqual(line, f"--set: upstream.pg.pool.min_connections: {text}")
        self.assertEqual(self.doubts(GATEWAY, few[0], warm), [])
        (line,) = self.doubts(GATEWAY, *few)
        self.assertIn("it says nothing with mode on_demand", line)

    def test_says_nothing(self) -> None:
        """An option that its mode does not look at is told; one that says what is so anyway is not."""
        self.assertEqual(
            self.doubts(GATEWAY, "upstream.pg.pool.max_connections=50", "upstream.pg.pool.preset=balanced"),
            [
                "--set: upstream.pg.pool.preset: it says nothing with mode on_demand",
                "--set: upstream.pg.pool.max_connections: it says nothing with mode on_demand",
            ],
        )
        self.assertEqual(
            self.doubts(LONE + 'mode = "message"\nreset = "redis"\nwarm_max_age = 9\nidle_timeout = "1m"\n'),
            [
                "x.toml:6: upstream.pg.pool.warm_max_age: it says nothing with mode message",
                "x.toml:5: upstream.pg.pool.reset: it says nothing with mode message",
            ],
        )
        self.assertEqual(
            self.doubts(LONE + 'validate = "os:getpid"\nidle_timeout = "1m"\n'),
            ["x.toml:4: upstream.pg.pool.validate: it says nothing with mode on_demand"],
        )
