"""Reading the access log back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.access_log import json_line
from tcpsuite.admin.log_reading import read_log
from tcpsuite.core.connections import Attempt, Connection, Counted, Reason
from tcpsuite.core.simulation import Event

BAD_LINES = ["2026-11-21T07:35:24.065Z id=66bfba-3", "[]", "5", '{"listener": "db"}', "\ud800"]
WRONG: list[dict[str, object]] = [
    {"listener": []},
    {"time": "yesterday"},
    {"time": "2026-11-21T07:35:24"},
    {"time": 5},
    {"seconds": -1},
    {"seconds": float("nan")},
    {"peer": None},
    {"peer": "192.0.2.7"},
    {"bytes_in": "many"},
    {"bytes_in": float("inf")},
    {"attempts": ["a"]},
    {"attempts": None},
]
"""What no line says."""


def line(**given: object) -> str:
    """The line of a connection that lasted for two seconds and a half, as it is written."""
    values: dict[str, object] = {
        "id": "ab-1",
        "peer": "192.0.2.7:4711",
        "host": "192.0.2.7",
        "listener": "db",
        "service": "gateway",
        "server": "a",
        "started": 10.0,
        "ended": 12.5,
        "opened_at": 0.0,
        "traffic": Counted(3, 4),
        "reason": Reason.CLIENT_CLOSED,
        "attempts": (Attempt("b", "refused", 0.5), Attempt("a", "", 0.002)),
    }
    return json_line(Connection(**(values | given)), 1_700_000_002.75)  # type: ignore[arg-type]


class ReadLogTests(SynchronousTestCase):
    def test_what_was_written(self) -> None:
        """A line tells when a connection began, how long it lasted, whose it was, where it went, what it
        moved, and how long its server took to connect.
        """
        (event,) = read_log([line()], {"db"}).events
        self.assertAlmostEqual(event.at, 1_700_000_000.25)
        self.assertEqual(event, Event(event.at, 2.5, "192.0.2.7", "a", 7, 0.002))

    def test_peers(self) -> None:
        """The client is its address, of either kind; a UNIX peer has none."""
        peers = ("[2001:db8::1]:4711", "unix", "unix:/run/x:1")
        found = read_log([line(peer=peer) for peer in peers], {"db"})
        self.assertEqual([event.client for event in found.events], ["2001:db8::1", "", ""])

    def test_no_server(self) -> None:
        """A connection that got no server is one all the same; what it took elsewhere tells nothing."""
        attempts = (Attempt("b", "refused", 0.5),)
        lines = [
            line(server="", reason=Reason.NO_SERVER, attempts=()),
            line(server="", attempts=attempts, reason=Reason.CONNECT_FAILED),
        ]
        found = read_log(lines, {"db"})
        self.assertEqual([(event.server, event.connect) for event in found.events], [("", None)] * 2)

    def test_others(self) -> None:
        """Other listeners' connections, and those that a limit refused, are left out and counted."""
        found = read_log([line(listener="web"), line(reason=Reason.LIMITED, server=""), line()], {"db"})
        self.assertEqual((len(found.events), found.others, found.bad), (1, 2, 0))

    def test_bad_lines(self) -> None:
        """Lines that are no JSON access log's are counted, the first is named; empty ones do not count."""
        values = json.loads(line())
        bad = [*BAD_LINES, line()[:-10], *(json.dumps(values | wrong) for wrong in WRONG)]
        for each in bad:
            self.assertEqual(read_log(["", line(), each, line()], {"db"}).first_bad, 3, each)
        found = read_log([line(), "\n", *bad, b"\xff\xfe", line()], {"db"})
        self.assertEqual((len(found.events), found.bad, found.first_bad), (2, len(bad) + 1, 3))

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """Whatever stands in the file, it is read to its end."""
        found = read_log([data, line()], {"db"})
        self.assertEqual(len(found.events), 1)
