"""When a server that real connections find broken is left out, and for how long."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.ejection import TRUSTED, Ejection, Ejector


def faults(ejector: Ejector, server: str, number: int, now: float) -> Ejection | None:
    """So many faults of one server; what the last one brings about."""
    found = None
    for _ in range(number):
        assert found is None
        found = ejector.observe(server, False, now, "refused")
    return found


class EjectorTests(SynchronousTestCase):
    """The servers of one upstream."""

    def setUp(self) -> None:
        self.ejector = Ejector("abcd")

    def test_five_faults_in_a_row_eject_for_ten_seconds(self) -> None:
        """The fifth fault ejects, until 10 s later, with the reason; before that nothing happens."""
        self.assertIsNone(faults(self.ejector, "a", 4, 1.0))
        self.assertEqual(
            self.ejector.observe("a", False, 2.0, "refused"),
            Ejection("a", 12.0, 10.0, "5 faults in a row: refused"),
        )
        self.assertEqual(self.ejector.ejected, ("a",))
        self.assertEqual(repr(self.ejector), "<Ejector 1 of 4 out>")

    def test_a_success_between_begins_anew(self) -> None:
        """Faults count only in a row, and those of one server are not another's."""
        faults(self.ejector, "a", 4, 1.0)
        self.assertIsNone(self.ejector.observe("a", True, 1.0))
        self.assertIsNone(faults(self.ejector, "a", 4, 1.0))
        self.assertIsNone(faults(self.ejector, "b", 4, 1.0))
        self.assertIsNotNone(faults(self.ejector, "a", 1, 1.0))

    def test_returns_when_its_time_is_over(self) -> None:
        """``due`` says when, ``returning`` names it then, once, and not before."""
        self.assertIsNone(self.ejector.due())
        faults(self.ejector, "a", 5, 1.0)
        faults(self.ejector, "b", 5, 3.0)
        self.assertEqual(self.ejector.due(), 11.0)
        self.assertEqual(self.ejector.returning(10.9), ())
        self.assertEqual(self.ejector.returning(11.0), ("a",))
        self.assertEqual(self.ejector.returning(11.0), ())
        self.assertEqual(self.ejector.due(), 13.0)
        self.assertEqual(self.ejector.returning(20.0), ("b",))
        self.assertIsNone(self.ejector.due())

    def test_nothing_counts_while_it_is_out(self) -> None:
        """What is heard of a server that is out makes its time no longer, and leaves nothing behind."""
        faults(self.ejector, "a", 5, 1.0)
        for ok in (False, True, False, False, False, False):
            self.assertIsNone(self.ejector.observe("a", ok, 5.0))
        self.assertEqual(self.ejector.returning(11.0), ("a",))
        self.assertIsNone(faults(self.ejector, "a", 4, 11.0))

    def test_each_further_time_is_twice_as_long(self) -> None:
        """10, 20, 40, 80, 160 seconds, then 300 each time."""
        now, lasted = 0.0, []
        for _ in range(8):
            ejection = faults(self.ejector, "a", 5, now)
            assert ejection is not None
            lasted.append(ejection.seconds)
            now = ejection.until
            self.ejector.returning(now)
        self.assertEqual(lasted, [10, 20, 40, 80, 160, 300, 300, 300])

    def test_a_stretch_without_a_fault_takes_one_doubling_back(self) -> None:
        """After 40 s out, 79 s without a fault make the next time 40 s again, 80 s make it 20."""
        for well, expected in ((39.0, 80.0), (79.0, 40.0), (80.0, 20.0), (1000.0, 10.0)):
            ejector, now = Ejector("ab"), 0.0
            for _ in range(3):
                ejection = faults(ejector, "a", 5, now)
                assert ejection is not None
                now = ejection.until
                ejector.returning(now)
            again = faults(ejector, "a", 5, now + well)
            assert again is not None
            self.assertEqual(again.seconds, expected, well)

    def test_faults_that_come_again_and_again_are_no_stretch_of_health(self) -> None:
        """A single fault every 9 s, successes between, keeps what a server has earned by 10 s out."""
        faults(self.ejector, "a", 5, 0.0)
        self.ejector.returning(10.0)
        for now in range(19, 1000, 9):
            self.ejector.observe("a", False, float(now))
            self.ejector.observe("a", True, float(now))
        again = faults(self.ejector, "a", 5, 1000.0)
        assert again is not None
        self.assertEqual(again.seconds, 20.0)

    def test_at_most_half_are_out(self) -> None:
        """Of four servers two may be out, of three and two one, of one none."""
        for names, most in (("abcd", 2), ("abc", 1), ("ab", 1), ("a", 0)):
            ejector = Ejector(names)
            for server in names:
                for _ in range(20):
                    ejector.observe(server, False, 1.0)
            self.assertEqual(ejector.ejected, tuple(names[:most]))

    def test_a_fault_that_finds_room_ejects(self) -> None:
        """Faults for which there was no room are not forgotten: the next one behind a return ejects."""
        ejector = Ejector("ab")
        faults(ejector, "a", 5, 1.0)
        faults(ejector, "b", 9, 2.0)
        ejector.returning(11.0)
        self.assertEqual(
            ejector.observe("b", False, 12.0, "reset"), Ejection("b", 22.0, 10.0, "10 faults in a row: reset")
        )

    def test_one_server_more_is_room_for_one_more(self) -> None:
        """An added server counts; adding it twice changes nothing of what is known."""
        ejector = Ejector("a")
        faults(ejector, "a", 9, 1.0)
        ejector.add("b")
        ejector.add("a")
        self.assertIsNotNone(ejector.observe("a", False, 1.0))
        ejector.add("a")
        self.assertEqual(ejector.ejected, ("a",))

    def test_what_is_removed_makes_others_return(self) -> None:
        """When too many of those left would be out, the first to return does so now."""
        faults(self.ejector, "a", 5, 1.0)
        faults(self.ejector, "b", 5, 2.0)
        self.assertEqual(self.ejector.remove("c", 3.0), ("a",))
        self.assertEqual(self.ejector.ejected, ("b",))
        self.assertEqual(self.ejector.remove("b", 4.0), ())
        self.assertEqual(self.ejector.remove("b", 4.0), ())
        self.assertEqual(self.ejector.ejected, ())

    def test_nobody_knows_who_is_not_there(self) -> None:
        """What is heard of a server that is not among them is ignored."""
        self.ejector.remove("a", 0.0)
        for _ in range(9):
            self.assertIsNone(self.ejector.observe("a", False, 1.0))

    def test_options(self) -> None:
        """How many faults, how long at first and at most, can be said; a shortest above it is the longest."""
        ejector = Ejector("ab", errors=1, shortest=3.0, longest=4.0)
        self.assertEqual(ejector.observe("a", False, 0.0), Ejection("a", 3.0, 3.0, "1 fault"))
        ejector.returning(3.0)
        self.assertEqual(ejector.observe("a", False, 3.0), Ejection("a", 7.0, 4.0, "1 fault"))
        ejector = Ejector("ab", errors=1, shortest=30.0, longest=4.0)
        self.assertEqual(ejector.observe("a", False, 0.0), Ejection("a", 30.0, 30.0, "1 fault"))


class DoubtTests(SynchronousTestCase):
    """Two servers.  What may be a client's doing ejects none of them by itself."""

    def setUp(self) -> None:
        self.ejector = Ejector("ab")

    def doubts(self, number: int, now: float = 1.0) -> list[bool]:
        """Of so many doubts about one, which have it asked."""
        return [self.ejector.suspect("a", now) for _ in range(number)]

    def test_enough_of_them_have_it_asked(self) -> None:
        """The fifth in a row has the server asked; while it is asked nobody asks again."""
        self.assertEqual(self.doubts(9), [False] * 4 + [True] + [False] * 4)
        self.assertEqual(self.ejector.ejected, ())

    def test_not_well(self) -> None:
        """A server that was asked and is not well is ejected as by faults; back, it begins anew."""
        self.doubts(5)
        self.assertEqual(
            self.ejector.answered("a", False, 2.0, "it is mute"),
            Ejection("a", 12.0, 10.0, "5 faults in a row, and a check failed: it is mute"),
        )
        self.assertEqual(self.doubts(9, 3.0), [False] * 9)
        self.assertEqual(self.ejector.returning(12.0), ("a",))
        self.assertEqual(self.doubts(5, 12.0), [False] * 4 + [True])

    def test_well(self) -> None:
        """A server that is well is not ejected, nor asked again for a while, however its clients go on."""
        self.doubts(5)
        self.assertIsNone(self.ejector.answered("a", True, 2.0))
        self.assertEqual(self.doubts(99, 1.9 + TRUSTED), [False] * 99)
        self.assertEqual(self.doubts(1, 2.0 + TRUSTED), [True])

    def test_faults_among_them(self) -> None:
        """Doubts make no faults of faults: a few of these and many doubts have the server asked, five faults
        eject it whatever it answers.
        """
        self.assertIsNone(faults(self.ejector, "a", 3, 1.0))
        self.assertEqual(self.doubts(2), [False, True])
        self.assertIsNone(self.ejector.answered("a", True, 1.0))
        self.assertIsNone(faults(self.ejector, "a", 1, 1.0))
        self.assertIsNotNone(faults(self.ejector, "a", 1, 1.0))

    def test_a_success_between(self) -> None:
        """What went well takes doubts back, those too about which it is being asked."""
        self.doubts(4)
        self.ejector.observe("a", True, 1.0)
        self.assertEqual(self.doubts(5), [False] * 4 + [True])
        self.ejector.observe("a", True, 1.0)
        self.assertIsNone(self.ejector.answered("a", False, 1.0, "refused"))
        self.assertEqual(self.doubts(5), [False] * 4 + [True])

    def test_no_room(self) -> None:
        """Where no more may be ejected nobody is asked; nor is who was asked before that ejected."""
        self.doubts(5)
        faults(self.ejector, "b", 5, 1.0)
        self.assertIsNone(self.ejector.answered("a", False, 1.0, "refused"))
        self.assertEqual(self.doubts(5), [False] * 5)

    def test_unknown(self) -> None:
        """An answer that nobody has asked for, or about a server that is gone, is of no interest."""
        self.assertIsNone(self.ejector.answered("a", False, 1.0))
        self.doubts(5)
        self.ejector.remove("a", 1.0)
        self.assertIsNone(self.ejector.answered("a", False, 1.0))
        self.assertFalse(self.ejector.suspect("a", 1.0))

    def test_ejected_meanwhile(self) -> None:
        """Faults that eject it while it is asked have decided: the answer changes nothing."""
        self.doubts(5)
        self.assertIsNotNone(faults(self.ejector, "a", 5, 1.0))
        self.assertIsNone(self.ejector.answered("a", True, 1.0))
        self.assertEqual(self.ejector.ejected, ("a",))


NAMES = st.sampled_from("abcdef")


class AnyHistory(RuleBasedStateMachine):
    """Servers that come, go, fail and recover in any order, beside the plainest account of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ejector = Ejector("abc", errors=3, shortest=10.0, longest=60.0)
        self.rows = dict.fromkeys("abc", 0)
        self.out: dict[str, float] = {}

    @rule(server=NAMES, number=st.integers(1, 4))
    def fail(self, server: str, number: int) -> None:
        """Nobody is ejected without enough faults in a row, nor for less or longer than was said."""
        for _ in range(number):
            counts = server in self.rows and server not in self.out
            ejection = self.ejector.observe(server, False, self.now)
            if not counts:
                assert ejection is None
                continue
            self.rows[server] += 1
            room = len(self.out) < len(self.rows) // 2
            assert (ejection is not None) == (self.rows[server] >= 3 and room)
            if ejection is not None:
                assert 10.0 <= ejection.seconds <= 60.0
                assert ejection.until == self.now + ejection.seconds
                self.out[server] = ejection.until

    @rule(server=NAMES, number=st.integers(1, 4), ok=st.booleans())
    def doubt(self, server: str, number: int, ok: bool) -> None:
        """Nobody is ejected for doubts that was asked and is well; who is not well only if there is room."""
        asked = True in [self.ejector.suspect(server, self.now) for _ in range(number)]
        if asked:
            assert server in self.rows
            assert server not in self.out
            assert len(self.out) < len(self.rows) // 2
        ejection = self.ejector.answered(server, ok, self.now)
        assert (ejection is not None) == (asked and not ok)
        if ejection is not None:
            assert 10.0 <= ejection.seconds <= 60.0
            self.out[server] = ejection.until

    @rule(server=NAMES)
    def succeed(self, server: str) -> None:
        """A success ejects nobody."""
        assert self.ejector.observe(server, True, self.now) is None
        if server in self.rows and server not in self.out:
            self.rows[server] = 0

    @rule(seconds=st.floats(0.1, 100.0))
    def wait(self, seconds: float) -> None:
        """Exactly those return whose time is over."""
        self.now += seconds
        expected = {server for server, until in self.out.items() if until <= self.now}
        assert set(self.ejector.returning(self.now)) == expected
        self.came_back(expected)

    @rule(server=NAMES)
    def add(self, server: str) -> None:
        """A server more."""
        self.ejector.add(server)
        self.rows.setdefault(server, 0)

    @rule(server=NAMES)
    def remove(self, server: str) -> None:
        """A server less: others return only as far as there is no room for them."""
        self.rows.pop(server, None)
        self.out.pop(server, None)
        back = self.ejector.remove(server, self.now)
        assert len(back) == max(0, len(self.out) - len(self.rows) // 2)
        self.came_back(set(back))

    def came_back(self, servers: set[str]) -> None:
        for server in servers:
            del self.out[server]
            self.rows[server] = 0

    @invariant()
    def bounds(self) -> None:
        """Never more than half are out, and each of those has a time at which it returns."""
        assert set(self.ejector.ejected) == set(self.out)
        assert len(self.out) <= len(self.rows) // 2
        assert self.ejector.due() == min(self.out.values(), default=None)

    def teardown(self) -> None:
        """In the end all return."""
        self.ejector.returning(self.now + 60.0)
        assert self.ejector.ejected == ()


AnyHistoryTests = AnyHistory.TestCase
AnyHistoryTests.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
