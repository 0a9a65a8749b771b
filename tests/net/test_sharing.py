"""Tests for tcpsuite.net.sharing: whoever asks the others is woken when there is something to ask."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.sharing import SharedLimiter
from tests.support.limit_store import Process, Store

CLIENT = "192.0.2.1"


class Asking:
    """Counts how often it was woken, and asks when it is told to."""

    def __init__(self) -> None:
        self._process = Process("a", Store())
        self.sharing = self._process.sharing
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def ask(self) -> None:
        self._process.talk()


class SharedLimiterTests(SynchronousTestCase):
    def make(self, **options: Any) -> SharedLimiter:
        self.asking = Asking()
        return SharedLimiter(LimitsOptions(**options), "db", self.asking)

    def test_woken(self) -> None:
        """A connection, a login, a request of somebody new has something asked; while enough is reserved
        nothing is.
        """
        limiter = self.make(
            shared=("connections_per_ip", "connection_rate", "connections_per_user", "message_rate"),
            connection_rate=10.0,
            connections_per_user=100,
        )
        for number, step in enumerate(
            (
                lambda: limiter.admit(CLIENT, 0.0),
                lambda: limiter.admit_user("ann", 0.0),
                lambda: limiter.spend(CLIENT, 1, 0.0),
            ),
            1,
        ):
            for _ in range(2):
                step()
                self.asking.ask()
            self.assertEqual(self.asking.woken, number)

    def test_one_alone(self) -> None:
        """Of each limit that is shared alone those wake whom it counts, and nobody else."""
        for limit, counted in (
            ("connections_per_ip", 0),
            ("connection_rate", 0),
            ("connections_per_user", 1),
            ("message_rate", 2),
        ):
            limiter = self.make(shared=(limit,), connection_rate=10.0)
            woken = []
            for step in (
                lambda limiter=limiter: limiter.admit(CLIENT, 0.0),
                lambda limiter=limiter: limiter.admit_user("ann", 0.0),
                lambda limiter=limiter: limiter.spend(CLIENT, 1, 0.0),
            ):
                before = self.asking.woken
                step()
                woken.append(self.asking.woken - before)
                self.asking.ask()
            self.assertEqual(woken, [int(each == counted) for each in range(3)], limit)

    def test_what_is_not_shared(self) -> None:
        """What is counted here alone wakes nobody."""
        limiter = self.make(shared=("connections_per_user",))
        for _ in range(200):
            limiter.admit(CLIENT, 0.0)
            limiter.spend(CLIENT, 1, 0.0)
        self.assertEqual(self.asking.woken, 0)
        self.assertFalse(limiter.admit(CLIENT, 0.0).allowed)

    def test_dry_run(self) -> None:
        """One that is only tried tells that it would have refused, and counts whom it let in."""
        limiter = self.make(
            connections_per_ip=10, shared=("connections_per_ip",), dry_run=("connections_per_ip",), batch=0.1
        )
        verdicts = [limiter.admit(CLIENT, 0.0) for _ in range(20)]
        self.assertEqual([bool(verdict.limit) for verdict in verdicts], [False] + [True] * 19)
        self.assertTrue(all(verdict.allowed for verdict in verdicts))
        self.asking.ask()
        (use,) = limiter.top(9, 0.0)
        self.assertEqual((use.limit, use.used, use.allowed), ("connections_per_ip", 20, 10))
        for verdict in verdicts:
            limiter.release(verdict)
        self.assertEqual(limiter.top(9, 0.0), [])

    def test_terms(self) -> None:
        """Each limit is shared as the options say: so much at a time, and who is refused without Redis."""
        limiter = self.make(
            shared=("connections_per_ip", "message_rate"),
            batch=0.5,
            local_share=0.25,
            refuse_when_away=("message_rate",),
        )
        places, tokens = limiter.shared.connections_per_ip, limiter.shared.message_rate
        assert places is not None
        assert tokens is not None
        self.assertEqual((places.name, tokens.name), ("db:connections_per_ip", "db:message_rate"))
        self.assertEqual([each.terms.batch_of(100) for each in (places, tokens)], [50, 50])
        self.assertEqual([each.terms.alone_of(100) for each in (places, tokens)], [25, 0])
