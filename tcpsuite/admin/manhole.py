"""The manhole: a live Python prompt inside the process.

On a UNIX socket in a folder of the state directory that only its owner may enter; each peer's user is
asked of the kernel besides.  Over SSH too, when the file says so: see :mod:`tcpsuite.admin.manhole_ssh`.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.admin.explain import why
from tcpsuite.admin.folder import claim, folder_of
from tcpsuite.errors import StartError
from tcpsuite.options import Endpoints, FilePath, OptionError, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.admin.status import SuiteView
    from tcpsuite.net.listener import Listener

LONGEST_PATH = 107
"""Bytes of a UNIX socket's path that the kernel takes."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether a peer that sends no more is still there."""

_PEER = struct.Struct("3i")  # struct ucred: process, user, group
_ESCAPE = b"\x1b"
_WORDS = {
    "suite": "everything: the service that runs here",
    "listeners": "what takes connections, by name",
    "services": "the factory behind each listener, by the listener's name",
    "upstreams": "the sets of servers, by name",
    "pools": "the connection pools: pools[upstream][server]",
    "sessions": "the session manager, or None; await sessions.stats()",
    "ledger": "the records of connections: list(ledger), ledger.totals(listener)",
    "why": "why(id) prints why a connection went where it went",
    "reactor": "the reactor",
    "help": "help() says this, help(x) tells about x",
    "exit": "exit(), or Ctrl-D, leaves; the process goes on",
}


_INTERFACE = re.compile(r"(?<!\\):interface=((?:\\.|[^:\\])*)")


def _loopback_only(endpoints: Endpoints) -> None:
    for text in endpoints:
        interfaces = _INTERFACE.findall(text) if text.startswith("tcp:") else []
        if not (text.startswith("unix:") or (interfaces and all(map(_is_loopback, interfaces)))):
            raise OptionError(
                "unix:PATH or tcp:PORT:interface=127.0.0.1: the prompt is for this machine", text
            )


def _is_loopback(interface: str) -> bool:
    try:
        return ip_address(interface.replace("\\", "")).is_loopback
    except ValueError:
        return False


@frozen
class ManholeOptions:
    """The ``[manhole]`` table."""

    enabled: bool = option(
        False,
        "Whether root and our own user get a Python prompt on a UNIX socket in the state directory.",
    )
    ssh: Endpoints = option(
        Endpoints(()),
        "Where the prompt is offered over SSH too; loopback only, and only with authorized_keys.",
        check=_loopback_only,
    )
    authorized_keys: FilePath = option(
        FilePath(""), "The public keys that may log in over SSH, as in OpenSSH's file of that name."
    )


def socket_path(state_directory: str) -> str:
    """Where the manhole's socket lies."""
    return str(folder_of(state_directory) / "socket")


def namespace(suite: Any, reactor: Any) -> dict[str, Any]:
    """What a prompt sees of a :class:`tcpsuite.app.Suite`."""
    from tcpsuite.admin.console import Help  # it knows Python's documentation, and weighs accordingly

    return {
        "suite": suite,
        "listeners": suite.listeners,
        "services": {name: listener.admission.service for name, listener in suite.listeners.items()},
        "upstreams": suite.upstreams,
        "pools": {name: upstream.pools for name, upstream in suite.upstreams.items()},
        "sessions": suite.sessions,
        "ledger": suite.ledger,
        "why": why(suite.ledger, reactor),
        "reactor": reactor,
        "help": Help(_WORDS),
    }


class Manhole:
    """Offers the prompt.

    :param state_directory: where its socket and its host key live.
    :param suite: what the prompt shows.
    """

    def __init__(self, options: ManholeOptions, state_directory: str, suite: SuiteView, reactor: Any) -> None:
        self.path = socket_path(state_directory) if options.enabled else ""
        self._options = options
        self._state_directory = state_directory
        self._suite = suite
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self._claim: int | None = None
        self._ssh: Listener | None = None
        self._doors: set[Door] = set()

    def __repr__(self) -> str:
        return f"<Manhole {self.path or 'off'} open={len(self._doors)}>"

    @property
    def ssh_addresses(self) -> list[str]:
        """Where it is offered over SSH."""
        return [] if self._ssh is None else self._ssh.addresses

    async def start(self) -> None:
        """Open the socket, and the SSH endpoints, if they are wanted.

        :raises StartError: saying what could not be opened, and why.
        """
        if self.path:
            self._port = self._listen()
        if self._options.ssh:
            # Imported here: most have no use for it, and not all have what it needs.
            from tcpsuite.admin import manhole_ssh

            self._ssh = manhole_ssh.build_listener(
                self._options.ssh,
                self._options.authorized_keys,
                self._state_directory,
                self._names,
                self._reactor,
            )
            await self._ssh.start()

    async def stop(self) -> None:
        """Close everything, open prompts too."""
        for door in tuple(self._doors):
            door.transport.abortConnection()
        if self._ssh is not None:
            await self._ssh.stop(0)
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        self._give_up()

    def _names(self) -> dict[str, Any]:
        return namespace(self._suite, self._reactor)

    def _listen(self) -> IListeningPort:
        if len(os.fsencode(self.path)) > LONGEST_PATH:
            raise StartError(f"manhole: a socket's path has at most {LONGEST_PATH} bytes: {self.path}")
        self._claim = claim(folder_of(self._state_directory))
        try:
            # The folder is ours alone: a socket that is there was left by a process that has ended.
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            port: IListeningPort = self._reactor.listenUNIX(
                self.path, DoorFactory(self._names, self._doors, self._reactor), mode=0o600
            )
        except OSError as error:
            self._give_up()
            raise StartError(f"manhole: {self.path}: {error.strerror}") from error
        except CannotListenError as error:
            self._give_up()
            raise StartError(f"manhole: cannot listen on {self.path}: {error.socketError}") from error
        return port

    def _give_up(self) -> None:
        """Let another process have the folder."""
        claimed, self._claim = self._claim, None
        if claimed is not None:
            os.close(claimed)


@implementer(IHalfCloseableProtocol)
class Door(Protocol):
    """One connection to the UNIX socket: asks who it is, then opens the prompt that suits it.

    :param names: gives the namespace of a prompt.
    :param doors: where it is listed while it is open.
    :param clock: an ``IReactorTime``.
    """

    log = Logger()
    transport: Any

    def __init__(self, names: Callable[[], dict[str, Any]], doors: set[Door], clock: IReactorTime) -> None:
        self._names = names
        self._doors = doors
        self._prompt: Any = None
        self._watch = LoopingCall(self._look)
        self._watch.clock = clock

    def connectionMade(self) -> None:
        """Somebody came in."""
        pid, uid = peer_of(self.transport.socket)
        if uid not in {0, os.geteuid()}:
            self.log.warn("manhole: user {uid}, process {pid}, was refused", uid=uid, pid=pid)
            self.transport.abortConnection()
            return
        self._doors.add(self)
        self.log.info("manhole: opened by user {uid}, process {pid}", uid=uid, pid=pid)

    def dataReceived(self, data: bytes) -> None:
        """The first byte tells a terminal from a pipe."""
        if self not in self._doors:
            return
        if self._prompt is None:
            self._open(terminal=data.startswith(_ESCAPE))
        self._prompt.dataReceived(data)

    def readConnectionLost(self) -> None:
        """The peer sends no more: a pipe has ended, a terminal is gone."""
        if IHalfCloseableProtocol.providedBy(self._prompt):
            # What it still has to print may be long in coming, and only a reader would be told of the loss.
            self._watch.start(LOOK_INTERVAL, now=False)
            self._prompt.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Nobody reads; the loss of the connection follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone."""
        self._doors.discard(self)
        if self._watch.running:
            self._watch.stop()
        if self._prompt is not None:
            self._prompt.connectionLost(reason)

    def _look(self) -> None:
        if has_gone(self.transport.socket):
            self.transport.abortConnection()

    def _open(self, *, terminal: bool) -> None:
        from tcpsuite.admin.prompts import PlainPrompt, TerminalServer

        self._prompt = (TerminalServer if terminal else PlainPrompt)(self._names())
        self._prompt.makeConnection(self.transport)


class DoorFactory(Factory):
    """Gives each connection its :class:`Door`."""

    noisy = False

    def __init__(self, names: Callable[[], dict[str, Any]], doors: set[Door], clock: IReactorTime) -> None:
        self._names = names
        self._doors = doors
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Door:
        """Somebody came."""
        return Door(self._names, self._doors, self._clock)


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end of a UNIX socket, as the kernel knows them."""
    pid, uid, _gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


def has_gone(sock: socket.socket) -> bool:
    """Whether the peer of a UNIX socket has closed it, and not only its own sending."""
    state = select.poll()
    state.register(sock, 0)
    return any(event & select.POLLHUP for _, event in state.poll(0))
