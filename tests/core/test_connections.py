"""The record of a connection, and the ledger of all."""

from __future__ import annotations

from collections import Counter

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import PAST, Connection, Counted, Ledger, Reason, Totals


@define
class Moving:
    """Bytes that are counted while they move."""

    bytes_in: int = 0
    bytes_out: int = 0

    def unsent(self) -> int:
        return 0

    def in_flight(self) -> int:
        return 0


def connection(number: int = 1, listener: str = "front", started: float = 10.0) -> Connection:
    return Connection(
        f"ab-{number}", f"192.0.2.1:{number}", "192.0.2.1", listener, "echo", started, 1_700_000_000.0
    )


class ConnectionTests(SynchronousTestCase):
    def test_first_reason_stands(self) -> None:
        """The first word on why it ends stands; later ones are consequences."""
        one = connection()
        one.because(Reason.IDLE, "no byte")
        one.because(Reason.CLIENT_RESET)
        self.assertEqual((one.reason, one.detail), (Reason.IDLE, "no byte"))

    def test_duration(self) -> None:
        """It lasts from its acceptance to now, and no longer than to its end."""
        one = connection()
        self.assertEqual(one.duration(12.5), 2.5)
        one.ended = 13.0
        self.assertEqual(one.duration(99.0), 3.0)

    def test_idle(self) -> None:
        """It is idle since the look at which bytes had last moved, either way."""
        one = connection()
        one.traffic = moving = Moving()
        self.assertEqual(one.idle(15.0), 5.0)
        moving.bytes_out = 1
        self.assertEqual(one.idle(16.0), 0.0)
        self.assertEqual(one.idle(18.0), 2.0)
        moving.bytes_in = 1
        self.assertEqual(one.idle(20.0), 0.0)

    def test_touch(self) -> None:
        """Its idle time can be counted anew."""
        one = connection()
        one.traffic = Moving()
        one.touch(12.0)
        self.assertEqual(one.idle(15.0), 3.0)

    def test_stalled(self) -> None:
        """Bytes that were taken and then arrive show that it lives; when neither moves it is stalled."""
        one = connection()
        one.traffic = Moving(7, 7)
        on_their_way = [500]
        one.on_its_way = lambda: on_their_way[0]
        self.assertFalse(one.stalled(10.0, 5.0))  # the first look sees the counters move
        self.assertFalse(one.stalled(14.0, 5.0))
        self.assertFalse(one.stalled(15.0, 5.0))  # something is on its way: it may yet arrive
        on_their_way[0] = 300
        self.assertFalse(one.stalled(20.0, 5.0))
        self.assertFalse(one.stalled(24.0, 5.0))
        self.assertTrue(one.stalled(25.0, 5.0))

    def test_resting(self) -> None:
        """While its service says that it may rest it is not stalled; then its time counts anew."""
        one = connection()
        one.traffic = Moving()
        resting = [True]
        one.rests = lambda: resting[0]
        self.assertTrue(one.may_rest)
        self.assertFalse(one.stalled(100.0, 5.0))
        resting[0] = False
        self.assertFalse(one.may_rest or one.stalled(104.0, 5.0))
        self.assertTrue(one.stalled(105.0, 5.0))

    def test_held_back(self) -> None:
        """While something waits for bandwidth it is not stalled, though nothing moves for long."""
        one = connection()
        one.traffic = Moving()
        waits = True
        one.held_back = lambda: waits
        self.assertFalse(one.stalled(100.0, 5.0))
        waits = False
        self.assertFalse(one.is_held_back or one.stalled(104.0, 5.0))
        self.assertTrue(one.stalled(105.0, 5.0))

    def test_stuck(self) -> None:
        """A peer that takes nothing more is found between its time-out and a quarter of it later, and what is
        on its way is asked for four times in all, and once when that is over.
        """
        one, asked = connection(), []
        one.traffic = Moving()

        def on_its_way() -> int:
            asked.append(1)
            return 500

        one.on_its_way = on_its_way
        ages = [age for age in range(150) if one.stalled(10.0 + age, 100.0)]
        self.assertEqual(ages[0], 125)
        self.assertTrue(one.stuck)
        self.assertEqual(len(asked), 5 + len(ages) - 1)

    def test_stalled_with_nothing_on_its_way(self) -> None:
        """With nothing on its way it is stalled at its idle time-out, and asked no more once it has ended."""
        one, ledger = connection(), Ledger()
        one.traffic = Moving()
        self.assertTrue(one.stalled(15.0, 5.0))
        self.assertFalse(one.stuck)
        one.on_its_way = lambda: 1
        ledger.open(one)
        ledger.close(one, 16.0)
        self.assertIsNone(one.on_its_way)
        self.assertEqual(one.traffic.unsent(), 0)

    def test_stalled_asks_once_while_nothing_moves(self) -> None:
        """Where nothing is on its way it is not asked again before something moves, or at the end."""
        one = connection()
        one.traffic = moving = Moving()
        asked: list[int] = []
        second = 0

        def on_its_way() -> int:
            asked.append(second)
            return 0

        one.on_its_way = on_its_way
        for second in range(141):
            moving.bytes_in = second > 40
            self.assertFalse(one.stalled(10.0 + second, 100.0))
        second = 141
        self.assertTrue(one.stalled(10.0 + second, 100.0))
        self.assertEqual(asked, [25, 66, 141])

    def test_uncounted_is_never_idle(self) -> None:
        """Of a transport that does not count, nothing is known: it is not idle."""
        self.assertEqual(connection().idle(1000.0), 0.0)


class LedgerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ledger = Ledger()

    def test_open_and_close(self) -> None:
        """A connection is in the ledger from its opening to its end."""
        one = connection()
        self.ledger.open(one)
        self.assertIs(self.ledger.get("ab-1"), one)
        self.assertEqual((len(self.ledger), list(self.ledger)), (1, [one]))
        self.ledger.close(one, 12.0)
        self.assertIsNone(self.ledger.get("ab-1"))
        self.assertEqual((one.ended, one.reason), (12.0, Reason.CLIENT_CLOSED))
        self.assertEqual(repr(self.ledger), "<Ledger open=0 ended=1>")

    def test_close_twice(self) -> None:
        """An end that is told twice counts once."""
        one = connection()
        self.ledger.open(one)
        self.ledger.close(one, 12.0)
        self.ledger.close(one, 99.0)
        self.assertEqual(one.ended, 12.0)
        self.assertEqual(self.ledger.totals("front").ended, {Reason.CLIENT_CLOSED: 1})

    def test_gives_memory_back(self) -> None:
        """The older half of those that have ended is forgotten, at last all; open ones and sums stay."""
        records = [connection(number) for number in range(6)]
        for each in records:
            self.ledger.open(each)
        for each in records[:5]:
            self.ledger.close(each, 12.0)
        known = []
        for _ in range(4):
            self.ledger.shrink()
            known.append([each.id for each in records if self.ledger.find(each.id)])
        self.assertEqual(known, [["ab-3", "ab-4", "ab-5"], ["ab-4", "ab-5"], ["ab-5"], ["ab-5"]])
        self.assertEqual(self.ledger.totals("front").ended, {Reason.CLIENT_CLOSED: 5})

    def test_counts_become_final(self) -> None:
        """The bytes of an ended connection are kept when its transport goes on to something else."""
        one = connection()
        one.traffic = moving = Moving(3, 4)
        self.ledger.open(one)
        self.ledger.close(one, 12.0)
        moving.bytes_in = 99
        self.assertEqual(one.traffic, Counted(3, 4))

    def test_sums(self) -> None:
        """The sums of a listener hold what ended, what was refused, and the bytes of what is open."""
        first, second, third = connection(1), connection(2), connection(3, "back")
        for one in (first, second, third):
            one.traffic = Moving(10, 100)
            self.ledger.open(one)
        first.because(Reason.CUT)
        self.ledger.close(first, 12.0)
        self.ledger.refuse("front", "connections_per_ip")
        self.ledger.refuse_request("front", "message_rate")
        self.ledger.would_refuse("front", "connection_rate")
        sums = self.ledger.by_listener()
        expected = Totals(
            accepted=2, open=1, refused=Counter(connections_per_ip=1), ended=Counter({Reason.CUT: 1}),
            bytes_in=20, bytes_out=200, seconds=2.0, refused_requests=Counter(message_rate=1),
            would_refuse=Counter(connection_rate=1),
        )  # fmt: skip
        self.assertEqual(sums["front"], expected)
        self.assertEqual(sums["back"], Totals(1, 1, bytes_in=10, bytes_out=100))
        self.assertEqual(self.ledger.totals("front"), sums["front"])

    def test_sums_are_a_copy(self) -> None:
        """What is done to the sums that were given out changes nothing in the ledger."""
        self.ledger.refuse("front", "connections_per_ip")
        self.ledger.totals("front").refused.clear()
        self.assertEqual(self.ledger.totals("front").refused, {"connections_per_ip": 1})

    def test_unknown_listener(self) -> None:
        """A listener that nobody came to has sums of nothing."""
        self.assertEqual(self.ledger.totals("none"), Totals())

    def test_ends_while_looked_at(self) -> None:
        """Connections may end while one goes through them."""
        for number in range(3):
            self.ledger.open(connection(number))
        for one in self.ledger:
            self.ledger.close(one, 11.0)
        self.assertEqual(len(self.ledger), 0)

    def test_found_behind_its_end(self) -> None:
        """A connection is found while it is open and when it has ended; one that never was is not."""
        one = connection()
        self.assertIsNone(self.ledger.find("ab-1"))
        self.ledger.open(one)
        self.assertIs(self.ledger.find("ab-1"), one)
        self.ledger.close(one, 12.0)
        self.assertIsNone(self.ledger.get("ab-1"))
        self.assertIs(self.ledger.find("ab-1"), one)

    def test_the_last_ones_are_found(self) -> None:
        """A thousand connections that have ended are known; behind them the one that ended first goes, not
        the one that came first.
        """
        for number in range(PAST + 1):
            self.ledger.open(connection(number))
        first, *others = self.ledger
        for one in (*others, first):
            self.assertIs(self.ledger.find("ab-1"), others[0])
            self.ledger.close(one, 12.0)
        self.assertEqual(PAST, 1000)
        self.assertIsNone(self.ledger.find("ab-1"))
        self.assertIs(self.ledger.find("ab-2"), others[1])
        self.assertIs(self.ledger.find("ab-0"), first)

    def test_none_are_kept(self) -> None:
        """With room for none, one that has ended is not known; the sums count it all the same."""
        self.ledger, one = Ledger(0), connection()
        self.ledger.open(one)
        self.ledger.close(one, 12.0)
        self.assertIsNone(self.ledger.find("ab-1"))
        self.assertEqual(self.ledger.totals("front").accepted, 1)
