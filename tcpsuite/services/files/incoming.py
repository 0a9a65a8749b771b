"""HTTP ``PUT``: taken over when its headers are there, before a byte of its body is."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tcpsuite.errors import ProtocolError
from tcpsuite.net.body import Body
from tcpsuite.net.http import Phase
from tcpsuite.net.http_request import BoundedRequest
from tcpsuite.services.files.headers import conditions_of, is_plain, path_of, sha256_of, status_of

if TYPE_CHECKING:
    from typing import Any

    from twisted.python.failure import Failure

    from tcpsuite.services.files.share import Share
    from tcpsuite.services.logins import Logins


class Incoming:
    """A ``PUT`` that is under way.

    :param request: its headers are complete.
    :param logins: those of its connection.
    :raises ProtocolError: when it cannot be taken, whoever sends it.
    :ivar path: where it goes.
    :ivar stored: fires with whether there was no such file before, when it is durable; fails with
        :class:`~tcpsuite.errors.ProtocolError`, and nothing is left.  ``None`` before :meth:`begin`.
    """

    stored: Deferred[bool] | None = None
    log = Logger()

    def __init__(self, request: BoundedRequest, share: Share, logins: Logins) -> None:
        headers = request.requestHeaders
        if not share.rights.enabled:
            raise ProtocolError("method", "nothing can be put here")
        if not request.channel.framed:
            raise ProtocolError("length", "say how long it is")
        if headers.hasHeader("Content-Range"):
            # A server that stored a part in the place of the whole would destroy the file.
            raise ProtocolError("bad-request", "a part of a file cannot be put")
        if not is_plain(request):
            raise ProtocolError("encoding", "a file is put as it is")
        self._request = request
        self._share = share
        self._logins = logins
        self.path = path_of(request.uri)
        self._conditions = conditions_of(request)
        self._digest = sha256_of(request)
        self._authorization = request.header("Authorization") or ""
        if not self._authorization:
            raise ProtocolError("login", "only who logs in may put files")
        # Twisted would let the client go on at once.
        self._expects = (request.header("Expect") or "").lower() == "100-continue"
        headers.removeHeader("Expect")
        transport = request.channel.transport
        self._body = Body(transport.pauseProducing, transport.resumeProducing)
        self._lost = False

    def begin(self) -> None:
        """The body comes next."""
        self.stored = Deferred.fromCoroutine(self._store()).addErrback(self._failed)

    def feed(self, data: bytes) -> None:
        """A part of the body."""
        try:
            self._share.rights.check_size(self._body.received + len(data))
        except ProtocolError as error:
            self._body.fail(error)
        else:
            self._body.feed(data)

    def end(self) -> None:
        """The body is complete."""
        self._body.end()

    def cut(self) -> None:
        """The client is gone."""
        self._lost = True
        self._body.fail(ProtocolError("cut", "the connection was lost before the last byte"))
        if self.stored is not None:
            self.stored.cancel()

    async def _store(self) -> bool:
        await self._authorize()
        upload = self._share.uploads.begin(self.path, self._conditions)
        channel = self._request.channel
        begun = self._body.received or channel.buffered
        if self._expects and not begun and self._request.clientproto == b"HTTP/1.1":
            channel.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._share.uploads.store(upload, self._body, self._digest)

    async def _authorize(self) -> None:
        connection = self._request.channel.connection
        if connection is None:
            raise ProtocolError("forbidden", "it is not known where you come from")
        scheme, _, credentials = self._authorization.partition(" ")
        match scheme.lower():
            case "basic":
                user, password = _basic(credentials.strip())
                await self._share.rights.login(user, password, connection, self._logins)
            case "bearer":
                # A header's bytes are Latin-1 here, a token's characters UTF-8.
                token = credentials.strip().encode("latin-1").decode(errors="replace")
                self._share.rights.check_token(token, connection)
            case _:
                raise ProtocolError("login", "log in by Basic, or bear a token")

    def _failed(self, failure: Failure) -> Any:
        """A refusal while the body is coming is said at once; one behind it is the resource's to say."""
        channel = self._request.channel
        if self._lost or channel.phase is Phase.CLOSING:
            return None
        if channel.phase is not Phase.BODY:
            return failure
        error = failure.value
        if isinstance(error, ProtocolError):
            status, more = status_of(error, self._share.rights)
            channel.refuse(status, str(error), more)
        else:
            self.log.failure("an upload failed by our own fault", failure)
            channel.refuse(500, "the server failed; its log says why")
        return None


def _basic(credentials: str) -> tuple[str, str]:
    """User and password.  RFC 7617."""
    try:
        user, colon, password = b64decode(credentials, validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        colon = ""
    if not colon:
        raise ProtocolError("login", "these are no credentials")
    return user, password
