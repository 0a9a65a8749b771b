"""The client of the message service: asks, is connected again when the connection is lost, and says what has
become of what was asked.
"""

from __future__ import annotations

import os
from functools import partial
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from tcpsuite.core.messages.wire import CLIENT_SIZE, CONNECTION, MAX_NUMBER, name, notes
from tcpsuite.errors import Closed, ConnectFailed, OutOfResources, RequestFailed, RequestLost
from tcpsuite.net.client.alone import Alone
from tcpsuite.net.client.backlog import Backlog
from tcpsuite.net.client.lane import Asked, Lane
from tcpsuite.net.client.options import ClientOptions
from tcpsuite.net.client.patience import Patience
from tcpsuite.net.client.pulse import Pulse
from tcpsuite.net.client.redial import Built, Redial
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.messages import Inbox, MessageStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.interfaces import IStreamClientEndpoint

LATE, DROPPED = "late", "it was dropped for later ones"


class Client:
    """Asks one message service: any number of requests at once.

    :param reactor: an ``IReactorTime``.
    :param received: as :func:`connect` has it.
    :param chance: says how long of each wait is waited.
    :ivar asked: requests that are not answered, by number.
    :ivar id: by which the service knows the requests that are repeated.
    """

    log = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        options: ClientOptions | None = None,
        *,
        received: Callable[[str, bytes], object] | None = None,
        chance: Random | None = None,
    ) -> None:
        self.options = options or ClientOptions()
        self.reactor = reactor
        self.asked: dict[int, Asked] = {}
        self._endpoint = endpoint
        self._received = received
        self.id = os.urandom(CLIENT_SIZE)
        self._number = CONNECTION
        self._names: dict[str, bytes] = {}
        self._redial = Redial(
            endpoint,
            reactor,
            self.options,
            chance or SystemRandom(),
            partial(Lane, self, self.options.max_message),
            self._is_connected,
            self._is_refused,
        )
        self._patience = Patience(self.asked, reactor, self._is_late)
        self._backlog = Backlog(self.options, partial(self._fail, why=DROPPED))
        self._pulse = Pulse(reactor, self.options.sign_of_life, self._say_life)
        self._inbox: Inbox[tuple[str, bytes]] = Inbox(self._rest)
        self._alone = Alone(self, endpoint, reactor)
        self._lane: Lane | None = None
        self._retired: set[Lane] = set()
        self._started: Deferred[Client] | None = None
        self._closed: Deferred[None] | None = None
        self._gone: Deferred[None] | None = None  # when the last connection is
        self._connects = 0

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._lane else "away"
        return f"<Client {state} asked={len(self.asked)} waiting={len(self._backlog)}>"

    def stats(self) -> dict[str, int]:
        """Whether it is connected, requests under way, messages that wait, that were dropped, and how often
        it was connected.
        """
        return {
            "connected": int(self._lane is not None),
            "asked": len(self.asked),
            "waiting": len(self._backlog),
            "dropped": self._backlog.dropped,
            "connects": self._connects,
        }

    def start(self) -> Deferred[Client]:
        """Connect; fires with this client when it is, and fails, and closes it, when the first attempt does.
        What is asked meanwhile waits.
        """
        started: Deferred[Client] = Deferred(self._give_up)
        self._started = started
        self._redial.now()
        return started

    def request(
        self,
        method: str,
        body: bytes = b"",
        timeout: float | None = None,
        *,
        repeat: bool = False,
        alone: bool = False,
    ) -> Deferred[bytes]:
        """Ask.

        :param timeout: seconds until nobody waits any more, here and there; 0 for any time; by default the
            options say.
        :param repeat: send it again when the connection is lost before the answer.  The service drops what
            it has seen within its window, so that it runs once, or once more if it came back too late.
        :param alone: have it travel, and its answer, where no small one waits behind it; large ones do
            without being told.
        :return: fires with the answer.  Fails with :class:`~tcpsuite.errors.RequestFailed` when that is an
            error, and with :class:`~tcpsuite.errors.RequestLost`, which says whether it may have run, when
            there is none.  To cancel it cancels the method too.
        """
        if self._closed is not None:
            return fail(Closed("the client was closed"))
        options = self.options
        seconds = options.timeout if timeout is None else timeout
        if body.__class__ is not bytes:
            body = bytes(memoryview(body))
        now = self.reactor.seconds()
        due = now + seconds if seconds else inf
        number = self._next_number()
        answer: Deferred[bytes] = Deferred(partial(self._cancel, number))
        asked = Asked(
            number, self._name(method), body, due, repeat, alone or len(body) > options.large, answer
        )
        self.asked[number] = asked
        if due < self._patience.looks_at:
            self._patience.look_at(due)
        lane = self._lane
        if lane is None or lane.full or self._backlog or asked.alone:
            self._wait(asked)
        else:
            lane.ask(asked, now, self.id)
        return answer

    def send(self, method: str, *bodies: bytes) -> Deferred[None]:
        """Send notes, one for each body, together: nobody answers them, and those under way when the
        connection is lost are lost.

        :return: fires when they are on their way, or wait where there is room; fails with
            :class:`~tcpsuite.errors.OutOfResources` when there is none and ``when_full`` is ``FAIL``.
        """
        if self._closed is not None:
            return fail(Closed("the client was closed"))
        data = notes(self._name(method), bodies)
        lane = self._lane
        if lane is not None and not lane.full and not self._backlog:
            lane.say(data)
            return succeed(None)
        return self._backlog.put_notes(data)

    def receive(self) -> Deferred[tuple[str, bytes]]:
        """Fires with the method and the body of the next note that the service sends.

        While a thousand of them, or 8 MiB, wait to be received, nothing more is read, answers neither.
        """
        return self._inbox.get()

    def stream(self) -> Deferred[MessageStream]:
        """Another stream, or connection, to the same place, for messages of any meaning."""
        opened: Deferred[Any] = self._endpoint.connect(Built(lambda: MessageStream(self.options.max_message)))
        return opened

    def close(self) -> Deferred[None]:
        """End it behind what was sent, for which there is the connect time-out; what is not answered is lost.

        :return: fires when no connection is left.
        """
        if self._closed is None:
            self._closed = Deferred.fromCoroutine(self._close())
        over: Deferred[None] = Deferred()
        self._closed.chainDeferred(over)
        return over

    # What its lanes tell

    def answered(self, number: int, body: bytes) -> None:
        """A reply has come."""
        asked = self.asked.pop(number, None)
        if asked is not None:
            lane = asked.lane
            if asked.alone or lane is None or lane.retired:
                self._is_over(asked, True)
            asked.answer.callback(body)

    def refused(self, number: int, error: RequestFailed) -> None:
        """An error has come."""
        asked = self.asked.pop(number, None)
        if asked is not None:
            self._is_over(asked, True)
            asked.answer.errback(RequestLost(str(error), True) if error.code == LATE else error)

    def noted(self, method: bytes, body: bytes) -> None:
        """A note has come."""
        said = method.decode(errors="replace")
        if self._received is not None:
            try:
                self._received(said, body)
            except Exception:
                self.log.failure("what hears the notes of a service failed")
        else:
            self._inbox.put((said, body), len(body))

    def leaving(self, lane: Lane) -> None:
        """The service goes: what it has in hand it answers there, and all else is asked elsewhere."""
        lane.retired = True
        if lane is self._lane:
            self._retired.add(lane)
            self._is_away()
            self._end_if_done(lane)

    def ready(self, lane: Lane) -> None:
        """There is room for what waits."""
        if lane is self._lane:
            self._flush()

    def lost(self, lane: Lane, why: str) -> None:
        """A connection is lost, and with it what was asked on it, unless it is asked again."""
        self._retired.discard(lane)
        if lane is self._lane:
            self._is_away()
        gone = [each for each in self.asked.values() if each.lane is lane]
        again = [each for each in gone if each.repeat and self._closed is None]
        for asked in again:
            asked.lane = None
            self._is_over(asked, False)
        self._backlog.put_first(again)
        for asked in gone:
            if asked.lane is lane and self.asked.get(asked.number) is asked:
                self._fail(asked, f"the connection was lost: {why}")
        self._flush()
        if self._gone is not None and not self._retired:
            closed, self._gone = self._gone, None
            closed.callback(None)

    def fail_unsent(self, asked: Asked, why: str) -> None:
        """A request that was not sent will not be."""
        if self.asked.get(asked.number) is asked:
            self._fail(asked, why)

    # Connecting

    def _is_connected(self, lane: Lane) -> None:
        if lane.lost:  # by now
            self._redial.again()
            return
        self._lane = lane
        self._connects += 1
        if self._inbox.resting:
            lane.rest(True)
        self._pulse.start()
        self._flush()
        started, self._started = self._started, None
        if started is not None:
            started.callback(self)

    def _is_refused(self, failure: Failure) -> None:
        started, self._started = self._started, None
        if started is None:
            self._redial.again()
        else:
            self.close()
            started.errback(ConnectFailed(failure_text(failure)))

    def _is_away(self) -> None:
        self._lane = None
        self._pulse.stop()
        self._redial.again()

    def _say_life(self) -> None:
        if self._lane is not None and not self._lane.full:
            self._lane.give_up(CONNECTION)  # which nobody has asked, and everybody may

    def _give_up(self, _: Deferred[Client]) -> None:
        self.close()

    async def _close(self) -> None:
        self._redial.stop()
        self._patience.stop()
        self._pulse.stop()
        started, self._started = self._started, None
        if started is not None and not started.called:
            started.errback(Closed("the client was closed"))
        self._backlog.clear()
        while self.asked:  # who hears of one may cancel another
            asked = next(iter(self.asked.values()))
            if asked.lane is not None and not asked.lane.lost:
                asked.lane.give_up(asked.number)
            self._fail(asked, "the client was closed")
        self._inbox.close(Failure(Closed("the client was closed")))
        if self._lane is not None:
            self._retired.add(self._lane)
            self._lane = None
        for lane in tuple(self._retired):
            lane.end()
        if self._retired:
            self._gone = Deferred()
            cut = self.reactor.callLater(self.options.connect_timeout, self._cut)
            await self._gone
            if cut.active():
                cut.cancel()
        await self._alone.close()

    def _cut(self) -> None:
        for lane in tuple(self._retired):
            lane.transport.abortConnection()

    # Asking

    def _name(self, method: str) -> bytes:
        word = self._names.get(method)
        if word is None:
            word = self._names[method] = name(method)
        return word

    def _next_number(self) -> int:
        while True:
            self._number = self._number % MAX_NUMBER + 1
            if self._number not in self.asked:
                return self._number

    def _wait(self, asked: Asked) -> None:
        try:
            self._backlog.put(asked)
        except OutOfResources:
            del self.asked[asked.number]
            asked.answer.errback()
        else:
            self._flush()

    def _flush(self) -> None:
        """Send what waits, while the connection takes it."""
        if self._lane is not None and self._backlog:
            self._backlog.send(self._lane, self._ask)

    def _ask(self, asked: Asked) -> None:
        if asked.alone:
            self._alone.ask(asked)
        elif self._lane is not None:
            self._lane.ask(asked, self.reactor.seconds(), self.id)

    def _cancel(self, number: int, _answer: Deferred[bytes]) -> None:
        asked = self.asked.pop(number, None)
        if asked is not None:
            self._unask(asked)

    def _unask(self, asked: Asked) -> None:
        """Nobody waits for it any more."""
        if asked.lane is None:
            self._backlog.remove(asked)
        elif not asked.lane.lost:
            asked.lane.give_up(asked.number)
        self._is_over(asked, False)

    def _fail(self, asked: Asked, why: str) -> None:
        del self.asked[asked.number]
        self._is_over(asked, False)
        asked.answer.errback(RequestLost(why, asked.lane is not None))

    def _is_over(self, asked: Asked, reusable: bool) -> None:
        over, asked.over = asked.over, None
        if over is not None:
            over.callback(reusable)
        if asked.lane is not None and asked.lane.retired:
            self._end_if_done(asked.lane)

    def _end_if_done(self, lane: Lane) -> None:
        if lane in self._retired and not any(each.lane is lane for each in self.asked.values()):
            lane.end()

    def _is_late(self, asked: Asked) -> None:
        sent = asked.lane is not None
        del self.asked[asked.number]
        self._unask(asked)
        asked.answer.errback(RequestLost("no answer came in time", sent))

    def _rest(self, wanted: bool) -> None:
        if self._lane is not None:
            self._lane.rest(wanted)
