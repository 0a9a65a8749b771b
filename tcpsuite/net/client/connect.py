"""The way to a client that is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tcpsuite.net.client.client import Client
from tcpsuite.net.connecting import server_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IStreamClientEndpoint

    from tcpsuite.net.client.options import ClientOptions


def connect(
    endpoint: IStreamClientEndpoint | str,
    reactor: Any = None,
    options: ClientOptions | None = None,
    *,
    received: Callable[[str, bytes], object] | None = None,
) -> Deferred[Client]:
    """A client of the message service at ``endpoint``, connected.

    :param endpoint: a Twisted client endpoint, or its string: ``mux:tcp:HOST:PORT`` shares one connection
        among all who name it, ``tcp:HOST:PORT`` makes one.
    :param reactor: by default the running one.
    :param received: called with the method and the body of each note that the service sends; without it,
        they wait for :meth:`Client.receive`.
    :return: fails with :class:`~tcpsuite.errors.ConnectFailed` when the first attempt fails; from then on
        it tries again for ever.
    """
    if reactor is None:
        from twisted.internet import reactor
    if isinstance(endpoint, str):
        endpoint = server_endpoint(reactor, endpoint)
    return Client(endpoint, reactor, options, received=received).start()
