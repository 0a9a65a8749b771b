"""A listener: one or several endpoints in front of one service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import LoopingCall

from tcpsuite.core.connections import Reason
from tcpsuite.errors import StartError
from tcpsuite.net.endpoints import address_text, carrier_of, listen_endpoint, listen_failure
from tcpsuite.net.mux.options import MuxTable
from tcpsuite.net.socket_options import LONGEST_BACKLOG, OF_LISTENERS, ListenerSocketOptions
from tcpsuite.net.transport import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IListeningPort

    from tcpsuite.net.admission import Admission
    from tcpsuite.net.mux.door import MuxDoor

SWEEP_INTERVAL = 1.0
"""Seconds between two looks for room that another listener has made."""
IDLE_LOOKS = 16
"""How often within an idle time-out is looked for connections whose time is over: to look at ten thousand of
them takes some 10 ms, which is too much for each second.
"""
WRITE_LOOKS = 8
"""How often within a write time-out, which is shorter, is looked for clients that take nothing."""

FULL = "full"
"""Why accepting rests at the ceiling; whoever else has it rest names a cause of their own."""


class _Looks:
    """When to look for those whose time-out is over.

    :param often: how often within it.
    """

    def __init__(self, timeout: float, often: int) -> None:
        self.timeout = timeout
        self._interval = max(SWEEP_INTERVAL, timeout / often)
        self._next = 0.0

    def are_due(self, now: float) -> bool:
        """Whether to look now; never, without a time-out."""
        if not self.timeout or now < self._next:
            return False
        self._next = now + self._interval
        return True


class Listener:
    """Accepts connections on its endpoints and hands them to an :class:`~tcpsuite.net.admission.Admission`.

    :param name: the user's name for it.
    :param service: what it serves, for people.
    :param endpoints: Twisted server endpoint strings.
    :param idle_timeout: seconds without a byte either way after which a connection ends, a sixteenth of that
        later at most, or two seconds; 0 for never.
    :param socket: how its sockets are set up.
    :param write_timeout: seconds for which a client may take nothing of what is sent to it, before it is cut,
        an eighth of that later at most, or two seconds; 0 for ever.
    :param mux: what is asked of connections that carry streams, on endpoints where they do.
    :ivar doors: what serves such connections, of each of those endpoints.
    """

    def __init__(
        self,
        name: str,
        service: str,
        endpoints: Sequence[str],
        idle_timeout: float,
        reactor: Any,
        socket: ListenerSocketOptions = OF_LISTENERS,
        write_timeout: float = 0.0,
        mux: MuxTable = MuxTable(),  # noqa: B008 (nobody can change it)
    ) -> None:
        self.name = name
        self.service = service
        self.endpoints = tuple(endpoints)
        self.admission: Admission
        self.draining = False
        self._idle = _Looks(idle_timeout, IDLE_LOOKS)
        self._untaken = _Looks(write_timeout, WRITE_LOOKS)
        self._reactor = reactor
        self._socket = socket
        self._mux = mux
        self.doors: list[MuxDoor] = []
        self._ports: list[IListeningPort] = []
        self._causes: set[str] = set()  # why accepting rests
        self._sweep = LoopingCall(self._look)
        self._sweep.clock = reactor

    def __repr__(self) -> str:
        return f"<Listener {self.name} {self.state} {', '.join(self.addresses) or ', '.join(self.endpoints)}>"

    @property
    def state(self) -> str:
        """``closed``, ``listening``, ``full`` (accepting rests at the ceiling), ``overloaded`` (it rests for
        the sake of the whole process) or ``draining``.
        """
        if self.draining:
            return "draining"
        if not self._ports:
            return "closed"
        if not self._causes:
            return "listening"
        return "full" if FULL in self._causes else "overloaded"

    @property
    def addresses(self) -> list[str]:
        """The addresses that it really listens on."""
        return [address_text(port.getHost()) for port in self._ports]

    async def start(self) -> None:
        """Open every endpoint, or none.

        :raises StartError: saying which listener and address, and why.
        """
        for text in self.endpoints:
            try:
                port = await self._listen(text)
            except Exception as error:
                await self._close_ports()
                raise StartError(f"listener {self.name}: {text}: {listen_failure(text, error)}") from error
            count(port)
            self._ports.append(port)
        self._sweep.start(SWEEP_INTERVAL, now=False)

    def rest(self, wanted: bool, cause: str = FULL) -> None:
        """Stop accepting for a while, or go on: what arrives waits in the kernel's backlog.

        :param cause: accepting goes on when none is left.
        """
        if wanted == (cause in self._causes) or self.draining:
            return
        before = bool(self._causes)
        (self._causes.add if wanted else self._causes.remove)(cause)
        if cause != FULL:
            self._hold_streams(bool(self._causes - {FULL}))
        if bool(self._causes) != before:
            for port in self._ports:
                (port.pauseProducing if wanted else port.resumeProducing)()  # type: ignore[attr-defined]

    async def stop(self, deadline: float) -> None:
        """Accept no more, let connections finish for ``deadline`` seconds, then cut them.  Done when none is
        open.
        """
        if not self._causes:
            self._accept_who_waits()
        self.draining = True
        self._hold_streams(False)
        await self._close_ports()
        late = self._reactor.callLater(deadline, self.cut, Reason.DRAINED, "the drain's time was over")
        await self.admission.when_empty()
        left = late.getTime() - self._reactor.seconds() if late.active() else 0.0
        for door in self.doors:
            await door.end(left)
        if late.active():
            late.cancel()
        if self._sweep.running:
            self._sweep.stop()

    def cut(self, reason: Reason, detail: str) -> None:
        """End every connection now, for that reason."""
        self.admission.cut(reason, detail)
        if self.draining:
            for door in self.doors:
                door.end(0)

    def _hold_streams(self, wanted: bool) -> None:
        """A port that rests keeps no stream from coming, on a connection that is there."""
        if self.doors:
            self.admission.resting = wanted
            self.admission.look()

    async def _listen(self, text: str) -> IListeningPort:
        carrier = carrier_of(text)
        if not carrier:
            return await listen_endpoint(self._reactor, text, self._socket).listen(self.admission)
        from tcpsuite.net.mux.door import MuxDoor  # which is not wanted everywhere

        door = MuxDoor(self.admission, self._mux.settings(self._socket.high_water))
        port = await listen_endpoint(self._reactor, carrier, self._socket).listen(door)
        self.doors.append(door)
        return port

    def _accept_who_waits(self) -> None:
        """Closing a port resets the clients in its backlog, who are connected as far as they can know."""
        for port in self._ports:
            if isinstance(port, tcp.Port):
                port.numberAccepts = LONGEST_BACKLOG
                port.doRead()

    async def _close_ports(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def _look(self) -> None:
        now = self._reactor.seconds()
        if self._idle.are_due(now):
            self.admission.idle(self._idle.timeout)
        if self._untaken.are_due(now):
            self.admission.untaken(self._untaken.timeout)
        if FULL in self._causes:
            self.admission.look()
