"""Why a connection went where it went, for programs and for people."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from math import inf, nan
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.explain import HELD, MEANINGS, explanation, tell, tell_whatif, why
from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.connections import Attempt, Connection, Counted, Ledger, Reason
from tcpsuite.core.picks import Pick, Told
from tcpsuite.core.queueing import WhyHeld
from tests.admin.support import connection

FIRST = Choice(("a", "b"), (LeftOut("c", Why.DOWN), LeftOut("d", Why.BACKUP)), ("b",), (1, 0.75))
SECOND = Choice(("a",), (LeftOut("b", Why.TRIED),), (), (1,))
LEAST = Told("the least of it", {"load": {"a": 4, "b": 8 / 3}})


class Broken:
    """A basis that is none."""

    def told(self, choice: Choice, picked: str) -> Told:
        raise ZeroDivisionError("no way")


def moved(**values: Any) -> Connection:
    """A client that waited, met a server that refused, and was moved to another one."""
    return connection(
        7,
        upstream="cache",
        server="a",
        user="ann",
        traffic=Counted(10, 100),
        held=0.0125,
        held_why="full",
        strategy="least_connections",
        picks=(
            Pick(FIRST, "b", LEAST, Attempt("b", "connection refused", 0.0004)),
            Pick(SECOND, "a", attempt=Attempt("a", "", 0.00031)),
        ),
        **values,
    )


class DataTests(SynchronousTestCase):
    def test_moved(self) -> None:
        """All that is known is told: each attempt with what there was to choose from, and its end."""
        record = moved(ended=3.5, reason=Reason.CLIENT_CLOSED, detail="bye")
        self.assertEqual(
            json.loads(json.dumps(explanation(record, 99.0))),
            {
                "id": "ab-7", "peer": "192.0.2.7:7", "listener": "db", "service": "gateway",
                "upstream": "cache", "strategy": "least_connections", "server": "a", "user": "ann",
                "opened": "2023-11-14T22:13:20.000Z", "open": False, "seconds": 2.5,
                "bytes_in": 10, "bytes_out": 100,
                "held": {
                    "milliseconds": 12.5, "why": "full",
                    "meaning": "servers with as many connections as they take",
                },
                "attempts": [
                    {
                        "candidates": ["a", "b"], "slow_start": ["b"],
                        "rule": "the least of it",
                        "figures": {"weight": {"a": 1, "b": 0.75}, "load": {"a": 4, "b": 2.66667}},
                        "left_out": [
                            {"server": "c", "why": "down", "meaning": "its health checks fail"},
                            {
                                "server": "d", "why": "backup",
                                "meaning": "others that come before it may be used",
                            },
                        ],
                        "server": "b", "error": "connection refused", "milliseconds": 0.4,
                    },
                    {
                        "candidates": ["a"], "slow_start": [],
                        "rule": "", "figures": {"weight": {"a": 1}},
                        "left_out": [
                            {
                                "server": "b", "why": "tried",
                                "meaning": "it failed for this client a moment ago",
                            }
                        ],
                        "server": "a", "error": "", "milliseconds": 0.31,
                    },
                ],
                "reason": "client_closed", "detail": "bye",
            },
        )  # fmt: skip

    def test_under_way(self) -> None:
        """A pick whose attempt has not come to an end stands without what it came to."""
        record = connection(1, upstream="cache", picks=(Pick(FIRST, "b", LEAST),))
        (attempt,) = explanation(record, 2.0)["attempts"]
        self.assertEqual((attempt["candidates"], attempt["server"]), (["a", "b"], "b"))
        self.assertEqual((attempt["error"], attempt["milliseconds"]), (None, None))

    def test_a_basis_that_cannot_be_told(self) -> None:
        """What a balancer of somebody's own cannot tell hides nothing else, and what is no number is left
        out.
        """
        weights, unknown = {"weight": {"a": 1}}, Told("by ear", {"heard": {"a": inf, "b": nan}})
        for basis, rule, figures in (
            (Broken(), "what it went by cannot be told: no way", weights),
            (Told("", {"load": 5}), "what it went by cannot be told: ", weights),  # type: ignore[dict-item]
            (unknown, "by ear", {**weights, "heard": {}}),
        ):
            (attempt,) = explanation(connection(1, picks=(Pick(SECOND, "a", basis),)), 2.0)["attempts"]
            self.assertEqual(attempt["rule"][: len(rule)], rule)
            self.assertEqual((attempt["figures"], attempt["candidates"]), (figures, ["a"]))

    def test_words_for_all(self) -> None:
        """There are words for everything that can keep a server or a client back."""
        self.assertEqual((set(MEANINGS), set(HELD)), (set(Why), set(WhyHeld)))


class TextTests(SynchronousTestCase):
    def test_moved(self) -> None:
        """The text tells the story in the order in which it happened."""
        record = moved(ended=3.5, reason=Reason.CLIENT_CLOSED)
        self.assertEqual(
            tell(explanation(record, 99.0)).splitlines(),
            [
                "ab-7: 192.0.2.7:7 at listener db, service gateway, upstream cache, server a, user ann",
                "accepted 2023-11-14T22:13:20.000Z, was open for 2.500 s, 10 bytes in, 100 bytes out",
                "waited 12.5 ms for a server: full, servers with as many connections as they take",
                "1. b: failed after 0.4 ms: connection refused",
                "   candidates: a, b",
                "   by least_connections: the least of it",
                "   weight: a 1, b 0.75",
                "   load: a 4, b 2.66667",
                "   still in their slow start: b",
                "   not c: down, its health checks fail",
                "   not d: backup, others that come before it may be used",
                "2. a: connected in 0.31 ms",
                "   candidates: a",
                "   by least_connections: it does not say why",
                "   weight: a 1",
                "   not b: tried, it failed for this client a moment ago",
                "ended: client_closed",
            ],
        )

    def test_open(self) -> None:
        """One that is open has no end yet; one that is about to end says why."""
        record = connection(1, picks=(Pick(FIRST, "b"),))
        text = tell(explanation(record, 2.0))
        self.assertIn(", open for 1.000 s,", text)
        self.assertIn("1. b: not connected yet\n", text)
        self.assertIn("   by its balancer: it does not say why\n", text)
        self.assertNotIn("end", text)
        record.because(Reason.CUT, "the operator was in a hurry")
        self.assertTrue(tell(explanation(record, 2.0)).endswith("\nends: cut, the operator was in a hurry"))

    def test_nobody(self) -> None:
        """A client for which there was nobody is told who was left out, and why."""
        record = connection(1, picks=(Pick(Choice((), (LeftOut("c", Why.MAINT),))),))
        text = tell(explanation(record, 2.0))
        self.assertIn("1. no server was picked\n   not c: maint, an operator has taken it out", text)

    def test_no_gateway(self) -> None:
        """What is served here has no server."""
        self.assertTrue(tell(explanation(connection(1), 2.0)).endswith("\nno server was chosen for it"))

    def test_no_orders_to_the_terminal(self) -> None:
        """What a peer or a server may have had a hand in is printed, never obeyed; a line stays a line."""
        pick = Pick(SECOND, "a", attempt=Attempt("a", "\x9b2J\u202e", 0.0))
        record = connection(1, user="\x1b]0;x\x07\n1. a", picks=(pick,))
        text = tell(explanation(record, 2.0))
        self.assertTrue(all(line.isprintable() for line in text.splitlines()))
        self.assertIn(r"user \x1b]0;x\x07\n1. a", text)
        self.assertIn(r"\x9b2J\u202e", text)

    def test_whatif(self) -> None:
        """What would be picked is told in the same way."""
        told = {
            "client": "192.0.2.1", "server": "a", "reason": "", "waits": {"why": "", "meaning": ""},
            "affinity": None,
            "candidates": ["a"], "slow_start": [], "strategy": "first", "rule": "the first", "figures": {},
            "left_out": [{"server": "b", "why": "down", "meaning": "its health checks fail"}],
        }  # fmt: skip
        self.assertEqual(
            tell_whatif(told),
            "192.0.2.1 would go to a\n   candidates: a\n   by first: the first\n"
            "   not b: down, its health checks fail",
        )
        for home, said in (
            ({"server": "a", "idle": 2.5, "open": 0}, "its server is a, idle for 2.5 s"),
            ({"server": "a", "idle": 0.0, "open": 1}, "its server is a, 1 connection open"),
            ({"server": "b", "idle": 0.0, "open": 2}, "its server is b, 2 connections open"),
        ):
            line = tell_whatif({**told, "affinity": home}).splitlines()[1]
            self.assertEqual(line, f"   affinity: {said}")
        nobody = {**told, "client": "", "server": None, "reason": "all are down", "candidates": []}
        self.assertEqual(
            tell_whatif(nobody).splitlines()[0], "a client on a UNIX socket would get no server, all are down"
        )


class WhyTests(SynchronousTestCase):
    def test_why(self) -> None:
        """why(id) prints the text, of an open connection and of one that has ended."""
        clock, ledger = Clock(), Ledger()
        record = moved()
        ledger.open(record)
        clock.advance(3.5)
        ask = why(ledger, clock)

        def printed(connection_id: str) -> str:
            with redirect_stdout(io.StringIO()) as output:
                ask(connection_id)
            return output.getvalue()

        self.assertEqual(printed("ab-7"), tell(explanation(record, 3.5)) + "\n")
        ledger.close(record, 3.5)
        self.assertTrue(printed("ab-7").endswith("\nended: client_closed\n"))
        self.assertEqual(printed("ab-8"), "no connection 'ab-8' is open, or has ended of late\n")
