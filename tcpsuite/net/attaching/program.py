"""One connection of a program, and what carries it to the suite, one connection after the other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tcpsuite.core.attaching.asking import NEW
from tcpsuite.core.attaching.events import Away, Back, Cut
from tcpsuite.core.attaching.frames import Kind
from tcpsuite.errors import ConnectFailed, ProtocolError, RemoteError
from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.link import STEP, Link, late
from tcpsuite.net.endpoints import failure_text
from tcpsuite.options import format_duration

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from tcpsuite.core.attaching.dialogue import Dialogue
    from tcpsuite.core.attaching.events import Event
    from tcpsuite.net.attaching.client import AttachClient
    from tcpsuite.net.attaching.succession import Succession

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds before the first try to go on, and before each later one, at most: a pause is a random part of
that, for who has lost the suite together should not come back together.
"""
CLOSING_TRIES = 6
"""How often a session is tried to be closed: for some seconds."""

log = Logger()
_longest = backoffPolicy(FIRST_PAUSE, LONGEST_PAUSE, 2.0, float)


class Carried:
    """One connection of a program, and all that carries it.

    :param number: by which events name it.
    :param succession: of those that share a session; ``None`` when it has its own.
    :ivar program: the protocol of the program's connection: all begins when that is made.
    :ivar begun: fires when it is attached, or fails as that failed, for who sets it.
    :ivar ended: fires when nothing is left of it; cancelled, it ends at once.
    """

    def __init__(
        self, client: AttachClient, number: int, dialogue: Dialogue, succession: Succession | None
    ) -> None:
        self.clock = client.clock
        self.program = Program(self)
        self.begun: Deferred[None] | None = None
        self.ended: Deferred[None] = Deferred(lambda _: self.cut())
        self._client = client
        self._number = number
        self._dialogue = dialogue
        self._succession = succession
        self._running: Deferred[None] | None = None
        self._link: Link | None = None
        self._tries = 0
        self._away = ""  # why there is no carrier, when that was told
        self._since = 0.0  # when there has been none
        self._hurried = False

    def __repr__(self) -> str:
        return f"<Carried {self._number} {self.program!r}>"

    def begin(self) -> None:
        """The program's connection is made."""
        self._client.carried.add(self)
        self._running = Deferred.fromCoroutine(self._run())

    def program_lost(self) -> None:
        """The program's connection is gone."""
        last = self.program.outgoing.last
        if self._dialogue.connection == NEW and last is not None and last.kind is Kind.BROKEN:
            # The suite has never heard of it, and need not.
            self._cancel()

    def over(self) -> None:
        """Both ways have ended, or it was cut."""
        if self._succession is not None:
            self._succession.end(self.program)
        if self._link is not None:
            self._link.leave()

    def stop(self) -> None:
        """Reset the program's connection, and tell the suite, where that knows of it."""
        if self._dialogue.connection == NEW:
            self._cancel()
        else:
            self.program.give_up()

    def cut(self) -> None:
        """End at once, and tell nobody."""
        self._hurried = True
        self._cancel()

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        try:
            await self._carry()
        except CancelledError:
            self._cut(None)
        except RemoteError as error:
            self._cut(error)
        except Exception:  # a fault of ours is no reason to leave the program waiting
            log.failure("an attached connection failed")
            self._cut(ConnectFailed("a fault of this program's, which the log shows"))
        try:
            if self._dialogue.own and not self._hurried:
                await self._close_session()
        except CancelledError:
            pass
        finally:
            self._client.carried.discard(self)
            self.ended.callback(None)

    async def _carry(self) -> None:
        """Have it carried by one link after the other, until it is over.

        :raises RemoteError: when it cannot go on.
        """
        if self._succession is not None:
            await self._succession.begin(self.program, self._client.patience)
        while not self.program.is_over:
            self._since = self.clock.seconds()
            beginning = Deferred.fromCoroutine(self._begin())
            link: Link = await beginning.addTimeout(self._client.patience, self.clock, self._too_long)
            self._link = link
            self._begun()
            if self._away:
                self._away = ""
                self._tell(Back(self._number, self.clock.seconds() - self._since))
            self._since, place = self.clock.seconds(), self._place
            await link.lost
            self._link = None
            _check(link)
            if self._place != place or self.clock.seconds() - self._since > LONGEST_PAUSE:
                self._tries = 1  # it was good for something
        theirs = self.program.incoming.last
        if theirs is not None and theirs.kind is Kind.BROKEN:
            why = theirs.payload.decode(errors="replace")
            self._tell(Cut(self._number, f"the server's connection was lost: {why}"))

    async def _begin(self) -> Link:
        """A link on which both halves have agreed, after as many tries as it takes."""
        while True:
            await self._pause(self._tries)
            self._tries += 1
            try:
                return await self._try()
            except ProtocolError as error:
                if not self._dialogue.may_pass(error):
                    raise
                why = f"{error} ({error.code})"
            except ConnectFailed as error:
                why = str(error)
            if not self._away:
                self._tell(Away(self._number, why, self._client.patience))
            self._away = why

    async def _pause(self, tries: int) -> None:
        """Behind so many tries."""
        if tries:
            await deferLater(self.clock, self._client.chance() * _longest(tries - 1))

    async def _try(self) -> Link:
        link = await self._connect()
        try:
            incoming = self.program.incoming
            granted = await link.talk(self._dialogue.attach(incoming.received, incoming.window))
            link.carry(self.program, granted)
        except BaseException:
            link.reset()
            raise
        return link

    async def _connect(self) -> Link:
        factory = Factory.forProtocol(partial(Link, self.clock))
        factory.noisy = False
        connecting: Deferred[Any] = self._client.endpoint.connect(factory)
        connecting.addErrback(_failed)
        link: Link = await connecting.addTimeout(STEP, self.clock, late)
        return link

    async def _close_session(self) -> None:
        """Close the session that was opened.  What cannot be closed expires."""
        for attempt in range(CLOSING_TRIES):
            await self._pause(attempt)
            try:
                link = await self._connect()
                try:
                    await link.talk(self._dialogue.close())
                finally:
                    link.leave()
            except ConnectFailed:
                continue
            except ProtocolError as error:
                if self._dialogue.may_pass(error):
                    continue
            return

    def _begun(self, error: RemoteError | None = None) -> None:
        if (begun := self.begun) is not None:
            self.begun = None
            if error is None:
                begun.callback(None)
            else:
                begun.errback(error)

    def _cut(self, error: RemoteError | None) -> None:
        program, link = self.program, self._link
        if program.incoming.last is not None and program.outgoing.last is not None:
            # Nothing is missing but the other half's word that it has heard of the end.
            program.end()
        elif not program.is_over:
            program.cut()
            if error is not None:
                code = f" ({error.code})" if isinstance(error, ProtocolError) else ""
                self._tell(Cut(self._number, f"{error}{code}"))
        self._begun(error or ConnectFailed("it was ended here"))
        self.over()
        if link is not None:
            link.reset()

    @property
    def _place(self) -> tuple[int, int]:
        return self.program.incoming.received, self.program.outgoing.start

    def _too_long(self, _result: object, patience: float) -> NoReturn:
        """For ``Deferred.addTimeout``.

        :raises ConnectFailed: always.
        """
        why = self._away or "no answer"
        raise ConnectFailed(f"nothing has carried it for {format_duration(patience)}, at last: {why}")

    def _tell(self, event: Event) -> None:
        try:
            self._client.observer(event)
        except Exception:  # it watches, and should not be able to do more
            log.failure("the observer of attached connections failed at {event}", event=event)


class Program(Attached):
    """The protocol of a program's connection."""

    def __init__(self, carried: Carried) -> None:
        super().__init__(carried.clock, carried.over, lambda: None)
        self._carried = carried

    def connectionMade(self) -> None:
        """It begins."""
        super().connectionMade()
        self._carried.begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        super().connectionLost(reason)
        self._carried.program_lost()

    def give_up(self) -> None:
        """Reset it, and have the other half told, though the program is gone and its server speaks on."""
        if self._lost:
            self._break("it was ended")
        else:
            self.transport.abortConnection()

    def end(self) -> None:
        """It is over: what is left is written to the program, and then it is closed."""
        self._end()


def _failed(failure: Failure) -> NoReturn:
    """There is no connection.

    :raises ConnectFailed: which says why.
    :raises CancelledError: when nobody wants one any more.
    """
    if failure.check(CancelledError, ConnectingCancelledError):
        raise CancelledError
    raise ConnectFailed(failure_text(failure))


def _check(link: Link) -> None:
    """Whether another link may go on behind this one.

    :raises ProtocolError: ``taken``, when somebody else has attached; ``frame``, when the suite has said what
        cannot be.
    """
    carrier = link.carrier
    if carrier is None:
        return
    if carrier.was_taken:
        raise ProtocolError("taken", "somebody else has attached to its session")
    if carrier.fault and not carrier.was_silent:
        raise ProtocolError("frame", carrier.fault)
