"""The client, for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from tcpsuite.errors import LocalError

if TYPE_CHECKING:
    from tcpsuite.net.client.client import Client


class BlockingClient:
    """Asks as a :class:`~tcpsuite.net.client.client.Client` does, from any thread but the reactor's, and
    returns the answer, or raises the error.  Any number of threads may use one.

    :param client: does the work, in the reactor's thread.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<BlockingClient {self._client!r}>"

    def request(
        self, method: str, body: bytes = b"", timeout: float | None = None, *, repeat: bool = False
    ) -> bytes:
        """The answer to a request."""
        return cast(bytes, self._call(self._client.request, method, body, timeout, repeat=repeat))

    def send(self, method: str, *bodies: bytes) -> None:
        """Send notes; returns when they are on their way, or wait where there is room."""
        self._call(self._client.send, method, *bodies)

    def receive(self) -> tuple[str, bytes]:
        """The next note that the service sends."""
        return cast("tuple[str, bytes]", self._call(self._client.receive))

    def close(self) -> None:
        """End the connection; returns when it is gone."""
        self._call(self._client.close)

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        if isInIOThread():
            raise LocalError("this thread is the reactor's: to wait in it would be for ever")
        return blockingCallFromThread(self._client.reactor, function, *arguments, **named)
