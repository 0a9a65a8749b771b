"""What a pool's observer is told."""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import EVICTIONS, End
from tcpsuite.core.pooling.events import Destroyed, Leaked


class EventTests(SynchronousTestCase):
    """Records of what happened."""

    def test_may_be_kept_and_compared(self):
        """An event is the same for every observer: it cannot be changed, and reads as what happened."""
        event = Leaked(7, "report", 60.0)
        self.assertEqual({event, Leaked(7, "report", 60.0)}, {event})
        with self.assertRaises(FrozenInstanceError):
            event.holder = "another"  # type: ignore[misc]
        self.assertEqual(repr(event), "Leaked(connection=7, holder='report', seconds=60.0)")
        self.assertNotEqual(Destroyed(7, End.LOST), Destroyed(7, End.USES))

    def test_evictions_are_time_s_doing(self):
        """What a server, a taker or an error ends is no eviction."""
        self.assertEqual({end.value for end in EVICTIONS}, {"aged", "max_idle", "idle_time", "lifetime"})
