"""What an observer of sessions is told."""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.session_events import Destroyed, EventCounts, Expired, Left, Opened, Refused


class EventTests(SynchronousTestCase):
    """Records of what happened."""

    def test_may_be_kept_and_compared(self) -> None:
        """An event is the same for every observer: it cannot be changed, and reads as what happened."""
        event = Refused("alice", "full")
        self.assertEqual({event, Refused("alice", "full")}, {event})
        with self.assertRaises(FrozenInstanceError):
            event.user = "bob"  # type: ignore[misc]
        self.assertEqual(repr(event), "Refused(user='alice', code='full')")
        self.assertNotEqual(Left(b"1", "alice"), Destroyed(b"1", "alice"))

    def test_counted(self) -> None:
        """Sessions are counted by what became of them, a sweep's all at once, and refusals by their code."""
        counts = EventCounts()
        self.assertEqual(
            counts.figures(),
            {"opened": 0, "resumed": 0, "left": 0, "destroyed": 0, "expired": 0, "refused": {}},
        )
        for event in (Opened(b"1", "ann"), Opened(b"2", "ann"), Left(b"1", "ann"), Expired(7), Expired(2)):
            counts.note(event)
        for code in ("full", "full", "user"):
            counts.note(Refused("ben", code))
        self.assertEqual(
            repr(counts),
            "<EventCounts {'opened': 2, 'resumed': 0, 'left': 1, 'destroyed': 0, 'expired': 9, "
            "'refused': {'full': 2, 'user': 1}}>",
        )
