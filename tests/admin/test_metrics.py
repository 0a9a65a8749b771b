"""The metrics page, as those who read it understand it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.metrics import families
from tcpsuite.admin.process import ProcessFigures
from tcpsuite.admin.status import gather
from tcpsuite.core.metrics import render
from tcpsuite.errors import StoreFailed
from tests.admin.support import FakeSessions, FakeSharedLimits, FakeSuite, busy_suite

CHANGES = {("cache", "drain"): 2}


def page(suite: FakeSuite | None = None) -> str:
    clock = Clock()
    clock.advance(10)
    gathering = gather(suite or busy_suite(), clock)
    try:
        gathering.send(None)
    except StopIteration as stop:
        return render(
            families(stop.value, ProcessFigures.read(), changes=CHANGES, refusals={401: 3})
        ).decode()
    raise AssertionError("it waited")


def value(name: str, **labels: str) -> float:
    """The one sample of that name with all of these labels."""
    (found,) = (
        sample.value
        for family in text_string_to_metric_families(page())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return float(found)


class MetricsTests(SynchronousTestCase):
    def test_shared_limits(self) -> None:
        """Who shares no limits is not told of; else whether they are counted alone, and with how many."""
        self.assertNotIn("tcpsuite_limits_alone", page())
        suite = busy_suite()
        suite.shared_limits = FakeSharedLimits()
        found = page(suite)
        for line in (
            "tcpsuite_limits_alone 1",
            "tcpsuite_limits_others 2",
            "tcpsuite_limits_questions_total 70",
        ):
            self.assertIn(f"\n{line}\n", found)

    def test_listeners(self) -> None:
        """A listener's connections, bytes and refusals are told, the bytes of open connections included."""
        self.assertEqual(value("tcpsuite_connections_open", listener="db", service="gateway"), 1)
        self.assertEqual(value("tcpsuite_connections_open", listener="echo"), 0)
        self.assertEqual(value("tcpsuite_connections_accepted_total", listener="db"), 2)
        self.assertEqual(value("tcpsuite_connections_ended_total", listener="db", reason="server_closed"), 1)
        self.assertEqual(value("tcpsuite_connections_ended_total", listener="echo", reason="idle"), 0)
        self.assertEqual(value("tcpsuite_connections_refused_total", limit="connections_per_ip"), 1)
        self.assertEqual(value("tcpsuite_requests_refused_total", listener="db", limit="message_rate"), 1)
        self.assertEqual(value("tcpsuite_limits_would_refuse_total", limit="connection_rate"), 1)
        self.assertEqual(value("tcpsuite_connection_seconds_total", listener="db"), 2.5)
        self.assertEqual(value("tcpsuite_received_bytes_total", listener="db"), 15)
        self.assertEqual(value("tcpsuite_sent_bytes_total", listener="db"), 150)
        self.assertEqual(value("tcpsuite_listener_accepting", listener="db"), 1)
        self.assertEqual(value("tcpsuite_listener_accepting", listener="echo"), 0)
        self.assertEqual(value("tcpsuite_listener_limit", listener="db", limit="connections"), 10_000)

    def test_upstreams(self) -> None:
        """A server's health, connections and pool are told."""
        labels = {"upstream": "cache", "server": "b"}
        self.assertEqual(value("tcpsuite_upstream_ready", upstream="cache"), 1)
        self.assertEqual(value("tcpsuite_server_up", **labels), 1)
        self.assertEqual(value("tcpsuite_server_connections_total", **labels), 7)
        self.assertEqual(value("tcpsuite_server_failures_total", **labels), 2)
        self.assertEqual(value("tcpsuite_server_resets_total", **labels), 3)
        self.assertEqual(value("tcpsuite_server_weight", **labels), 0.25)
        self.assertEqual(value("tcpsuite_server_checks_total", outcome="failed", **labels), 1)
        self.assertEqual(value("tcpsuite_pool_connections", state="warm", **labels), 2)
        self.assertEqual(value("tcpsuite_pool_events_total", event="created", **labels), 9)
        self.assertEqual(value("tcpsuite_pool_waiting", **labels), 4)
        self.assertEqual(value("tcpsuite_pool_wait_seconds_total", **labels), 1.5)
        self.assertNotIn('event="open"', page())

    def test_affinity(self) -> None:
        """Who is remembered, and what picks came to; nothing where nobody is."""
        self.assertNotIn("tcpsuite_affinity", page())
        suite = busy_suite()
        picks = {"kept": 5, "new": 3, "draining": 1}
        suite.upstreams["cache"].affinity = {"entries": 2, "most": 100, "picks": picks}
        text = page(suite)
        for line in (
            'entries{upstream="cache"} 2',
            'max_entries{upstream="cache"} 100',
            'picks_total{outcome="kept",upstream="cache"} 5',
            'picks_total{outcome="draining",upstream="cache"} 1',
        ):
            self.assertIn(f"\ntcpsuite_affinity_{line}\n", text)

    def test_traffic_control(self) -> None:
        """What keeps clients from a server is told: an operator's word, an ejection, a queue, a pause; and
        how many were moved, turned away, and what was changed.
        """
        labels = {"upstream": "cache", "server": "b"}
        self.assertEqual(value("tcpsuite_server_administration", state="drain", **labels), 1)
        self.assertEqual(value("tcpsuite_server_administration", state="ready", **labels), 0)
        self.assertEqual(value("tcpsuite_server_ejected", **labels), 1)
        self.assertEqual(value("tcpsuite_server_full", **labels), 0)
        self.assertEqual(value("tcpsuite_upstream_paused", upstream="cache"), 1)
        self.assertEqual(value("tcpsuite_upstream_waiting", upstream="cache"), 4)
        self.assertEqual(value("tcpsuite_upstream_longest_wait_seconds", upstream="cache"), 1.5)
        self.assertEqual(value("tcpsuite_upstream_turned_away_total", why="timed_out"), 5)
        self.assertEqual(value("tcpsuite_upstream_turned_away_total", why="refused"), 6)
        self.assertEqual(value("tcpsuite_upstream_retries_total", outcome="made"), 8)
        self.assertEqual(value("tcpsuite_upstream_retries_total", outcome="denied"), 9)
        self.assertEqual(value("tcpsuite_changes_total", upstream="cache", change="drain"), 2)

    def test_ourselves(self) -> None:
        """The process itself is told of."""
        self.assertEqual(value("tcpsuite_build_info"), 1)
        self.assertEqual(value("tcpsuite_ready"), 1)
        self.assertEqual(value("tcpsuite_reactor_lag_seconds"), 0.25)
        self.assertGreater(value("process_resident_memory_bytes"), 1_000_000)
        self.assertGreater(value("process_start_time_seconds"), 1_600_000_000)
        self.assertGreaterEqual(value("process_open_fds"), 3)
        self.assertGreater(value("process_max_fds"), 3)

    def test_sessions(self) -> None:
        """Sessions are told of by what is stored, by what uses them, and by what became of them."""
        for name, expected in (
            ("tcpsuite_session_store_up", 1),
            ("tcpsuite_sessions_stored", 3),
            ("tcpsuite_session_users", 2),
            ("tcpsuite_sessions_in_use", 1),
            ("tcpsuite_sessions_connected", 0),
            ("tcpsuite_sessions_longest_age_seconds", 3600.123),
            ("tcpsuite_sessions_longest_idle_seconds", 59.9),
            ("tcpsuite_session_requests_total", 70),
        ):
            self.assertEqual(value(name), expected, name)
        for event, number in (("opened", 9), ("resumed", 8), ("left", 7), ("destroyed", 4), ("expired", 2)):
            self.assertEqual(value("tcpsuite_session_events_total", event=event), number)
        self.assertEqual(value("tcpsuite_session_refusals_total", code="no-session"), 2)
        for state, number in (("attached", 5), ("finished", 3), ("detached", 4)):
            self.assertEqual(value("tcpsuite_session_attachments", state=state), number)
        for event, number in (("made", 20), ("taken_over", 2), ("given_up", 6)):
            self.assertEqual(value("tcpsuite_session_attachment_events_total", event=event), number)

    def test_sessions_without_their_store(self) -> None:
        """While the store is away, what it alone knows is not told, and the rest is."""
        told = page(FakeSuite(sessions=FakeSessions(fail(StoreFailed("away")))))
        for line in ("session_store_up 0", "sessions_in_use 1", 'session_events_total{event="opened"} 9'):
            self.assertIn(f"\ntcpsuite_{line}", told)
        for name in ("sessions_stored", "session_users", "sessions_longest_age_seconds"):
            self.assertNotIn(f"tcpsuite_{name} ", told)

    def test_overload(self) -> None:
        """Memory, its limit, and what is done about it and about the lag, are told by cause and step."""
        self.assertEqual(value("tcpsuite_memory_used_bytes"), 1_030_792_151)
        self.assertEqual(value("tcpsuite_memory_limit_bytes"), 2**30)
        self.assertEqual(value("tcpsuite_overload_active", cause="memory", step="shrink"), 1)
        self.assertEqual(value("tcpsuite_overload_active", cause="memory", step="pause"), 0)
        self.assertEqual(value("tcpsuite_overload_begun_total", cause="memory", step="shrink"), 2)
        self.assertEqual(value("tcpsuite_overload_begun_total", cause="lag", step="pause"), 0)

    def test_empty(self) -> None:
        """A process that serves nothing has a page, and no family without a sample."""
        parsed = list(text_string_to_metric_families(page(FakeSuite(sessions=None))))
        self.assertTrue(parsed)
        self.assertEqual([family.name for family in parsed if not family.samples], [])

    def test_labels_do_not_grow(self) -> None:
        """No peer's doing adds a line: only a reason, a limit or a name from the file does."""
        suite = busy_suite()
        before = page(suite).count("\n")
        (here,) = suite.ledger
        here.peer, here.user, here.detail = "elsewhere", "somebody", "something"
        self.assertEqual(page(suite).count("\n"), before)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="install prometheus for promtool")
def test_promtool() -> None:
    """promtool accepts the page, and has nothing to remark."""
    for suite in (busy_suite(), FakeSuite()):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=page(suite), capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
