"""Which server each client had last, and how long that is remembered."""

from __future__ import annotations

from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.affinity import LOOKS, STALE, SWEEP, Home, StickTable

ANN, BEN, CEM = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class StickTableTests(SynchronousTestCase):
    """A table for three clients, and for ten seconds."""

    def setUp(self) -> None:
        self.table = StickTable(timeout=10.0, most=3)

    def home(self, key: str, now: float) -> str | None:
        """The server of a client."""
        return self.table.find(key, now)

    def test_remembers(self) -> None:
        """A client is at home where it was led to last; of another one nothing is known."""
        self.table.lead(ANN, "a", 0.0)
        self.table.lead(BEN, "b", 0.0)
        self.table.lead(ANN, "c", 1.0)
        self.assertEqual([self.home(key, 1.0) for key in (ANN, BEN, CEM)], ["c", "b", None])
        self.assertEqual(repr(self.table), "<StickTable 2 of 3>")

    def test_forgets_in_time(self) -> None:
        """A client is forgotten when it was not led anywhere for as long as the time-out."""
        self.table.lead(ANN, "a", 0.0)
        self.table.lead(ANN, "a", 5.0)
        self.assertEqual(self.home(ANN, 14.999), "a")
        self.assertIsNone(self.home(ANN, 15.0))

    def test_a_connection_is_a_use(self) -> None:
        """While a client has a connection it is not forgotten; its time begins when the last one ends."""
        self.table.lead(ANN, "a", 0.0)
        self.table.enter(ANN)
        self.table.enter(ANN)
        self.table.leave(ANN, 50.0)
        self.assertEqual(self.home(ANN, 1000.0), "a")
        self.table.leave(ANN, 1000.0)
        self.assertEqual((self.home(ANN, 1009.0), self.home(ANN, 1010.0)), ("a", None))

    def test_what_is_over_is_taken_out(self) -> None:
        """With each new client some are taken out whose time is over; the others when somebody looks."""
        table = StickTable(timeout=10.0, most=100)
        for number in range(20):
            table.lead(f"{number}", "a", 0.0)
        table.lead("late", "a", 9.0)
        for _ in range(2):
            table.lead("new", "a", 10.0)  # who is known brings nothing about
        self.assertEqual(len(table), 22 - STALE)
        self.assertTrue(table.expire(10.0, 5))
        self.assertEqual(len(table), 17 - STALE)
        self.assertFalse(table.expire(10.0, SWEEP))
        self.assertEqual(len(table), 2)
        table.expire(1000.0, SWEEP)
        self.assertEqual(len(table), 0)

    def test_bounded(self) -> None:
        """Past the bound the client is forgotten that was not used for longest."""
        for now, key in enumerate((ANN, BEN, CEM)):
            self.table.lead(key, "a", now)
        self.table.lead(ANN, "a", 3.0)
        self.table.lead("new", "a", 4.0)
        self.assertEqual([self.home(key, 4.0) for key in (ANN, BEN, CEM, "new")], ["a", None, "a", "a"])

    def test_who_has_a_connection_stays(self) -> None:
        """Past the bound who has a connection is passed over, however old it is, for one that has none."""
        self.table.lead(ANN, "a", 0.0)
        self.table.enter(ANN)
        for now, key in enumerate((BEN, CEM, "dan", "eve"), 1):
            self.table.lead(key, "a", now)
        self.assertEqual([self.home(key, 4.0) for key in (ANN, BEN, CEM)], ["a", None, None])
        self.assertEqual(len(self.table), 3)

    def test_all_have_a_connection(self) -> None:
        """The bound holds also when everybody has a connection; those of a client that was forgotten stay
        counted, and count again when it comes back.
        """
        table = StickTable(most=LOOKS + 1)
        keys = [f"{number}" for number in range(LOOKS + 1)]
        for key in keys:
            table.lead(key, "a", 0.0)
            table.enter(key)
        table.lead("new", "a", 1.0)
        self.assertEqual(len(table), LOOKS + 1)
        (forgotten,) = (key for key in keys if table.find(key, 1.0) is None)
        table.leave(forgotten, 2.0)
        table.enter(forgotten)
        table.lead(forgotten, "b", 3.0)
        self.assertEqual(list(table.homes([forgotten, "none"], 9.0)), [Home(forgotten, "b", 0.0, 1)])
        table.leave(forgotten, 10.0)
        self.assertEqual(list(table.homes([forgotten], 11.0)), [Home(forgotten, "b", 1.0, 0)])

    def test_forget(self) -> None:
        """One is forgotten, or all are; how many were known is told."""
        for key in (ANN, BEN, CEM):
            self.table.lead(key, "a", 0.0)
        self.assertEqual((self.table.forget(ANN), self.table.forget(ANN)), (True, False))
        self.assertEqual((self.table.clear(), self.table.clear()), (2, 0))
        self.assertEqual(len(self.table), 0)

    def test_restored(self) -> None:
        """What was known is known again, those who were there last first; what is over is not."""
        known = [Home(f"{number}", "b", 10.0 - number) for number in range(4)]
        self.table.lead("before", "a", 10.0)
        self.table.restore([Home("late", "a", 1.0), Home("over", "a", 15.0), *known], 10.0)
        self.assertEqual(set(self.table.keys()), {"2", "3", "late"})
        self.assertEqual(list(self.table.homes(["2"], 11.0)), [Home("2", "b", 9.0)])
        self.table.lead("new", "c", 10.0)
        self.assertEqual([self.home(key, 10.0) for key in ("2", "3", "late")], [None, "b", "a"])
        self.table.restore([Home("over", "a", 15.0)], 10.0)
        self.assertEqual(self.table.keys(), [])


@define
class Known:
    """A client as the model knows it."""

    server: str
    used: float


class StickTableMachine(RuleBasedStateMachine):
    """The table does what a list does that is looked through from its beginning each time."""

    MOST = 6
    TIMEOUT = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.table = StickTable(self.TIMEOUT, self.MOST)
        self.model: list[tuple[str, Known]] = []
        self.open: list[str] = []
        self.now = 0.0

    def known(self, key: str) -> Known | None:
        return next((known for name, known in self.model if name == key), None)

    def drop(self, known: Known) -> None:
        self.model = [each for each in self.model if each[1] is not known]

    def to_the_end(self, known: Known) -> None:
        (each,) = (each for each in self.model if each[1] is known)
        self.drop(known)
        self.model.append(each)
        known.used = self.now

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from("abcdefghijkl"), server=st.sampled_from("xy"), connect=st.booleans())
    def lead(self, key: str, server: str, connect: bool) -> None:
        known = self.known(key)
        if known is None:
            for _ in range(STALE):
                if self.model and self.now - self.model[0][1].used >= self.TIMEOUT:
                    self.pass_over_or_forget()
            if len(self.model) >= self.MOST:
                had = len(self.model)
                for _ in range(LOOKS):
                    if len(self.model) == had:
                        self.pass_over_or_forget()
                if len(self.model) == had:
                    del self.model[0]
            known = Known(server, self.now)
            self.model.append((key, known))
        known.server = server
        self.to_the_end(known)
        self.table.lead(key, server, self.now)
        if connect:
            self.open.append(key)
            self.table.enter(key)

    def pass_over_or_forget(self) -> None:
        key, oldest = self.model[0]
        if key in self.open:
            self.to_the_end(oldest)
        else:
            del self.model[0]

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        key = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if (known := self.known(key)) is not None:
            self.to_the_end(known)
        self.table.leave(key, self.now)

    @rule(key=st.sampled_from("abcdefghijkl"))
    def forget(self, key: str) -> None:
        known = self.known(key)
        assert self.table.forget(key) is (known is not None)
        if known is not None:
            self.drop(known)

    @rule(most=st.integers(0, 4))
    def expire(self, most: int) -> None:
        for _ in range(most):
            if self.model and self.now - self.model[0][1].used >= self.TIMEOUT:
                self.pass_over_or_forget()
        self.table.expire(self.now, most)

    @rule()
    def restart(self) -> None:
        """All is as it was, without connections; who had one has used it up to now.  Of those who were last
        there at one time any may be first.
        """
        homes = list(self.table.homes(self.table.keys(), self.now))
        self.table = StickTable(self.TIMEOUT, self.MOST)
        self.table.restore(homes, self.now)
        order = self.table.keys()
        used = {key: self.now if key in self.open else known.used for key, known in self.model}
        self.model = [
            (key, Known(known.server, used[key]))
            for key, known in self.model
            if self.now - used[key] < self.TIMEOUT
        ]
        self.model.sort(key=lambda each: (each[1].used, order.index(each[0])))
        self.open.clear()

    @invariant()
    def they_agree(self) -> None:
        assert set(self.table.keys()) == {key for key, _ in self.model}
        assert len(self.table) == len(self.model) <= self.MOST
        expected = {
            Home(key, known.server, 0.0 if key in self.open else self.now - known.used, self.open.count(key))
            for key, known in self.model
            if key in self.open or self.now - known.used < self.TIMEOUT
        }
        assert set(self.table.homes("abcdefghijkl", self.now)) == expected
        for key in "abcdefghijkl":
            server = next((home.server for home in expected if home.key == key), None)
            assert self.table.find(key, self.now) == server


StickTableMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
StickTableModelTests = StickTableMachine.TestCase
