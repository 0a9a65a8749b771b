"""Checks come every second: that one was made is no news."""

from __future__ import annotations

from functools import partial

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.logger import capturedLogs, formatEvent

from tcpsuite.core.scripts.redis import Redis
from tcpsuite.core.servers import Server
from tcpsuite.net.checks.naming import host_namer
from tcpsuite.net.checks.talk import TalkCheck
from tcpsuite.net.checks.tcp import TCPCheck
from tcpsuite.net.checks.tls import TLSCheck
from tests.net.checks.plays import Play, say


@pytest.mark.parametrize(
    "check",
    [TCPCheck, partial(TalkCheck, script=Redis()), partial(TLSCheck, host=host_namer(""))],
    ids=["tcp", "talk", "tls"],
)
@pytest_twisted.ensureDeferred
async def test_nothing_is_logged(check):
    """Whatever comes of a check, its connection leaves no line in the log of the process."""
    async with Play(begin=partial(say, b"+PONG\r\n")) as play:
        # Of another spelling the endpoint is asked for, and not knocked at.
        asked = Server("a", f"{play.server.address}:timeout=5")
        with capturedLogs() as events:
            await check(reactor, 10.0).check(asked)
        await play.ended()
    with capturedLogs() as of_nobody:
        assert not (await check(reactor, 10.0).check(asked)).ok
    assert [formatEvent(event) for event in (*events, *of_nobody)] == []
