"""Tests for tcpsuite.admin.mux: what is told of connections that carry streams."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.metrics import families
from tcpsuite.admin.mux import mux_data, mux_families
from tcpsuite.admin.process import ProcessFigures
from tcpsuite.admin.status import gather
from tcpsuite.core.metrics import render
from tcpsuite.net.mux.carriers import Carriers
from tcpsuite.net.mux.endpoints import Trunk
from tcpsuite.net.mux.trunks import trunks_of
from tests.admin.support import busy_suite
from tests.net.mux.ends import Ends, HalfHeard


class Door:
    """One with a connection that carries two streams, and one that was lost."""

    def __init__(self, cause: str, round_trip: float) -> None:
        ends = Ends()
        for _ in range(2):
            ends.open(HalfHeard)
        server, lost = ends.server, Ends().server
        server.mux.round_trip = round_trip
        server.mux.counts["skipped"] = 2
        lost.mux.counts["reset"] = 1
        lost.cause = cause
        self.carriers = Carriers(ends.clock)
        for each in (server, lost):
            self.carriers.add(each)
        self.carriers.lost(lost)


class MuxTests(SynchronousTestCase):
    def test_data(self) -> None:
        """Listeners with several such endpoints are told of as one; those without any are left out."""
        doors: Any = {"edge": [Door("silent", 0.0), Door("silent", 0.5)], "plain": []}
        told = mux_data(doors, {})
        edge = told["listeners"].pop("edge")
        self.assertEqual(told, {"listeners": {}, "trunks": {}})
        self.assertEqual(len(edge.pop("connections")), 2)
        self.assertEqual(
            edge,
            {
                "open": 2, "made": 4, "streams": 4, "unread": 0, "round_trip": 0.5,
                "events": {"skipped": 4, "refused": 0, "reset": 2}, "lost": {"silent": 2},
            },
        )  # fmt: skip

    def test_metrics(self) -> None:
        """Each figure says of which listener it is, or of which trunk."""
        doors: Any = {"edge": [Door("write_timeout", 0.25)]}
        trunk: Any = Trunk(None, Clock())  # type: ignore[arg-type]
        page = render(mux_families(mux_data(doors, {"mux:tcp:core:7379": trunk}))).decode()
        of_edge, of_trunk = 'name="edge",side="listener"', 'name="mux:tcp:core:7379",side="trunk"'
        for line in (
            f"tcpsuite_mux_connections_open{{{of_edge}}} 1",
            f"tcpsuite_mux_connections_open{{{of_trunk}}} 0",
            f"tcpsuite_mux_connections_total{{{of_edge}}} 2",
            f"tcpsuite_mux_streams_open{{{of_edge}}} 2",
            f"tcpsuite_mux_round_trip_seconds{{{of_edge}}} 0.25",
            f'tcpsuite_mux_events_total{{event="skipped",{of_edge}}} 2',
            f'tcpsuite_mux_connections_lost_total{{cause="write_timeout",{of_edge}}} 1',
        ):
            self.assertIn(f"{line}\n", page)
        self.assertNotIn(f"tcpsuite_mux_round_trip_seconds{{{of_trunk}", page)

    def test_of_a_suite(self) -> None:
        """The page of a suite has them, and its metrics."""
        suite, clock = busy_suite(), Clock()
        next(iter(suite.listeners.values())).doors = (Door("silent", 0.0),)
        trunks_of(clock)["mux:tcp:core:1"] = Trunk(None, clock)  # type: ignore[arg-type]
        status = self.successResultOf(Deferred.fromCoroutine(gather(suite, clock)))
        shown = status.as_json(clock.seconds())["mux"]
        (listener,) = shown["listeners"].values()
        self.assertEqual((listener["open"], shown["trunks"]["mux:tcp:core:1"]["open"]), (1, 0))
        page = render(families(status, ProcessFigures.read(), changes={}, refusals={})).decode()
        self.assertIn("tcpsuite_mux_streams_open{", page)
