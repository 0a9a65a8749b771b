"""Tests for tcpsuite.config.pools: presets, what cannot be in a pool, and what makes little sense."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config.show import show
from tcpsuite.core.pooling.settings import PRESETS, PoolSettings
from tcpsuite.net.pool_options import PoolOptions
from tcpsuite.options import OptionError
from tests.config.support import GATEWAY, Folder

LONE = "[upstream.pg]\nservers = [{ name = 'a', address = 'tcp:192.0.2.1:1' }]\n[upstream.pg.pool]\n"
"""An upstream that services other than the gateway may use; its pool's options begin on line 4."""
CLIENTS = "how many clients a server has is bounded by its own max_connections"
NEEDS_RESET = "needs a reset, for the next client must not meet what the last one left"
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
    """``preset``, in a file and in Python."""

    def test_in_python(self) -> None:
        """What is given comes before the preset there too, and the preset before the defaults."""
        given: dict[str, Any] = {**PRESETS["low-latency"], "min_connections": 2}
        self.assertEqual(
            PoolOptions("session", "low-latency", min_connections=2).settings(),
            PoolSettings("session", **given),
        )
        self.assertEqual(
            PoolOptions(preset="balanced").settings(), PoolSettings("on_demand", **PRESETS["balanced"])
        )
        self.assertEqual(PoolOptions().settings(), PoolSettings())
        with self.assertRaisesRegex(OptionError, "expected one of high-throughput, .* got 'low-latncy'"):
            PoolOptions(preset="low-latncy")

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
        self.assertEqual(
            self.folder.faults(LONE + 'mode = "session"\n'),
            [f"x.toml:4: upstream.pg.pool.mode: session {NEEDS_RESET}"],
        )
        own = 'mode = "session"\nprovider = "tcpsuite.net.pool:ConnectionPool"\n'
        for good in ('mode = "message"\n', 'mode = "session"\nreset = "redis"\n', own):
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

    def test_with_all_else_that_is_wrong(self):
        """They are told in the same run as the faults of other tables, and of other options of the pool; what
        hangs on an option that cannot be read is not guessed at.
        """
        options = 'mode = "session"\nmin_connections = 9\nmax_connections = 8\nmax_uses = "x"\nnone = 1\n'
        found = self.folder.faults(LONE + options + "[admin]\nendpoint = 7\n")
        self.assertEqual(
            [fault.split(": ", 2)[1:] for fault in found],
            [
                ["upstream.pg.pool.mode", f"session {NEEDS_RESET}"],
                ["upstream.pg.pool.min_connections", "min_connections (9) is over max_connections (8)"],
                ["upstream.pg.pool.max_uses", "expected a whole number, got 'x'"],
                ["upstream.pg.pool.none", "unknown option"],
                ["admin.endpoint", "expected an endpoint string, or a list of them, got 7"],
            ],
        )
        for option, fault in (
            ('reset = "no"', "upstream.pg.pool.reset"),
            ('mode = "sesion"', "upstream.pg.pool.mode"),
            ("max_connections = 0", "upstream.pg.pool.max_connections"),
        ):
            text = LONE + f"min_connections = 11\n{option}\n"
            if "mode" not in option:
                text += 'mode = "session"\n'
            if "max" not in option:
                text += "max_connections = 11\n"
            if "reset" not in option:
                text += 'reset = "redis"\n'
            (told,) = self.folder.faults(text)
            self.assertIn(fault, told)

    def test_behind_a_gateway_that_is_wrong_itself(self):
        """Who leads to the upstream is seen in a listener with faults too, and in one that is no table."""
        found = self.folder.faults(
            GATEWAY,
            "listener.db.endpoint=nowhere",
            "upstream.pg.pool.mode=message",
        )
        self.assertEqual(len(found), 2)
        self.assertIn("message cannot serve listener.db", "".join(found))
        (fault,) = self.folder.faults("listener = 3\n" + LONE + 'mode = "message"\n')
        self.assertIn("listener: expected a table", fault)


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

    def test_what_a_maximum_does_not_bound(self) -> None:
        """In preconnect no more than the minimum is kept warm: a larger maximum bounds nobody, least of all
        the clients.
        """
        where = "--set: upstream.pg.pool.max_connections"
        warm = ("upstream.pg.pool.mode=preconnect", "upstream.pg.pool.min_connections=12")
        self.assertEqual(
            self.doubts(GATEWAY, *warm, "upstream.pg.pool.max_connections=50"),
            [f"{where}: no more than min_connections (12) are kept warm: {CLIENTS}"],
        )
        self.assertEqual(self.doubts(GATEWAY, *warm, "upstream.pg.pool.max_connections=12"), [])

    def test_says_nothing(self) -> None:
        """An option that its mode does not look at is told; one that says what is so anyway is not."""
        self.assertEqual(
            self.doubts(GATEWAY, "upstream.pg.pool.max_connections=50", "upstream.pg.pool.preset=balanced"),
            [
                "--set: upstream.pg.pool.preset: it says nothing with mode on_demand",
                f"--set: upstream.pg.pool.max_connections: it says nothing with mode on_demand: {CLIENTS}",
            ],
        )
        self.assertEqual(
            self.doubts(LONE + 'mode = "message"\nreset = "redis"\nwarm_max_age = 9\nidle_timeout = "1m"\n'),
            [
                "x.toml:6: upstream.pg.pool.warm_max_age: it says nothing with mode message",
                "x.toml:5: upstream.pg.pool.reset: it says nothing with mode message",
            ],
        )
        for hook in ("prepare", "validate"):
            self.assertEqual(
                self.doubts(LONE + f'{hook} = "builtins:len"\nidle_timeout = "1m"\n'),
                [f"x.toml:4: upstream.pg.pool.{hook}: it says nothing with mode on_demand"],
            )
        own = 'provider = "tcpsuite.net.pool:ConnectionPool"\nmax_uses = 7\n'
        self.assertEqual(
            self.doubts(LONE + own), [], "what a pool of somebody's own looks at is its own affair"
        )
