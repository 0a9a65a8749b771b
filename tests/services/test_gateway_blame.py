"""What a gateway blames a server for, on transports of strings."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tcpsuite.core.connections import Reason
from tests.services.test_gateway import GatewayCase


class BlameTests(GatewayCase):
    """A client and a server that are joined, and one of them resets."""

    def setUp(self):
        super().setUp()
        self.far = self.endpoint.accept()

    def blamed(self):
        """How many resets the server is blamed for, and its last error."""
        return self.server.resets, self.server.last_error

    def test_a_server_that_resets_without_a_word_is_at_fault(self):
        """A server that takes a client's connection only to reset it is blamed for that, in words."""
        self.client.say(b"question")
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertEqual(self.blamed(), (1, "reset before it said a word"))

    def test_a_reset_behind_an_answer_is_no_fault(self):
        """A server that resets when it has answered is not blamed: the client may have asked for it."""
        self.far.say(b"-ERR that is no command of mine")
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertIs(self.record.reason, Reason.SERVER_RESET)
        self.assertEqual(self.blamed(), (0, ""))

    def test_a_reset_behind_a_fin_is_no_fault(self):
        """Behind the end of either side a server is not blamed; what the client has ended is its end."""
        self.client.finish()
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertIs(self.record.reason, Reason.CLIENT_CLOSED)
        self.assertEqual(self.blamed(), (0, ""))

    def test_a_reset_behind_its_own_fin_is_no_fault(self):
        """A server that finished without a word may reset what comes too late."""
        self.far.finish()
        self.client.say(b"too late")
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertIs(self.record.reason, Reason.SERVER_RESET)
        self.assertEqual(self.blamed(), (0, ""))

    def test_a_reset_behind_the_client_that_left_is_no_fault(self):
        """What a server does to a connection whose client is gone is nobody's concern."""
        self.client.lose(ConnectionLost())
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertIs(self.record.reason, Reason.CLIENT_RESET)
        self.assertEqual(self.blamed(), (0, ""))
