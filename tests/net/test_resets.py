"""What is said to a server so that it forgets who was connected."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.servers import Server
from tcpsuite.errors import ProtocolError
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.resets import reset_redis
from tcpsuite.testing.endpoints import ScriptedEndpoint


class ResetRedisTests(SynchronousTestCase):
    """RESET."""

    def setUp(self):
        endpoint = ScriptedEndpoint()
        acquired = ConnectionPool(Server("a", "tcp:192.0.2.1:1"), endpoint, Clock()).acquire()
        self.server = endpoint.accept()
        self.done = reset_redis(self.successResultOf(acquired))

    def test_asks_in_the_protocol_of_redis(self):
        """It is one command, and done when all of its answer has come, in however many pieces."""
        self.assertEqual(self.server.value(), b"*1\r\n$5\r\nRESET\r\n")
        for byte in b"+RESET\r":
            self.server.say(bytes([byte]))
            self.assertNoResult(self.done)
        self.server.say(b"\n")
        self.assertIsNone(self.successResultOf(self.done))

    def test_another_answer_is_a_failure(self):
        """A server that does not know it, or says more, has not forgotten."""
        self.server.say(b"-ERR unknown command 'RESET'\r\n")
        error = self.failureResultOf(self.done, ProtocolError)
        self.assertIn("unknown command", str(error.value))

    def test_more_than_the_answer_is_a_failure(self):
        """What is left of the client before comes first, and is no answer to this."""
        self.server.say(b"+OK\r\n+RESET\r\n")
        self.failureResultOf(self.done, ProtocolError)

    def test_a_lost_connection_is_a_failure(self):
        """Nobody waits for an answer that cannot come; what comes behind one changes nothing."""
        self.server.lose(ConnectionLost())
        self.failureResultOf(self.done, ConnectionLost)

    def test_what_comes_late_changes_nothing(self):
        """When it is done it is done."""
        self.server.say(b"+RESET\r\n")
        self.server.say(b"more")
        self.server.lose(ConnectionLost())
        self.assertIsNone(self.successResultOf(self.done))
