"""A few words with a server: with those that keep to the script, and with those that do not."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.scripts import LIMIT
from tcpsuite.core.scripts.redis import Redis
from tcpsuite.core.scripts.send_expect import SendExpect, literally
from tcpsuite.core.scripts.smtp import SMTP
from tcpsuite.core.servers import Server
from tcpsuite.net.checks.talk import TalkCheck
from tcpsuite.testing.healthchecks import HealthCheckContract
from tests.net.checks.plays import Play, Player, nothing, say
from tests.support.gateways import address, listening, turn

PING = b"*1\r\n$4\r\nPING\r\n"


def talk(script: Any) -> Any:
    """A check by that script, to be built."""
    return partial(TalkCheck, script=script)


class TalkContractTests(HealthCheckContract, SynchronousTestCase):
    """A check by a script."""

    def make_check(self, reactor, timeout):
        return TalkCheck(reactor, timeout, Redis())


@pytest_twisted.ensureDeferred
async def test_a_good_answer():
    """The script's words arrive, a good answer is well, and the connection ends in order."""
    async with Play(answer=lambda player, data: player.transport.write(b"+PONG\r\n")) as play:
        outcome = await play.check(talk(Redis()))
        assert (outcome.ok, outcome.error) == (True, "")
        assert await play.ended() == ["ConnectionDone"]
        assert play.factory.players[0].heard == PING


@pytest_twisted.ensureDeferred
async def test_a_wrong_answer():
    """A wrong answer is told in the server's own words, and the connection ends in order."""
    async with Play(answer=lambda player, data: player.transport.write(b"-LOADING soon\r\n")) as play:
        outcome = await play.check(talk(Redis()))
        assert (outcome.ok, outcome.error, outcome.local) == (False, "answered '-LOADING soon'", False)
        assert await play.ended() == ["ConnectionDone"]


@pytest_twisted.ensureDeferred
async def test_silence():
    """A server that takes the connection and says nothing has failed when the time is over."""
    async with Play() as play:
        outcome = await play.check(talk(Redis()), timeout=0.1)
        assert (outcome.ok, outcome.error) == (False, "no answer within 0.1 s")
        assert 0.1 <= outcome.seconds < 5
        assert await play.ended() == ["ConnectionLost"]


@pytest_twisted.ensureDeferred
async def test_a_trickle():
    """A server that says one byte after the other, and never all of them, ends with the time-out too."""

    def trickle(player):
        player.drip = LoopingCall(player.transport.write, b"x")
        player.drip.start(0.001)

    async with Play(begin=trickle) as play:
        outcome = await play.check(talk(SendExpect(b"", literally("y"))), timeout=0.2)
        assert (outcome.ok, outcome.error) == (False, "no answer within 0.2 s")
        await play.ended()


@pytest_twisted.ensureDeferred
async def test_a_good_answer_in_bytes():
    """One byte a segment is an answer like any other."""

    def spell(player, data, rest=b"+PONG\r\n"):
        player.transport.write(rest[:1])
        if rest[1:]:
            reactor.callLater(0, spell, player, b"", rest[1:])

    async with Play(answer=spell) as play:
        assert (await play.check(talk(Redis()))).ok


@pytest_twisted.ensureDeferred
async def test_a_flood():
    """Of a server that says more and more only the beginning is looked at, and no time-out waited for."""
    async with Play(begin=partial(say, b"x" * 1_000_000)) as play:
        outcome = await play.check(talk(SendExpect(b"", literally("y"))))
        assert not outcome.ok
        assert outcome.error.startswith(f"no answer in {LIMIT} bytes, which begin with 'xxx")
        assert len(outcome.error) < 200
        assert outcome.seconds < 9


@pytest_twisted.ensureDeferred
async def test_an_answer_at_the_limit():
    """An answer that is complete with the last byte that is looked at is one; with the next it is not."""
    for more, ok in ((0, True), (1, False)):
        text = b"x" * (LIMIT - 1 + more) + b"y"
        async with Play(begin=partial(say, text)) as play:
            assert (await play.check(talk(SendExpect(b"", literally("y"))))).ok is ok


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "it closed the connection before an answer"),
        (b"+PO", "it closed the connection before the answer '+PO' was complete"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_end_before_the_answer(said, error):
    """A server that closes before its answer is complete is not well, and it is said how far it came."""

    def leave(player):
        player.transport.write(said)
        player.transport.loseConnection()

    async with Play(begin=leave) as play:
        outcome = await play.check(talk(Redis()))
        assert not outcome.ok
        # What we say may meet the closed socket, and the reset comes before the end.
        assert outcome.error == error or "was lost" in outcome.error


@pytest_twisted.ensureDeferred
async def test_a_reset():
    """A reset is told as one."""
    async with Play(answer=lambda player, data: player.transport.abortConnection()) as play:
        outcome = await play.check(talk(Redis()))
        assert (outcome.ok, outcome.error) == (False, "the connection was lost before an answer")


@pytest_twisted.ensureDeferred
async def test_an_answer_and_the_end_in_one():
    """A server that answers and closes at once has answered."""

    def answer_and_leave(player, data):
        player.transport.write(b"+PONG\r\n")
        player.transport.loseConnection()

    async with Play(answer=answer_and_leave) as play:
        assert (await play.check(talk(Redis()))).ok


@pytest_twisted.ensureDeferred
async def test_a_goodbye():
    """A server that is left with a word closes the connection itself."""

    def bye(player, data):
        player.transport.write(b"221 bye\r\n")
        player.transport.loseConnection()

    async with Play(partial(say, b"220 hello\r\n"), bye) as play:
        assert (await play.check(talk(SMTP()))).ok
        assert play.factory.players[0].heard == b"QUIT\r\n"


@pytest_twisted.ensureDeferred
async def test_a_goodbye_that_is_not_heard():
    """A server that has answered and does not close is well, at the latest when the time is over."""
    async with Play(partial(say, b"220 hello\r\n")) as play:
        outcome = await play.check(talk(SMTP()), timeout=0.2)
        assert (outcome.ok, outcome.error) == (True, "")
        assert outcome.seconds < 0.2
        assert await play.ended() == ["ConnectionLost"]


@pytest_twisted.ensureDeferred
async def test_seconds_are_those_of_the_answer():
    """The time runs from our words to the last byte of the answer."""

    def late(player, data):
        player.transport.write(b"+PO")
        reactor.callLater(0.15, player.transport.write, b"NG\r\n")

    async with Play(answer=late) as play:
        outcome = await play.check(talk(Redis()))
        assert 0.14 <= outcome.seconds < 5


@pytest_twisted.ensureDeferred
async def test_nobody_there():
    """A refused connection is said in the system's words."""
    with listening() as server:
        gone = address(server)
    outcome = await TalkCheck(reactor, 2.0, Redis()).check(Server("a", gone))
    assert (outcome.ok, outcome.error) == (False, "connection refused")


@pytest_twisted.ensureDeferred
async def test_on_a_unix_socket(tmp_path):
    """The server's address is followed to a UNIX socket too."""
    factory: Any = Factory.forProtocol(Player)
    factory.players, factory.ends, factory.begin = [], [], nothing
    factory.answer = lambda player, data: player.transport.write(b"+PONG\r\n")
    port = cast("Any", reactor).listenUNIX(str(tmp_path / "s"), factory)
    outcome = await TalkCheck(reactor, 2.0, Redis()).check(Server("a", f"unix:{tmp_path / 's'}"))
    assert outcome.ok
    while not factory.ends:
        await turn()
    await port.stopListening()
