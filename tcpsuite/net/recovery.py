"""How servers leave and come back by themselves: ejected for a while, and slowly up to their weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from tcpsuite.core.slow_start import STEPS, share
from tcpsuite.interfaces import Outcome
from tcpsuite.net.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from twisted.internet.defer import Deferred

    from tcpsuite.core.ejection import Ejection, Ejector
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IHealthCheck


class Weights:
    """The weights of servers, lowered for a while behind their return.

    It alone writes their ``weight`` and ``share``.

    :param servers: with the weights that they are configured to have.
    :param clock: an ``IReactorTime``.
    :param window: seconds of a slow start; 0: none.
    :param changed: called when a weight has changed by itself.
    :ivar slow: those in a slow start.
    """

    def __init__(
        self, servers: Iterable[Server], clock: Any, window: float, changed: Callable[[], None]
    ) -> None:
        self._whole = {server: int(server.weight) for server in servers}
        self._clock = clock
        self._window = window
        self._changed = changed
        self._since: dict[Server, float] = {}
        self._alarm = Alarm(clock, self._step)

    def __repr__(self) -> str:
        return f"<Weights servers={len(self._whole)} slow={len(self._since)}>"

    def __getitem__(self, server: Server) -> int:
        """The weight that it has, or comes to."""
        return self._whole[server]

    @property
    def slow(self) -> Collection[Server]:
        return self._since.keys()

    def set(self, server: Server, weight: int) -> None:
        """From now on it has that weight, or comes to it."""
        self._whole[server] = weight
        self._weigh(server)

    def forget(self, server: Server) -> None:
        """It is no server any more, and in no slow start."""
        del self._whole[server]
        self._since.pop(server, None)
        server.share = 1.0

    def begin(self, server: Server) -> None:
        """It is back: begin slowly, if servers are to."""
        if self._window:
            self._since[server] = self._clock.seconds()
            self._weigh(server)
            self._wait()

    def stop(self) -> None:
        """Leave all weights as they are; nobody begins slowly any more."""
        self._window = 0.0
        self._alarm.stop()

    def _wait(self) -> None:
        self._alarm.set(self._clock.seconds() + self._window / STEPS)

    def _step(self) -> None:
        for server in tuple(self._since):
            self._weigh(server)
        if self._since:
            self._wait()
        self._changed()

    def _weigh(self, server: Server) -> None:
        whole, since = self._whole[server], self._since.get(server)
        part = 1.0 if since is None else share(self._clock.seconds() - since, self._window)
        # When it is whole, whole in its type too: what is counted in whole numbers is exact.
        server.weight, server.share = (whole * part if part < 1 else whole), part
        if part >= 1:
            self._since.pop(server, None)


class Ejections:
    """Carries out what an :class:`~tcpsuite.core.ejection.Ejector` decides.

    It alone writes ``ejected`` of the servers.

    :param upstream: its name, for the log.
    :param ejector: knows the servers; ``None``: nobody is ejected.
    :param clock: an ``IReactorTime``.
    :param changed: called with a server that was ejected, or has returned.
    :param second_look: asks a server that is suspected, and decides; ``None``: suspicion is enough.
    """

    log = Logger()

    def __init__(
        self,
        upstream: str,
        ejector: Ejector | None,
        clock: Any,
        changed: Callable[[Server], None],
        second_look: IHealthCheck | None = None,
    ) -> None:
        self._upstream = upstream
        self._ejector = ejector
        self._clock = clock
        self._changed = changed
        self._second_look = second_look
        self._looking: dict[Server, Deferred[Any]] = {}
        self._out: dict[str, Server] = {}
        self._alarm = Alarm(clock, self._look)

    def __repr__(self) -> str:
        return f"<Ejections of {self._upstream}: {', '.join(self._out) or 'none'}>"

    def judge(self, server: Server, ok: bool, error: str = "") -> None:
        """A real connection to ``server`` went well; or it could not be made."""
        if self._ejector is not None:
            self._carry_out(self._ejector.observe(server.name, ok, self._clock.seconds(), error), server)

    def suspect(self, server: Server, error: str) -> None:
        """The server reset a real connection, of itself or for what a client has sent."""
        if self._second_look is None:
            self.judge(server, False, error)
        elif self._ejector is not None and self._ejector.suspect(server.name, self._clock.seconds()):
            looking = self._looking[server] = maybeDeferred(self._second_look.check, server)
            looking.addErrback(lambda failure: Outcome(False, failure.getErrorMessage()))
            looking.addCallback(self._looked, server, looking)

    def join(self, server: Server) -> None:
        """It takes connections: from now on it is judged."""
        if self._ejector is not None:
            self._ejector.add(server.name)

    def leave(self, server: Server) -> None:
        """It takes none, whatever real connections say: half of those that are left may be ejected."""
        server.ejected = False
        self._out.pop(server.name, None)
        if (looking := self._looking.pop(server, None)) is not None:
            looking.cancel()
        if self._ejector is not None:
            self._let_in(self._ejector.remove(server.name, self._clock.seconds()))
            self._set_alarm()

    def stop(self) -> None:
        """Leave those out who are out; nobody is judged any more."""
        self._alarm.stop()
        self._ejector = None
        while self._looking:
            self._looking.popitem()[1].cancel()

    def _looked(self, outcome: Outcome, server: Server, looking: Deferred[Any]) -> None:
        if self._looking.get(server) is not looking:
            return  # it takes no connections any more
        del self._looking[server]
        if self._ejector is not None:
            ok = outcome.ok or outcome.local
            answered = self._ejector.answered(server.name, ok, self._clock.seconds(), outcome.error)
            self._carry_out(answered, server)

    def _carry_out(self, ejection: Ejection | None, server: Server) -> None:
        if ejection is None:
            return
        server.ejected = True
        self._out[server.name] = server
        self.log.warn(
            "server {server} of {upstream} is ejected for {seconds:g} s: {reason}",
            server=server.name,
            upstream=self._upstream,
            seconds=ejection.seconds,
            reason=ejection.reason,
        )
        self._set_alarm()
        self._changed(server)

    def _let_in(self, names: Iterable[str]) -> None:
        servers = [self._out.pop(name) for name in names]
        for server in servers:
            server.ejected = False
        # Who is told may use them at once, so that they are judged.
        for server in servers:
            self.log.info(
                "server {server} of {upstream} is ejected no more",
                server=server.name,
                upstream=self._upstream,
            )
            self._changed(server)

    def _set_alarm(self) -> None:
        """To when the next one returns."""
        if self._ejector is not None and self._out:
            self._alarm.set(self._ejector.due())
        else:
            self._alarm.stop()

    def _look(self) -> None:
        assert self._ejector is not None, "it waits for somebody to return"
        self._let_in(self._ejector.returning(self._clock.seconds()))
        self._set_alarm()
