"""A thousand clients that lose the same service at once."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.client import Client, ClientOptions
from tcpsuite.testing.endpoints import ScriptedEndpoint

CLIENTS, STEP = 1000, 0.1


class StormTests(SynchronousTestCase):
    """How many try within the same 100 ms."""

    def tries(self, away: float, until: float, **options: Any) -> Counter[int]:
        """Attempts in each tenth of a second from when the service is back, which is so long after it was
        lost.
        """
        clock, chance = Clock(), Random(7)
        clients = []
        for _ in range(CLIENTS):
            endpoint = ScriptedEndpoint()
            client = Client(
                endpoint, clock, ClientOptions(sign_of_life=0.0, **options), chance=Random(chance.random())
            )
            client.start()
            endpoint.accept()
            clients.append((client, endpoint))
        for _, endpoint in clients:
            endpoint.transports[0].lose(ConnectionLost())
        tries: Counter[int] = Counter()
        for step in range(round(until / STEP)):
            clock.advance(STEP)
            for _, endpoint in clients:
                if endpoint.connecting and step * STEP < away:
                    endpoint.refuse()
                elif endpoint.connecting:
                    endpoint.accept()
                    tries[step] += 1
        self.assertEqual(sum(tries.values()), CLIENTS)
        for client, endpoint in clients:
            client.close()
            endpoint.settle()
        self.assertEqual(clock.getDelayedCalls(), [])
        return tries

    def test_away_for_a_while(self) -> None:
        """A service that was away for 3 s is come back to by no more than 5 % within the same 100 ms."""
        self.assertLessEqual(max(self.tries(3.0, 20.0).values()), CLIENTS * 0.05)

    def test_back_at_once(self) -> None:
        """So it is with one that is back at once, when the first wait is of up to 4 s."""
        self.assertLessEqual(max(self.tries(0.0, 5.0, first_wait=4.0).values()), CLIENTS * 0.05)
