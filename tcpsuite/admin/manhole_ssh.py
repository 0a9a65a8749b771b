"""The manhole over SSH: public keys only, on loopback only.  Needs the ``conch`` extra.

``ssh -p PORT host`` gives the prompt, ``ssh -p PORT host 'len(ledger)'`` one answer.
"""
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import secrets
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.cred.portal import IRealm, Portal
from twisted.internet.error import ConnectionDone, ProcessDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.admin.folder import folder_of, secure
from tcpsuite.admin.prompts import PlainPrompt, TerminalServer
from tcpsuite.core.connections import Ledger
from tcpsuite.core.limits import Ceiling, Limits, ResourceLimiter
from tcpsuite.errors import StartError
from tcpsuite.net.admission import Admission
from tcpsuite.net.endpoints import address_text
from tcpsuite.net.listener import Listener

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from twisted.conch.avatar import ConchUser
    from twisted.conch.checkers import SSHPublicKeyChecker
    from twisted.conch.interfaces import IConchUser, ISession
    from twisted.conch.ssh import session
    from twisted.conch.ssh.common import NS, getNS
    from twisted.conch.ssh.connection import (
        MSG_CHANNEL_OPEN_FAILURE,
        OPEN_UNKNOWN_CHANNEL_TYPE,
        SSHConnection,
    )
    from twisted.conch.ssh.factory import SSHFactory
    from twisted.conch.ssh.keys import Key
    from twisted.conch.ssh.session import SSHSession
    from twisted.conch.ssh.transport import (
        DISCONNECT_BY_APPLICATION,
        DISCONNECT_CONNECTION_LOST,
        SSHServerTransport,
    )
    from twisted.conch.ssh.userauth import SSHUserAuthServer

    from tcpsuite.admin.authorized_keys import AuthorizedKeys
except ImportError as error:
    raise StartError(f'manhole: ssh needs the conch extra, pip install "tcpsuite[conch]": {error}') from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    Names = Callable[[], dict[str, Any]]

LOGIN_TIME = 60.0
"""Seconds until a connection must be logged in: longer than anybody takes to type a passphrase."""
MOST_CONNECTIONS = 10
"""Connections at once: prompts are for people."""

_WARNINGS = FilteringLogObserver(globalLogPublisher, [LogLevelFilterPredicate(LogLevel.warn)])
"""What is left of conch's own lines, of which it has dozens a login."""
# It has no class whose logger could be another, and it logs what is typed.
session.log.observer = _WARNINGS


def build_listener(
    endpoints: Sequence[str], authorized_keys: str, state_directory: str, names: Names, reactor: Any
) -> Listener:
    """The listener of the SSH manhole.

    :param endpoints: where, on this machine only: :class:`ManholeOptions` sees to that.
    :param names: gives the namespace of a prompt.
    :raises StartError: when no key may log in, or there is no host key and none can be made.
    """
    keys = AuthorizedKeys(authorized_keys)
    keys.check()
    portal = Portal(_Realm(names, reactor), [SSHPublicKeyChecker(keys)])
    listener = Listener("manhole", "ssh", endpoints, 0, reactor)
    listener.admission = Admission(
        listener="manhole",
        service_name="ssh",
        service=_Factory(portal, host_key(state_directory), reactor),
        limiter=ResourceLimiter(Limits(MOST_CONNECTIONS)),
        ceiling=Ceiling(MOST_CONNECTIONS),
        pause=listener.rest,
        ledger=Ledger(),
        ended=lambda _record: None,
        ids=(f"manhole-{secrets.token_hex(3)}-{number:x}" for number in count(1)),
        clock=reactor,
    )
    return listener


def host_key(state_directory: str) -> Key:
    """The key by which clients know us again; made at first use.

    :raises StartError: when it can be neither read nor made.
    """
    folder = folder_of(state_directory)
    secure(folder)
    path = folder / "ssh_host_ed25519_key"
    try:
        if not path.exists():
            made = Key(Ed25519PrivateKey.generate()).toString("openssh", subtype="v1")
            with open(path, "xb", opener=_private) as file:
                file.write(made)
        key: Key = Key.fromFile(str(path))
    except Exception as error:  # whatever the file may hold
        raise StartError(f"manhole: the host key {path}: {error}") from error
    return key


class _Transport(SSHServerTransport):
    """A connection that must be logged in soon."""

    log = Logger()
    _log = Logger(observer=_WARNINGS)
    factory: _Factory
    transport: Any
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._deadline = self.factory.reactor.callLater(LOGIN_TIME, self._late)

    def setService(self, service: Any) -> None:
        super().setService(service)
        if service.name == b"ssh-connection":
            self._disarm()
            peer = address_text(self.transport.getPeer())
            self.log.info("manhole: {peer} logged in over SSH", peer=peer)

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """The peer says why it leaves: an error is none of ours, and a goodbye is none at all."""
        if reasonCode not in {DISCONNECT_BY_APPLICATION, DISCONNECT_CONNECTION_LOST}:
            peer = address_text(self.transport.getPeer())
            self.log.info("manhole: {peer} left: {why!r}", peer=peer, why=description)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._disarm()
        super().connectionLost(reason)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self.transport.abortConnection()


class _Login(SSHUserAuthServer):
    _log = Logger(observer=_WARNINGS)


class _Channel(SSHSession):
    _log = Logger(observer=_WARNINGS)


class _Channels(SSHConnection):
    """The channels of a connection: sessions, and nothing to forward."""

    _log = Logger(observer=_WARNINGS)

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        """The peer wants a channel."""
        kind, rest = getNS(packet)
        if kind == b"session":
            super().ssh_CHANNEL_OPEN(packet)
        else:
            # Conch takes such a wish for a fault of ours, and logs a traceback.
            refusal = rest[:4] + OPEN_UNKNOWN_CHANNEL_TYPE.to_bytes(4) + NS(b"only sessions") + NS(b"")
            assert self.transport is not None
            self.transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, refusal)


class _Factory(SSHFactory):
    protocol = _Transport
    services = {b"ssh-userauth": _Login, b"ssh-connection": _Channels}  # noqa: RUF012 (conch's own)
    noisy = False
    _log = Logger(observer=_WARNINGS)

    def __init__(self, portal: Portal, key: Key, reactor: Any) -> None:
        self.portal = portal
        self.reactor = reactor
        self.privateKeys = {b"ssh-ed25519": key}
        self.publicKeys = {b"ssh-ed25519": key.public()}


@implementer(IRealm)
@frozen
class _Realm:
    names: Names
    reactor: Any

    def requestAvatar(self, _avatar_id: Any, _mind: Any, *interfaces: Any) -> Any:
        if IConchUser not in interfaces:
            raise NotImplementedError(interfaces)
        return IConchUser, _User(self.names, self.reactor), lambda: None


class _User(ConchUser):
    """Somebody who has logged in."""

    _log = Logger(observer=_WARNINGS)

    def __init__(self, names: Names, reactor: Any) -> None:
        super().__init__()
        self.channelLookup[b"session"] = _Channel
        self._names = names
        self._reactor = reactor

    def __conform__(self, interface: Any) -> Any:
        """Each channel of the connection has a session of its own."""
        return _Session(self._names, self._reactor) if interface is ISession else None


@implementer(ISession)
class _Session:
    """One prompt, and the channel of the client that it is for."""

    def __init__(self, names: Names, reactor: Any) -> None:
        self._names = names
        self._reactor = reactor
        self._size: tuple[int, int] | None = None
        self._prompt: Any = None

    def getPty(self, term: bytes, windowSize: Any, modes: Any) -> None:
        """There is a terminal."""
        self._size = windowSize[1], windowSize[0]

    def openShell(self, proto: Any) -> None:
        """Open the prompt."""
        self._open(TerminalServer(self._names()) if self._size else PlainPrompt(self._names()), proto)
        self._resize()

    def execCommand(self, proto: Any, command: bytes) -> None:
        """Run one line, and leave."""
        self._open(PlainPrompt(self._names()), proto)
        self._prompt.dataReceived(command + b"\n")
        self._prompt.readConnectionLost()

    def windowChanged(self, newWindowSize: Any) -> None:
        """The terminal has another size."""
        self._size = newWindowSize[1], newWindowSize[0]
        self._resize()

    def eofReceived(self) -> None:
        """The client sends no more."""
        if IHalfCloseableProtocol.providedBy(self._prompt):
            self._prompt.readConnectionLost()

    def closed(self) -> None:
        """The client has gone."""
        prompt, self._prompt = self._prompt, None
        if prompt is not None:
            prompt.transport.drop()
            prompt.connectionLost(Failure(ConnectionDone()))

    def _open(self, prompt: Any, proto: Any) -> None:
        self._prompt = prompt
        prompt.makeConnection(_PromptTransport(proto, self._reactor))
        proto.makeConnection(_Keys(prompt))

    def _resize(self) -> None:
        if self._size and isinstance(self._prompt, TerminalServer):
            self._prompt.prompt.terminalSize(*self._size)


class _PromptTransport:
    """What a prompt writes to: the session of a client.

    The first words are held for a turn of the reactor: the client's request for a prompt is answered before
    them.
    """

    def __init__(self, proto: Any, reactor: Any) -> None:
        self.disconnecting = False
        self._proto = proto
        self._held: list[bytes] = []
        self._holding: IDelayedCall | None = reactor.callLater(0, self._release)

    def write(self, data: bytes) -> None:
        if self._holding is not None:
            self._held.append(data)
        elif not self.disconnecting:
            self._proto.write(data)

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            if self._holding is None:
                self._end()

    def drop(self) -> None:
        """Nobody is there any more."""
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _release(self) -> None:
        self._holding = None
        self._proto.write(b"".join(self._held))
        if self.disconnecting:
            self._end()

    def _end(self) -> None:
        self._proto.processEnded(Failure(ProcessDone(None)))


@frozen
class _Keys:
    """What a client's session writes to: its prompt."""

    prompt: Any

    def write(self, data: bytes) -> None:
        self.prompt.dataReceived(data)

    def loseConnection(self) -> None:
        """The session has no process that could be closed."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
