"""What an observer of sessions is told."""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.session_events import Destroyed, Left, Refused


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
