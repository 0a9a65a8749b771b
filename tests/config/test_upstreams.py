"""Tests for tcpsuite.config.upstreams."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.interfaces import IHealthCheck
from tests.config.support import GATEWAY, Folder

HERE = "tests.config.test_upstreams"


@implementer(IHealthCheck)
class OwnCheck:
    """A health check."""

    def __init__(self, reactor: Any, timeout: float) -> None:
        raise AssertionError("it is not built to be looked at")

    def check(self, server: Any) -> Deferred[Any]:
        """Never called."""
        raise NotImplementedError


class Undeclared:
    """Something that is built like a health check."""

    def __init__(self, reactor: Any, timeout: float) -> None:
        pass


class UndeclaredPool:
    """Something that is built like a pool."""

    def __init__(self, server: Any, endpoint: Any, reactor: Any, **options: Any) -> None:
        pass


def balancer(chance: Random, bound: float) -> None:
    """Wants more than it is given."""


def broken(chance: Random) -> None:
    """Raises in two lines."""
    raise RuntimeError("of\nno use")


def a_hook(lease: Any) -> None:
    """Called with a lease."""


class UpstreamCase(SynchronousTestCase):
    """An upstream in a file, and settings over it."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def doubts(self, **options: str) -> list[str]:
        return self.folder.lines(self.folder.load(GATEWAY, *self.settings(options)).doubts)

    def broken(self, **options: str) -> list[str]:
        return self.folder.lines(self.folder.load(GATEWAY, *self.settings(options)).broken)

    def settings(self, options: dict[str, str]) -> list[str]:
        return [f"upstream.pg.{name.replace('__', '.')}={value}" for name, value in options.items()]


class SilentTests(UpstreamCase):
    """Options that say nothing as the rest is."""

    def test_strategies(self) -> None:
        """bounded_load without ip_hash, slow_start and weights with first."""
        self.assertEqual(
            self.doubts(bounded_load="1.5"),
            ["--set: upstream.pg.bounded_load: it says nothing with strategy round_robin"],
        )
        self.assertEqual(
            self.doubts(**{"strategy": "first", "slow_start": "10s", "servers[0].weight": "2"}),
            [
                "--set: upstream.pg.slow_start: it says nothing with strategy first",
                "--set: upstream.pg.servers[0].weight: it says nothing with strategy first",
            ],
        )

    def test_affinity(self) -> None:
        """How clients are remembered, when they are not; and that they are, where a hash leads them."""
        given = {"affinity_timeout": "1m", "affinity_entries": "10"}
        self.assertEqual(
            self.doubts(**given),
            [f"--set: upstream.pg.{option}: it says nothing with affinity off" for option in given],
        )
        self.assertEqual(self.doubts(affinity="ip", **given), [])
        self.assertEqual(
            self.doubts(affinity="ip", strategy="ip_hash"),
            [
                (
                    "--set: upstream.pg.affinity: strategy ip_hash leads a client to one server already, "
                    "and remembers nothing"
                )
            ],
        )

    def test_what_is_heard(self) -> None:
        """Where they say something they are not doubted; a weight of 0 says something to all."""
        self.assertEqual(self.doubts(strategy="ip_hash", bounded_load="1.5", slow_start="10s"), [])
        self.assertEqual(self.doubts(**{"strategy": "first", "servers[0].weight": "0"}), [])
        self.assertEqual(self.doubts(health__mode="active", cut_when_down="true"), [])

    def test_modes(self) -> None:
        """Each mode of health says what it does not look at: nobody is asked, or nobody judged."""
        given = {"health__type": "redis", "health__rise": "3", "health__ejection_errors": "3"}
        for mode, silent in (
            ("hybrid", []),
            ("active", ["ejection_errors"]),
            ("passive", ["type", "rise"]),
            ("none", ["type", "rise", "ejection_errors"]),
        ):
            self.assertEqual(
                self.doubts(health__mode=mode, **given),
                [
                    f"--set: upstream.pg.health.{option}: it says nothing with mode {mode}"
                    for option in silent
                ],
            )

    def test_nobody_goes_down(self) -> None:
        """Only who is asked goes down, and is cut."""
        for mode in ("passive", "none"):
            self.assertEqual(
                self.doubts(health__mode=mode, cut_when_down="true"),
                [f"--set: upstream.pg.cut_when_down: it says nothing with health.mode {mode}"],
            )

    def test_times_that_do_not_matter(self) -> None:
        """Times that do not go together are told only where they are kept."""
        self.assertEqual(
            self.doubts(health__mode="passive", health__interval="1s"),
            ["--set: upstream.pg.health.interval: it says nothing with mode passive"],
        )
        self.assertEqual(
            self.doubts(health__mode="active", health__ejection_time="10m"),
            ["--set: upstream.pg.health.ejection_time: it says nothing with mode active"],
        )


class UnusableTests(UpstreamCase):
    """What is somebody's own, and is not what it is named for: a start would fail."""

    def test_balancer(self) -> None:
        """A balancer is built; what comes of that is told in one line."""
        own = "tcpsuite.core.balancing.turns:First"
        self.assertEqual(self.broken(strategy=own), [])
        (line,) = self.broken(strategy="json:loads")
        self.assertTrue(
            line.startswith("--set: upstream.pg.strategy: json:loads cannot be used: the JSON "), line
        )
        (line,) = self.broken(strategy=f"{HERE}:broken")
        self.assertTrue(line.endswith(" cannot be used: of no use"), line)
        (line,) = self.broken(strategy="builtins:id")
        self.assertIn("builtins:id cannot be used: The object ", line)
        (line,) = self.broken(strategy=f"{HERE}:balancer")
        self.assertIn("missing 1 required positional argument: 'bound'", line)

    def test_check(self) -> None:
        """A check is not built: it must take what it is called with, and a class say what it implements."""
        self.assertEqual(self.broken(health__type=f"{HERE}:OwnCheck"), [])
        (line,) = self.broken(health__type="os:getcwd")
        self.assertEqual(
            line,
            "--set: upstream.pg.health.type: os:getcwd cannot be used: it is called with reactor and "
            "timeout, and too many positional arguments",
        )
        (line,) = self.broken(health__type=f"{HERE}:Undeclared")
        self.assertTrue(
            line.endswith("Undeclared cannot be used: it does not say that it implements IHealthCheck")
        )
        self.assertEqual(self.broken(health__type="os:getcwd", health__mode="passive"), [])

    def test_unknown_call(self) -> None:
        """What does not tell how it can be called is left to the start."""
        self.assertEqual(self.broken(health__type="builtins:max"), [])

    def test_hooks(self) -> None:
        """What is called with a lease must take one, in the modes that call it."""
        mode = {"pool__mode": "session"}
        unused = GATEWAY.replace('service = "gateway"\nupstream = "pg"', 'service = "echo"')

        def broken(**options: str) -> list[str]:
            return self.folder.lines(self.folder.load(unused, *self.settings(options)).broken)

        self.assertEqual(broken(**mode, pool__reset="redis", pool__validate=f"{HERE}:a_hook"), [])
        for option in ("prepare", "reset", "validate"):
            own = {"pool__reset": "redis"} | {f"pool__{option}": "os:getpid"}
            (line,) = broken(**mode, **own)
            self.assertEqual(
                line,
                f"--set: upstream.pg.pool.{option}: os:getpid cannot be used: it is called with lease, and "
                "too many positional arguments",
            )
        self.assertEqual(broken(pool__validate="os:getpid"), [])

    def test_pool(self) -> None:
        """A pool is not built: it must take what it is called with, and a class say what it implements."""
        self.assertEqual(self.broken(pool__provider="tcpsuite.net.pool:ConnectionPool"), [])
        (line,) = self.broken(pool__provider="os:getpid")
        self.assertEqual(
            line,
            "--set: upstream.pg.pool.provider: os:getpid cannot be used: it is called with server, endpoint, "
            "reactor, settings= and connect_timeout=, and too many positional arguments",
        )
        (line,) = self.broken(pool__provider=f"{HERE}:UndeclaredPool")
        self.assertTrue(
            line.endswith("Pool cannot be used: it does not say that it implements IConnectionPool"), line
        )
