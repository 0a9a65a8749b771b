"""Transports in transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.wrappers import beneath


class BeneathTests(SynchronousTestCase):
    def test_beneath(self) -> None:
        """However many wrappers there are, the transport beneath them is found; it is its own without any."""
        stream: Any = StringTransport()
        self.assertIs(beneath(stream), stream)
        outermost = stream
        for _ in range(2):
            wrapper: Any = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
            wrapper.makeConnection(outermost)
            outermost = wrapper
        self.assertIs(beneath(outermost), stream)

    def test_of_nothing(self) -> None:
        """Beneath no transport there is none."""
        self.assertIsNone(beneath(None))
