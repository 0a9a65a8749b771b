"""The search for a server: how patient it is, and what is noted of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import First
from tcpsuite.core.balancing.turns import FIRST
from tcpsuite.core.choosing import Choice
from tcpsuite.core.connections import Attempt
from tcpsuite.core.picks import Pick
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.core.servers import Server
from tcpsuite.errors import ConnectFailed, NoServer, PoolExhausted
from tcpsuite.net.rule import Rule
from tcpsuite.net.search import Patience, Search
from tests.support.upstreams import record

if TYPE_CHECKING:
    from collections.abc import Mapping


A, B = Server("a", "tcp:192.0.2.1:1"), Server("b", "tcp:192.0.2.2:1")


class PatienceTests(SynchronousTestCase):
    def test_for_each_reason(self) -> None:
        """Who waits does so as long as its reason says, and hears it in the words of the reason."""
        patience = Patience(queue_timeout=1.5, hold_timeout=2.0, pause_timeout=60.0)
        limits = {WhyHeld.PAUSED: 60.0, WhyHeld.FULL: 1.5, WhyHeld.NONE_UP: 2.0, WhyHeld.RETRIES: 1.5}
        self.assertEqual({why: patience.limit(why) for why in WhyHeld}, limits)
        errors = {
            WhyHeld.PAUSED: PoolExhausted("upstream db held clients back for 60 s"),
            WhyHeld.FULL: PoolExhausted("the servers of db were full for 1.5 s"),
            WhyHeld.NONE_UP: NoServer("all down, for 2 s"),
            WhyHeld.RETRIES: PoolExhausted("the servers of db were full for 1.5 s"),
        }
        found = {why: patience.late(why, "db", "all down") for why in WhyHeld}
        self.assertEqual({why: repr(error) for why, error in found.items()}, _reprs(errors))

    def test_without_any(self) -> None:
        """Who may not wait is not told for how long it has."""
        patience = Patience(queue_timeout=0.0, pause_timeout=0.0)
        self.assertEqual(str(patience.late(WhyHeld.FULL, "db", "")), "the servers of db were full")
        self.assertEqual(str(patience.late(WhyHeld.PAUSED, "db", "")), "upstream db held clients back")


class SearchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.record = record()
        self.rule = Rule(First(random.Random(1)))
        self.search = Search("192.0.2.7", self.record, self.rule)

    def test_all_is_noted(self) -> None:
        """Each pick, each attempt, and all its time of waiting are in the record."""
        choice, nobody = Choice(("a", "b")), Choice(())
        self.search.picked(A, choice, FIRST)
        self.search.attempted(A, "refused", 0.5)
        self.search.found_none(nobody)
        self.search.waited(WhyHeld.PAUSED, 2.0)
        self.search.waited(WhyHeld.FULL, 1.0)
        refused = Attempt("a", "refused", 0.5)
        self.assertEqual(self.record.picks, (Pick(choice, "a", FIRST, refused), Pick(nobody)))
        self.assertEqual(self.record.attempts, (refused,))
        self.assertEqual((self.record.held, self.record.held_why), (3.0, "full"))

    def test_nothing_is_noted(self) -> None:
        """Who searches without a record is searched for all the same."""
        search = Search("", None, self.rule)
        search.picked(A, Choice(("a",)))
        search.found_none(Choice(()))
        search.attempted(A, "", 0.5)
        search.waited(WhyHeld.FULL, 1.0)
        self.assertIsNone(search.record)

    def test_the_latest_are_kept(self) -> None:
        """Of very many attempts a hundred are kept, each beside the pick that it came from."""
        for number in range(151):
            server = (A, B)[number % 2]
            self.search.picked(server, Choice((server.name,)))
            if number < 150:
                self.search.attempted(server, str(number), 0.1)
        self.assertEqual((len(self.record.picks), len(self.record.attempts)), (100, 100))
        self.assertIsNone(self.record.picks[-1].attempt)
        for number, pick in enumerate(self.record.picks[:-1], 51):
            assert pick.attempt is not None
            self.assertEqual((pick.attempt.server, pick.attempt.error), (pick.server, str(number)))

    def test_in_vain(self) -> None:
        """The error says why there was none to try; or names all that were tried, and why each failed."""
        self.assertEqual(repr(self.search.failure("all down")), repr(NoServer("all down")))
        self.search.tried.update({A: ConnectFailed("refused"), B: ConnectFailed("no answer")})
        expected = ConnectFailed("a: refused, b: no answer")
        self.assertEqual(repr(self.search.failure("all down")), repr(expected))

    def test_all_lent(self) -> None:
        """When all that were tried have lent all they have, the error says that, and blames none."""
        self.search.tried.update({A: PoolExhausted("10 of 10 in use")})
        expected = PoolExhausted("a: 10 of 10 in use")
        self.assertEqual(repr(self.search.failure("all down")), repr(expected))


def _reprs(errors: Mapping[WhyHeld, Exception]) -> dict[WhyHeld, str]:
    return {why: repr(error) for why, error in errors.items()}
