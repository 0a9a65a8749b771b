"""Admission: what stands between ``accept`` and the service of a listener.

::

    accept -> limits by address -> a place below the ceiling -> the service's own protocol -> the record's end
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import alsoProvides

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.interfaces import Verdict
from tcpsuite.net.admitted import HANDSHAKE_TIMEOUT, Admitted
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.endpoints import address_text
from tcpsuite.net.limiting import DryRun
from tcpsuite.net.socket_options import BACKLOG, HIGH_WATER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
    from twisted.internet.protocol import Protocol

    from tcpsuite.core.connections import Ledger
    from tcpsuite.core.limits import Ceiling
    from tcpsuite.interfaces import ILimiter
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.refusing import Refusal
    from tcpsuite.net.throttling import Throttling


class Admission(Factory):
    """The factory that a listener's endpoints are given.

    :param listener: the listener's name, for the records.
    :param service_name: what it serves, for the records.
    :param service: the factory of the service.
    :param limiter: asked once for each connection.
    :param ceiling: how many may be served at once.  At the ceiling ``pause`` is called; those that were
        accepted in the same breath are held, unread, until there is a place.
    :param pause: called with whether accepting is to rest.
    :param ledger: where the records are kept.
    :param ended: called with the record of each connection that ended or was refused.
    :param ids: gives each connection its id.
    :param clock: an ``IReactorTime``.
    :param deadlines: keeps the time-outs of all connections; ``None`` for some of its own.
    :param first_byte_timeout: seconds that a client has, from when it is served, for the first that it says;
        over TLS its handshake is that.  0 for any time.
    :param high_water: bytes queued for a client past which who produces them is told to wait.
    :param refusal: how connections are refused; ``None`` closes them at once.
    :param throttling: bounds the bandwidth of some; ``None`` of none, which costs nothing.
    :ivar limiter: the limiter.
    :ivar ceiling: the ceiling.
    :ivar resting: whether those who arrive are held whatever room there is; only streams do, for ports accept
        nobody then.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        *,
        listener: str,
        service_name: str,
        service: IProtocolFactory,
        limiter: ILimiter,
        ceiling: Ceiling,
        pause: Callable[[bool], None],
        ledger: Ledger,
        ended: Callable[[Connection], None],
        ids: Iterator[str],
        clock: IReactorTime,
        deadlines: Deadlines | None = None,
        first_byte_timeout: float = 0.0,
        high_water: int = HIGH_WATER,
        refusal: Refusal | None = None,
        throttling: Throttling | None = None,
    ) -> None:
        self.service = service
        self._listener = listener
        self._service_name = service_name
        self.limiter = limiter
        self._refusal = refusal
        self.throttling = throttling
        self._dry_run = DryRun(listener, ledger, clock)
        self.ceiling = ceiling
        self._pause = pause
        self._ledger = ledger
        self._ended = ended
        self._ids = ids
        self.clock = clock
        self.resting = False
        self._deadlines = deadlines or Deadlines(clock)
        self.first_byte_timeout = first_byte_timeout
        self.high_water = high_water
        self._open: dict[Connection, Admitted] = {}
        self._held: deque[Admitted] = deque()
        self._empty: list[Deferred[None]] = []
        if IProtocolNegotiationFactory.providedBy(service):
            # TLS asks the factory of the port what its protocols are called, and refuses who offers others.
            self.acceptableProtocols = service.acceptableProtocols
            alsoProvides(self, IProtocolNegotiationFactory)

    def __repr__(self) -> str:
        return f"<Admission {self._listener} open={len(self._open)} held={len(self._held)}>"

    def __len__(self) -> int:
        return len(self._open)

    def doStart(self) -> None:
        """A port was opened."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.service.doStart()

    def doStop(self) -> None:
        """A port was closed."""
        self.service.doStop()
        if self._refusal is not None:
            self._refusal.cut()
        super().doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress) -> Protocol | None:  # type: ignore[override]
        """A connection was accepted; ``None`` closes it."""
        verdict = self.judge(addr)
        if not verdict.allowed:
            return self.refuse(addr, verdict)
        return Admitted(self, self._record(addr, verdict), verdict, addr)

    def carried(self, addr: IAddress, verdict: Verdict, peer: str) -> Protocol | None:
        """A stream has come on a connection that :meth:`judge` has allowed, and that counts for all on it.

        :param verdict: names whom that was counted for, and is not the one that is released.
        :param peer: what its address is called.
        :return: its protocol; ``None`` when as many wait for a place as may: it is to be reset.
        """
        waiting = len(self._held)
        if waiting >= BACKLOG:
            why = f"{waiting} streams wait already"
            return self.refuse(addr, Verdict(False, "connections", why, key=verdict.key))
        return Admitted(self, self._record(addr, verdict, peer), verdict, addr)

    def judge(self, addr: IAddress) -> Verdict:
        """What the limits by address say of one more; one that is allowed counts until it is released."""
        verdict = self.limiter.admit(getattr(addr, "host", ""), self.clock.seconds())
        if verdict.allowed and verdict.limit:
            self._dry_run.note(verdict)
        return verdict

    def refuse(self, addr: IAddress, verdict: Verdict, speaks: bool = True) -> Protocol | None:
        """Count and tell that one was refused, and give what becomes of it: ``None`` closes it.

        :param speaks: whether it would understand the words of the service.
        """
        record = self._record(addr, verdict)
        record.because(Reason.LIMITED, verdict.reason)
        record.ended = record.started
        self._ledger.refuse(self._listener, verdict.limit)
        self._ended(record)
        return None if self._refusal is None else self._refusal.of(verdict, speaks)

    def _record(self, addr: IAddress, verdict: Verdict, peer: str = "") -> Connection:
        return Connection(
            id=next(self._ids), peer=peer or address_text(addr), host=getattr(addr, "host", ""),
            listener=self._listener, service=self._service_name,
            started=self.clock.seconds(), opened_at=time.time(), limited_as=verdict.key,
        )  # fmt: skip

    def limit_handshake(self, late: Callable[[], object]) -> Deadline:
        """Have ``late`` called when the time for a TLS handshake that begins now is over."""
        return self._deadlines.after(HANDSHAKE_TIMEOUT, late)

    def limit_silence(self, late: Callable[[], object]) -> Deadline | None:
        """Have ``late`` called when the time for a client's first byte that begins now is over, if there is
        such a time.
        """
        seconds = self.first_byte_timeout
        return self._deadlines.after(seconds, late) if seconds else None

    def arrived(self, admitted: Admitted) -> None:
        """A connection that was not refused stands at the door."""
        record = admitted.record
        self._ledger.open(record)
        self._open[record] = admitted
        if not self.resting and self.ceiling.enter():
            admitted.begin()
        else:
            # Accepted in the same breath as the last that fitted: it waits as it would have in the backlog.
            admitted.waiting = True
            admitted.transport.pauseProducing()
            self._held.append(admitted)
        self._pause(self.ceiling.full)

    def gone(self, admitted: Admitted) -> None:
        """A connection ended."""
        del self._open[admitted.record]
        self.limiter.release(admitted.verdict)
        self._ledger.close(admitted.record, self.clock.seconds())
        self._ended(admitted.record)
        if admitted.waiting:
            self._held.remove(admitted)
        else:
            self.ceiling.leave()
            self.look()
        if not self._open:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def idle(self, timeout: float) -> None:
        """End the connections on which nothing has moved for ``timeout`` seconds: politely when nothing waits
        for its peer, or the end would wait behind it, and with a reset elsewhere.  What is still there at the
        next call is reset too.
        """
        now = self.clock.seconds()
        for record, admitted in tuple(self._open.items()):
            if not admitted.waiting and (admitted.closing or record.stalled(now, timeout)):
                end = admitted.cut if admitted.closing or record.stuck else admitted.close
                end(Reason.IDLE, f"no byte either way for {timeout:g} s")

    def untaken(self, timeout: float) -> None:
        """Cut the connections whose clients have taken nothing for ``timeout`` seconds of what is left for
        them.
        """
        now = self.clock.seconds()
        for admitted in tuple(self._open.values()):
            if not (admitted.waiting or admitted.record.may_rest) and admitted.untaken(now) >= timeout:
                detail = f"took nothing for {timeout:g} s of what was sent to it"
                admitted.cut(Reason.WRITE_TIMEOUT, detail)

    def cut(self, reason: Reason, detail: str) -> None:
        """End all connections now."""
        for admitted in tuple(self._open.values()):
            admitted.cut(reason, detail)

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open, at once if none is."""
        if not self._open:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        return deferred

    def look(self) -> None:
        """Serve those who wait for a place, as far as there are any; accept again, or rest."""
        while self._held and not self.resting and self.ceiling.enter():
            admitted = self._held.popleft()
            admitted.waiting = False
            admitted.record.touch(self.clock.seconds())
            admitted.transport.resumeProducing()
            admitted.begin()
        self._pause(self.ceiling.full)
