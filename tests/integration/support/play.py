"""A play of two TCP puppets by a script, and what each of them has heard at the end.

Nothing is waited for by the clock but deadlines: a step is done when the kernel says so.
"""

from __future__ import annotations

import math
import os
import select
import socket
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

from attrs import frozen

from tests.integration.support.programs import free_port, wait_until
from tests.integration.support.puppet import PERIOD, Puppet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.support.scripts import Script, Step, Who

PATIENCE = 10.0
"""Seconds until a step that is not done has failed, if nobody says otherwise."""
QUIET = 0.1
"""Seconds in which nothing more is taken when a connection is full."""
ROOM = 128 * 1024
"""Bytes that a puppet's socket holds each way, so that it is soon full."""
FENCE = b"the last to come in"
"""What one says who comes only to show that nobody else is on the way."""


@frozen
class Way:
    """How a client comes to the server.

    :ivar name: for people.
    :ivar port: where the client connects to, on loopback.
    :ivar server: the listening socket of the server.
    :ivar pid: the process between the two, if there is one.
    """

    name: str
    port: int
    server: socket.socket
    pid: int | None = None


class Play:
    """One performance of a script by a way.  Use it as a context: its sockets are closed behind that.

    :param patience: seconds until a step that is not done has failed.
    """

    def __init__(self, way: Way, patience: float = PATIENCE) -> None:
        self.way = way
        self.patience = patience
        self.puppets: dict[Who, Puppet] = {}
        self._fillers: list[socket.socket] = []
        self._step: Step | None = None

    def __enter__(self) -> Play:
        self.way.server.settimeout(self.patience)
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(SIGCONT)
        for puppet in self.puppets.values():
            puppet.close(reset=True)
        self._free()

    def run(self, script: Script) -> dict[Who, str]:
        """Play it: what each has heard, as ``100 FIN``; ``nobody`` for one who was never there, and
        ``100 left`` for one who left before it heard more.
        """
        for step in script.steps:
            self._step = step
            self._take(step)
        return {who: str(puppet) for who, puppet in self.puppets.items()}

    def _take(self, step: Step) -> None:
        scenery: dict[str, Callable[[], None]] = {
            "connect": self._connect,
            "accept": self._accept,
            "accept any": self._accept_any,
            "refuse": self._refuse,
            "busy": self._busy,
            "free": self._free,
            "hear SYN": lambda: self._wait_for(self._connecting, "somebody to connect"),
            "stop": lambda: self._signal(SIGSTOP),
            "go": lambda: self._signal(SIGCONT),
        }
        acts: dict[str, Callable[[Puppet, str], None]] = {
            "send": lambda puppet, size: puppet.send(int(size)),
            "fill": self._fill,
            "insist": self._insist,
            "read": self._read,
            "hear": self._hear,
            "drain": self._drain,
            "finish": lambda puppet, _: puppet.finish(),
            "close": self._close,
            "reset": lambda puppet, _: puppet.close(reset=True),
        }
        if step.verb in scenery:
            scenery[step.verb]()
        elif self.puppets[step.who].socket is not None:
            verb, _, what = step.verb.partition(" ")
            acts[verb](self.puppets[step.who], what)

    # What they do

    def _connect(self) -> None:
        plain = _roomy(socket.socket())
        plain.settimeout(self.patience)
        try:
            plain.connect(("127.0.0.1", self.way.port))
        except (ConnectionRefusedError, ConnectionResetError):
            plain.close()
            self.puppets["client"] = Puppet("client", None, "server")
            self.puppets["client"].end = "reset"
        else:
            self.puppets["client"] = Puppet("client", plain, "server")

    def _accept(self) -> None:
        accepted, _ = self.way.server.accept()
        self.puppets["server"] = Puppet("server", accepted, "client")

    def _accept_any(self) -> None:
        """Whoever came before one that comes now, by the same way."""
        self._wait_for(lambda: not self._connecting(), "all to have connected")
        deadline = time.monotonic() + self.patience
        came: list[socket.socket] = []
        with socket.create_connection(("127.0.0.1", self.way.port), self.patience) as last:
            last.sendall(FENCE)
            fence = None
            while fence is None:
                poll = select.poll()
                for each in (self.way.server, *came):
                    poll.register(each, select.POLLIN)
                ready = dict(poll.poll(self.patience * 1000))
                assert time.monotonic() < deadline, f"{self._step}: nobody comes through {self.way.name}"
                # Who was reset is not asked what it said: that would use its error up.
                said = [each for each in came if ready.get(each.fileno()) == select.POLLIN]
                fence = next((each for each in said if each.recv(len(FENCE), socket.MSG_PEEK) == FENCE), None)
                if self.way.server.fileno() in ready:
                    came.append(self.way.server.accept()[0])
        fence.close()
        came.remove(fence)
        assert len(came) <= 1, f"{self._step}: {len(came)} came"
        self.puppets["server"] = Puppet("server", came[0] if came else None, "client")

    def _fill(self, puppet: Puppet, _: str) -> None:
        puppet.send(math.inf)
        deadline = time.monotonic() + self.patience
        while self._poll(puppet, select.POLLOUT, QUIET):
            assert time.monotonic() < deadline, f"{self._step}: {self.way.name} takes without end"
            puppet.push()
        puppet.hold()

    def _insist(self, puppet: Puppet, _: str) -> None:
        puppet.send(math.inf)
        self._hear(puppet, "reset")

    def _read(self, puppet: Puppet, size: str) -> None:
        goal = math.inf if size == "to end" else puppet.received + int(size)
        while puppet.received < goal:
            before = puppet.received
            if not puppet.read(int(min(goal - puppet.received, PERIOD))):
                self._until(puppet, select.POLLIN)
            elif puppet.received == before:
                return

    def _hear(self, puppet: Puppet, what: str) -> None:
        if what == "FIN":
            self._until(puppet, select.POLLRDHUP)
        elif what == "reset":
            if not puppet.end.endswith("reset"):
                self._until(puppet, 0)
                puppet.notice_reset()
            assert puppet.end.endswith("reset"), f"{self._step}: it was closed without"
        else:
            puppet.hear_at_least(int(what))
            self._until(puppet, select.POLLIN)
            assert puppet.unread() >= int(what), f"{self._step}: only {puppet.unread()} bytes came"
            puppet.hear_at_least(1)

    def _drain(self, puppet: Puppet, _: str) -> None:
        self._sent(puppet)
        self._wait_for(lambda: not puppet.unacknowledged(), "the last acknowledgement")

    def _close(self, puppet: Puppet, _: str) -> None:
        self._sent(puppet)
        puppet.close()

    def _sent(self, puppet: Puppet) -> None:
        while puppet.sending:
            self._until(puppet, select.POLLOUT)
            puppet.push()

    # What they do it in

    def _refuse(self) -> None:
        self.way.server.shutdown(socket.SHUT_RD)  # it keeps its port, and nobody listens there

    def _busy(self) -> None:
        self.way.server.listen(0)
        self._fillers.append(socket.create_connection(self.way.server.getsockname(), self.patience))

    def _free(self) -> None:
        for filler in self._fillers:
            self.way.server.accept()[0].close()
            filler.close()
        self._fillers.clear()
        self.way.server.listen(128)

    def _signal(self, number: int) -> None:
        if self.way.pid is not None:
            os.kill(self.way.pid, number)

    def _connecting(self) -> bool:
        """Whether somebody's SYN to the server has no answer yet."""
        port = f":{self.way.server.getsockname()[1]:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(fields[2].endswith(port) and fields[3] == "02" for fields in map(str.split, lines))

    # How it is waited for

    def _until(self, puppet: Puppet, events: int) -> None:
        """Come back when one of the events, an error or the end has come to the puppet."""
        if not self._poll(puppet, events, self.patience):
            told = ", ".join(f"{who} {each}" for who, each in self.puppets.items())
            raise AssertionError(f"{self._step}: not done in time, through {self.way.name}; {told}")

    def _poll(self, puppet: Puppet, events: int, patience: float) -> bool:
        assert puppet.socket is not None
        deadline = time.monotonic() + patience
        while True:
            poll = select.poll()
            poll.register(puppet.socket, events)
            senders = {each.socket.fileno(): each for each in self._senders()}  # type: ignore[union-attr]
            for sender in senders:
                poll.register(sender, select.POLLOUT | (events if sender == puppet.socket.fileno() else 0))
            left = deadline - time.monotonic()
            ready = poll.poll(max(0, left) * 1000)
            if not ready or left < 0:
                return False
            for descriptor, _ in ready:
                if descriptor in senders:
                    senders[descriptor].push()
            theirs = dict(ready).get(puppet.socket.fileno(), 0)
            if theirs & (events | select.POLLERR | select.POLLHUP):
                return True

    def _senders(self) -> Iterator[Puppet]:
        return (puppet for puppet in self.puppets.values() if puppet.sending)

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, f"{self._step}, through {self.way.name}: {what}", self.patience)


def listening() -> socket.socket:
    """A server's socket."""
    server = _roomy(socket.socket())
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", free_port()))  # a port that the kernel chose is lost with `refuse`
    server.listen(128)
    return server


def _roomy(plain: socket.socket) -> socket.socket:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        plain.setsockopt(socket.SOL_SOCKET, option, ROOM)
    return plain
