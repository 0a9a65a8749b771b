r"""Endpoints whose sockets are set up, and ``tcpsuite:``, an endpoint string for any Twisted program.

::

    twistd web --listen tcpsuite:8080:reusePort=yes --path .
    twistd web --listen 'tcpsuite:8080:interface=\:\::keepaliveIdle=30s:sendBuffer=1MiB' --path .

The arguments of Twisted's own ``tcp:`` stand where they stand there (port, interface, backlog); an
``interface`` that is an IPv6 address makes it IPv6.  ``reusePort`` lets several processes listen on one port,
each with a queue of its own among which the kernel spreads new connections.  All others are the options of a
``[listener.NAME.socket]`` table, written as they are there, with the defaults that they have there, in the
spelling of Twisted's arguments: ``keepalive_idle`` is ``keepaliveIdle``.  ``high_water`` is not among them:
it is no matter of the socket.

The prefix is the project's own name, not one that says what it does: no later Twisted and no other package
will want it, and whoever meets it in a command line knows where to look it up.  It is one prefix for both
families, as ``listenTCP`` is one call for both.
"""

from __future__ import annotations

import re
from socket import socket
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, fields, frozen, resolve_types
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.tcp import makeBinding
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.net.socket_options import BACKLOG, OF_LISTENERS, ListenerSocketOptions, apply
from tcpsuite.options import Duration, Size, parse_duration, parse_size, parse_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IListeningPort, IProtocolFactory


@implementer(IStreamServerEndpoint)
@frozen
class TunedEndpoint:
    """Listens as another endpoint does, and sets the socket up.

    A client that is let in between the two, in the first microseconds, has the kernel's own settings.

    :param endpoint: what listens.
    :param options: how its socket, and those that are accepted on it, are set up.
    :param given: options that were said of this endpoint alone, and so come before those.
    """

    endpoint: IStreamServerEndpoint
    options: ListenerSocketOptions
    given: Mapping[str, Any] = field(factory=dict)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Fires with the port; fails with what the endpoint fails with, or with an ``OSError``, and closes
        the port, when the kernel refuses an option.
        """
        listening: Deferred[IListeningPort] = self.endpoint.listen(protocolFactory)
        return listening.addCallback(self._set_up)

    def _set_up(self, port: IListeningPort) -> IListeningPort | Deferred[IListeningPort]:
        sock = getattr(port, "socket", None)
        if isinstance(sock, socket):  # a port of Twisted's own kind
            try:
                apply(evolve(self.options, **self.given), sock)
            except OSError:
                failure = Failure()
                closed: Deferred[Any] = maybeDeferred(port.stopListening)
                return closed.addBoth(lambda _: failure)
        return port


def parse(
    reactor: Any,
    port: str,
    interface: str = "",
    backlog: str = str(BACKLOG),
    reusePort: str = "no",
    **options: str,
) -> TunedEndpoint:
    """What ``tcpsuite:`` and these arguments describe.

    :raises ValueError: when a value is not what it should be.
    :raises TypeError: when there is no such argument.
    """
    place: Any = int(port)
    if parse_truth(reusePort):
        # SO_REUSEADDR, which a restart needs, is no longer implied then.
        place = makeBinding(interface, place, reuseAddress=True, reusePort=True)
    given = {}
    for name, text in options.items():
        if name not in _ARGUMENTS:
            raise TypeError(f"unexpected keyword argument {name!r}")
        option, read = _ARGUMENTS[name]
        try:
            given[option] = read(text)
            evolve(OF_LISTENERS, **{option: given[option]})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return TunedEndpoint(TCP4ServerEndpoint(reactor, place, int(backlog), interface), OF_LISTENERS, given)


def _number(text: str) -> str | int:
    """A number in digits, which is one of seconds or of bytes; with a unit, what it was."""
    return int(text) if text.isdecimal() else text


_READ: Mapping[Any, Callable[[str], Any]] = {
    bool: parse_truth,
    int: int,
    Duration: lambda text: parse_duration(_number(text)),
    Size: lambda text: parse_size(_number(text)),
}


def _arguments() -> dict[str, tuple[str, Callable[[str], Any]]]:
    """The options by the spelling of Twisted's arguments: what each is called here, and how it is read."""
    resolve_types(ListenerSocketOptions)
    return {
        re.sub(r"_(.)", lambda match: match[1].upper(), own.name): (own.name, _READ[own.type])
        for own in fields(ListenerSocketOptions)
        if own.name not in ("backlog", "high_water")
    }


_ARGUMENTS = _arguments()
ARGUMENTS = ("port", "interface", "backlog", "reusePort", *_ARGUMENTS)
"""What the arguments of ``tcpsuite:`` are called."""
