"""What the tests of a client share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import RequestLost

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tests.net.client.pair import Pair


class ClientCase(SynchronousTestCase):
    """Something to ask with."""

    def lost(self, answer: Deferred[Any]) -> bool:
        """A request that failed without an answer: whether it may have run."""
        error = self.failureResultOf(answer, RequestLost).value
        assert isinstance(error, RequestLost)
        return error.may_have_run

    def over(self, pair: Pair) -> None:
        """Close the client; nothing is left."""
        self.assertEqual(pair.close(), [None])
        self.assertEqual(pair.client.asked, {})
        self.assertEqual(pair.clock.getDelayedCalls(), [])
