"""Tests for what a pool is told: defaults, presets, sizes, and what does not fit together."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling.settings import (
    MODES,
    PRESETS,
    PoolSettings,
    bounds,
    concerns,
    problems,
    recommended_size,
)


def texts(**changes: Any) -> list[str]:
    """What is wrong with the defaults of ``session``, changed so."""
    return [problem.text for problem in problems(evolve(PoolSettings("session"), **changes))]


class SettingsTests(SynchronousTestCase):
    """The settings by themselves."""

    def test_defaults(self):
        """A pool that is told nothing connects on demand; one that reuses has room for ten, and keeps two."""
        settings = PoolSettings()
        self.assertEqual(settings.mode, "on_demand")
        self.assertEqual((settings.min_connections, settings.max_connections), (2, 10))
        times = (
            settings.acquire_timeout,
            settings.idle_timeout,
            settings.max_idle_time,
            settings.max_lifetime,
        )
        self.assertEqual(times, (5.0, 60.0, 300.0, 3600.0))

    def test_modes(self):
        """Two modes lend a connection again; all but one make connections ahead."""
        found = {mode: PoolSettings(mode, min_connections=3) for mode in MODES}
        self.assertEqual({mode: each.reuses for mode, each in found.items()}, {
            "on_demand": False, "preconnect": False, "session": True, "message": True,
        })  # fmt: skip
        self.assertEqual({mode: each.kept for mode, each in found.items()}, {
            "on_demand": 0, "preconnect": 3, "session": 3, "message": 3,
        })  # fmt: skip

    def test_concerns(self):
        """Each setting is looked at in some mode; those of idle connections where there are any."""
        for own in fields(PoolSettings):
            self.assertTrue(any(concerns(own.name, mode) for mode in MODES), own.name)
        self.assertEqual([mode for mode in MODES if concerns("idle_timeout", mode)], ["session", "message"])
        self.assertEqual([mode for mode in MODES if concerns("warm_max_age", mode)], ["preconnect"])
        self.assertTrue(concerns("mode", "on_demand"))


class PresetTests(SynchronousTestCase):
    """Settings by name."""

    def test_figures(self):
        """Minimum, maximum, and the seconds of each, as they are promised."""
        self.assertEqual({name: tuple(preset.values()) for name, preset in PRESETS.items()}, {
            "high-throughput": (10, 50, 3, 30, 120, 600, 15, 30),
            "low-latency": (20, 100, 1, 10, 60, 300, 10, 20),
            "resource-constrained": (2, 10, 10, 120, 600, 7200, 60, 120),
            "balanced": (5, 20, 5, 60, 300, 3600, 30, 60),
        })  # fmt: skip

    def test_good(self):
        """In no mode is anything wrong with a preset, nor with the defaults."""
        for mode in MODES:
            for changes in ({}, *PRESETS.values()):
                self.assertEqual(problems(PoolSettings(mode=mode, **changes)), [])

    def test_cannot_be_changed(self):
        """A preset is the same for everybody."""
        with self.assertRaises(TypeError):
            PRESETS["balanced"]["min_connections"] = 6  # type: ignore[index]
        with self.assertRaises(TypeError):
            PRESETS["mine"] = {}  # type: ignore[index]


class SizeTests(SynchronousTestCase):
    """How large a pool should be."""

    def test_littles_law(self):
        """500 a second for 40 ms each are 20 in use: 10 are kept, 40 allowed."""
        self.assertEqual(recommended_size(500, 0.04), (10, 40))

    def test_rounds_up(self):
        """A part of a connection is one."""
        self.assertEqual(recommended_size(101, 0.1), (6, 21))

    def test_exact(self):
        """100 a second for 70 ms each are 7 and not a little more, though floats make it so."""
        self.assertGreater(100 * 0.07, 7)
        self.assertEqual(recommended_size(100, 0.07), (4, 14))

    def test_least(self):
        """Under little load, or none, two are kept and ten allowed."""
        self.assertEqual(recommended_size(1, 0.01), (2, 10))
        self.assertEqual(recommended_size(0, 5), (2, 10))

    def test_no_number(self):
        """Less than nothing, and what is no number, is refused by name."""
        for arrivals, mean in ((-1, 1), (1, -0.5), (nan, 1), (1, inf)):
            with self.assertRaisesRegex(ValueError, "expected a number of 0 or more, got (-|nan|inf)"):
                recommended_size(arrivals, mean)

    def test_too_large(self):
        """What is more than any pool may have is no recommendation."""
        self.assertEqual(recommended_size(50_000, 1), (25_000, 100_000))
        for arrivals, mean in ((50_000.5, 1), (1e308, 3600)):
            with self.assertRaisesRegex(ValueError, "want more than the 100000 connections"):
                recommended_size(arrivals, mean)

    @given(st.floats(0, 1e3), st.floats(0, 50))
    def test_room_for_a_rush(self, arrivals, mean):
        """What is allowed is at least four times what is kept, less rounding, and twice what is in use."""
        least, most = recommended_size(arrivals, mean)
        self.assertLessEqual(least, most)
        self.assertGreaterEqual(most, arrivals * mean * 1.999)
        self.assertGreaterEqual(least, arrivals * mean * 0.499)


class ImpossibleTests(SynchronousTestCase):
    """What no pool can follow."""

    def test_bounds(self):
        """Both ends of every range are possible, what lies beyond them is not."""
        ranged = [own.name for own in fields(PoolSettings) if "bounds" in own.metadata]
        self.assertEqual(len(ranged), 21)
        for name in ranged:
            low, high = bounds(name)
            for value, wrong in ((low, 0), (high, 0), (low - 1, 1), (high + 1, 1)):
                changed: dict[str, Any] = {name: value}
                found = problems(evolve(PoolSettings("message"), **changed))
                own = [each for each in found if each.names == (name,) and each.impossible]
                self.assertEqual(len(own), wrong, (name, value))

    def test_says_the_range(self):
        """The sentence has the value and what may be."""
        self.assertEqual(texts(errors_in_row=0), ["errors_in_row is 0, and must be from 1 to 1000"])
        self.assertEqual(texts(error_rate=nan), ["error_rate is nan, and must be from 0.001 to 1"])

    def test_words(self):
        """A mode or an order that there is not."""
        self.assertEqual(
            [problem.text for problem in problems(PoolSettings("often", idle_order="random"))],
            [
                "mode is 'often', and must be one of on_demand, preconnect, session, message",
                "idle_order is 'random', and must be one of lifo, fifo",
            ],
        )

    def test_minimum_over_maximum(self):
        """More cannot be kept than there may be; where none is kept it does not matter."""
        self.assertEqual(texts(min_connections=11), ["min_connections (11) is over max_connections (10)"])
        self.assertEqual(texts(min_connections=10), [])
        self.assertEqual(problems(PoolSettings("on_demand", min_connections=11)), [])

    def test_back_off(self):
        """The first wait cannot be longer than the longest; where nothing is made ahead there is none."""
        text = "back_off (31 s) is over back_off_limit (30 s)"
        self.assertEqual(texts(back_off=31), [text])
        self.assertEqual(texts(back_off=30), [])
        self.assertEqual(problems(PoolSettings("on_demand", back_off=31)), [])

    def test_all_at_once(self):
        """Every problem is told, the impossible ones before the doubtful ones, with what each is about."""
        found = problems(PoolSettings("session", 3, 4, acquire_timeout=0.5, max_connecting=0))
        self.assertEqual([(each.names[0], each.impossible) for each in found], [
            ("max_connecting", True),
            ("min_connections", True),
            ("acquire_timeout", False),
            ("validation_timeout", False),
        ])  # fmt: skip

    def test_verify(self):
        """Settings that can be followed, doubtful or not, are given back; others raise, with all faults."""
        doubtful = PoolSettings("session", acquire_timeout=0.9, validation_timeout=0.8)
        self.assertIs(doubtful.verify(), doubtful)
        with self.assertRaises(ValueError) as caught:
            PoolSettings("session", 3, 4, idle_order="any").verify()
        order, minimum = str(caught.exception).split("; ")
        self.assertEqual(order, "idle_order is 'any', and must be one of lifo, fifo")
        self.assertEqual(minimum, "min_connections (4) is over max_connections (3)")


class DoubtfulTests(SynchronousTestCase):
    """What can be followed, and hardly anybody wants.  Both sides of each limit."""

    def test_acquire(self):
        """Under a second, waiting ends before a lost packet was sent again."""
        self.assertEqual(texts(acquire_timeout=1, validation_timeout=0.5), [])
        (text,) = texts(acquire_timeout=0.9, validation_timeout=0.5)
        self.assertTrue(text.startswith("acquire_timeout (0.9 s) is under 1 s: a new connection takes"), text)

    def test_health_checks(self):
        """Checks that are closer than ten seconds are many, and the sentence says how many."""
        self.assertEqual(texts(health_check_interval=10), [])
        self.assertEqual(texts(health_check_interval=4, max_connections=50), [
            "health_check_interval (4 s) is under 10 s: that makes up to 12.5 checks a second of one server",
        ])  # fmt: skip

    def test_max_idle_under_idle(self):
        """An idle time-out that the longest idle time forestalls."""
        self.assertEqual(texts(max_idle_time=60), [])
        self.assertEqual(texts(max_idle_time=59, eviction_interval=30), [
            "max_idle_time (59 s) is under idle_timeout (60 s), which then never comes to pass",
        ])  # fmt: skip

    def test_lifetime_under_idle(self):
        """A longest idle time that the lifetime forestalls."""
        self.assertEqual(texts(max_lifetime=300), [])
        self.assertEqual(texts(max_lifetime=299), [
            "max_lifetime (299 s) is under max_idle_time (300 s), which then never comes to pass",
        ])  # fmt: skip

    def test_eviction(self):
        """Looks that are too rare to keep what max_idle_time promises."""
        self.assertEqual(texts(eviction_interval=300), [])
        self.assertEqual(texts(eviction_interval=301), [
            "eviction_interval (301 s) is over max_idle_time (300 s): a connection may stay idle for 601 s",
        ])  # fmt: skip

    def test_validation(self):
        """A validation that may take longer than waiting may."""
        self.assertEqual(texts(validation_timeout=5), [])
        (text,) = texts(validation_timeout=6)
        self.assertTrue(text.startswith("validation_timeout (6 s) is over acquire_timeout (5 s): "), text)

    def test_nothing_warm(self):
        """Preconnect that keeps nothing is on_demand; a session pool without a minimum is an ordinary one."""
        found = problems(PoolSettings("preconnect", min_connections=0))
        self.assertEqual([(each.names, each.impossible) for each in found], [(("min_connections",), False)])
        self.assertEqual(texts(min_connections=0), [])

    def test_other_modes(self):
        """What a mode does not look at is not judged."""
        for mode in ("on_demand", "preconnect"):
            odd = PoolSettings(mode, health_check_interval=1, max_idle_time=1, eviction_interval=9)
            self.assertEqual(problems(odd), [])
