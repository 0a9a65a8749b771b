"""The session service: a client's keys and values, kept under an id that outlives its connection.

The grammar of requests and answers is in ``docs/sessions.md``; what a session is, in
:mod:`tcpsuite.net.sessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen
from twisted.internet.protocol import Factory, connectionDone
from zope.interface import implementer

from tcpsuite.core.attaching.asking import USAGE, Wanted
from tcpsuite.core.connections import Reason
from tcpsuite.core.passwords import is_user
from tcpsuite.core.sessions import ANONYMOUS, check_key
from tcpsuite.errors import LoginFailed, ProtocolError, StartError
from tcpsuite.interfaces import IRefusing
from tcpsuite.net.attaching.attachments import Attachment
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.options import Duration, at_least, between, option
from tcpsuite.services.heirs import HandingOver
from tcpsuite.services.lines import Command
from tcpsuite.services.logins import Logins
from tcpsuite.services.over_limit import refusal_line
from tcpsuite.services.patience import (
    FIRST_BYTE,
    FIRST_BYTE_TIMEOUT,
    IDLE,
    IDLE_TIMEOUT,
    MAX_REQUESTS_IN_HAND,
    READ,
    READ_TIMEOUT,
    REQUESTS_IN_HAND,
    WRITE,
    WRITE_TIMEOUT,
    Patience,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.interfaces import IServiceContext, Verdict
    from tcpsuite.net.auth import Authenticator
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.limiting import ServiceLimits
    from tcpsuite.net.session_data import LiveSession
    from tcpsuite.net.sessions import SessionManager


LOGIN_TIMEOUT = Duration(30.0)
"""Seconds: a person who types has enough of them, and who cannot log in holds no place for longer."""
OUR_TIME = 1.0
"""Seconds more for a client whose request we are still at when its time for a login is over."""


@frozen
class SessionOptions:
    """What a listener with ``service = "session"`` may say."""

    anonymous: bool = option(False, "Whether sessions may be opened without a login.")
    first_byte_timeout: Duration = option(FIRST_BYTE_TIMEOUT, FIRST_BYTE, check=between(0, 86_400, "seconds"))
    login_timeout: Duration = option(
        LOGIN_TIMEOUT,
        "A client that has not opened a session, or gone on with one, so long after it was accepted is cut, "
        "unless anonymous; 0: never.",
        check=between(0, 86_400, "seconds"),
    )
    read_timeout: Duration = option(READ_TIMEOUT, READ, check=between(0, 86_400, "seconds"))
    write_timeout: Duration = option(WRITE_TIMEOUT, WRITE, check=between(0, 86_400, "seconds"))
    idle_timeout: Duration = option(IDLE_TIMEOUT, IDLE, check=between(0, 31_536_000, "seconds"))
    max_requests_in_hand: int = option(MAX_REQUESTS_IN_HAND, REQUESTS_IN_HAND, check=at_least(0))


class SessionProtocol(HandingOver):
    """One connection: at most one user, and one session at a time, until it is attached.

    :param authenticator: logs users in; ``None`` when nobody can.
    :param anonymous: whether sessions may be opened without a login.
    :param limits: asked for each request, and each login; ``None`` for no limits.
    :param patience: as every line service has it.
    :param login_timeout: seconds until there must be a session; 0 for any time.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        sessions: SessionManager,
        authenticator: Authenticator | None,
        anonymous: bool,
        limits: ServiceLimits | None = None,
        patience: Patience | None = None,
        login_timeout: float = 0.0,
    ) -> None:
        super().__init__(reactor, limits, patience)
        self._sessions = sessions
        self._authenticator = authenticator
        self._anonymous = anonymous
        self._user = ""
        self._logins = Logins(limits)
        self._live: LiveSession | None = None
        self._login_timeout = login_timeout
        self._login_deadline: Deadline | None = None

    def connectionMade(self) -> None:
        """Ready for requests, of which one is to begin a session before long."""
        super().connectionMade()
        if self._login_timeout:
            self._expect_login(self._login_timeout)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: the session stays, for its idle time."""
        super().connectionLost(reason)
        self._expect_no_login()
        self._release()
        self._logins.leave()

    async def login(self, user: str, password: str) -> str:
        """Say who you are.  The password is the rest of the line."""
        authenticator = self._authenticator
        if authenticator is None:
            raise ProtocolError("login", "nobody can log in here")
        if self._user or self._live is not None:
            raise ProtocolError("state", "log in once, and before a session is opened")
        if not authenticator.may_use_password(self.connection):
            raise ProtocolError("plaintext", "a password is taken over TLS only")
        try:
            name = await authenticator.login(user, password, self.connection.host)
        except LoginFailed as error:
            raise ProtocolError(error.code, str(error)) from None
        # Only now: who does not know the password takes nothing from who does.
        self._logins.enter(self.connection, name)
        self._user = name
        return name

    async def open_session(self, user: str = "") -> str:
        """Open a session; answers its id."""
        owner = self._may_begin()
        if owner == ANONYMOUS:
            if user and not is_user(user):
                raise ProtocolError("user", "no user can be called so")
            owner += user
        elif user not in ("", owner):
            raise ProtocolError("login", f"you are logged in as {owner}")
        session_id, self._live = await self._sessions.create(owner)
        self._expect_no_login()
        return session_id

    async def resume_session(self, session_id: str) -> str:
        """Go on with a session, on this connection or beside another; answers the number of its keys."""
        self._live = await self._sessions.resume(session_id, self._may_begin())
        self._expect_no_login()
        return str(len(self._live.session.data))

    async def set_key(self, key: str, value: str) -> str:
        """Give a key a value, which is the rest of the line; answered when it is stored."""
        await self._sessions.set(self._session(), key, value)
        return ""

    async def get_key(self, key: str) -> str | None:
        """The value of a key."""
        check_key(key)
        value = await self._sessions.get(self._session(), key)
        if value is None:
            self._no_key()
        return value

    async def delete_key(self, key: str) -> str | None:
        """Remove a key."""
        check_key(key)
        if await self._sessions.delete(self._session(), key):
            return ""
        self._no_key()
        return None

    async def list_keys(self) -> None:
        """The number of keys, and then each of them on a line of its own, sorted."""
        keys = await self._sessions.keys(self._session())
        self.answer("\n".join([f"OK {len(keys)}", *keys]))

    async def info(self) -> str:
        """What there is to say about the session, as words ``name=value``."""
        told = await self._sessions.info(self._session())
        return " ".join(f"{name}={value}" for name, value in told.items())

    async def close_session(self) -> str:
        """End the session, for every connection that uses it; its id is worth nothing from now on."""
        live = self._session()
        await self._sessions.destroy(live)
        self._release()
        return ""

    async def attach(self, connection: str = "", received: str = "", window: str = "") -> None:
        """Join this connection, up to its end, to the session's own to a server."""
        wanted = Wanted.parse(connection, received, window)
        live = self._session()
        if self._sessions.connections is None:
            raise ProtocolError("attach", "there is nothing to be attached to here")
        own = self._sessions.connection(live)
        if not isinstance(own, Attachment):
            raise ProtocolError("attach", "the connections of these sessions are a program's")
        await own.attach(wanted, self)

    async def leave(self) -> None:
        """Say goodbye; the session stays."""
        self.answer("OK")
        self.close(Reason.SERVICE_CLOSED, "QUIT")

    answers = frozenset({"attach", "lost"})
    commands: ClassVar[Mapping[str, Command]] = {
        "LOGIN": Command(login, "LOGIN user password", rest=True),
        "OPEN": Command(open_session, "OPEN [user]"),
        "RESUME": Command(resume_session, "RESUME id"),
        "SET": Command(set_key, "SET key value", rest=True),
        "GET": Command(get_key, "GET key"),
        "DEL": Command(delete_key, "DEL key"),
        "KEYS": Command(list_keys, "KEYS"),
        "INFO": Command(info, "INFO"),
        "ATTACH": Command(attach, USAGE),
        "CLOSE": Command(close_session, "CLOSE"),
        "QUIT": Command(leave, "QUIT"),
    }

    def _may_begin(self) -> str:
        """Whose session may be opened or resumed on this connection."""
        if self._live is not None and not self._live.gone:
            raise ProtocolError("state", "there is a session on this connection; CLOSE ends it")
        self._release()
        if not self._user and not self._anonymous:
            raise ProtocolError("login", "log in first")
        return self._user or ANONYMOUS

    def _session(self) -> LiveSession:
        if self._live is None:
            raise ProtocolError("no-session", "OPEN or RESUME a session first")
        return self._live

    def _expect_login(self, seconds: float) -> None:
        self._login_deadline = self.patience.deadlines.after(seconds, self._no_login)

    def _expect_no_login(self) -> None:
        if self._login_deadline is not None:
            self._login_deadline.cancel()
            self._login_deadline = None

    def _no_login(self) -> None:
        if self.answering:
            # Perhaps it is the login, which waits behind those of others.
            self._expect_login(OUR_TIME)
        else:
            self.connection.because(Reason.DEADLINE, f"no session within {self._login_timeout:g} s")
            self.transport.abortConnection()

    def _no_key(self) -> None:
        # An answer like any other: whoever asks for twenty absent keys has made no error.
        self.answer("ERR no-key there is no such key")

    def _release(self) -> None:
        if self._live is not None:
            self._sessions.release(self._live)
            self._live = None


@implementer(IRefusing)
class SessionFactory(Factory):
    """Serves sessions on any endpoint.

    :param authenticator: logs users in; ``None`` when nobody can.
    :param anonymous: whether sessions may be opened without a login.
    :param limits: asked for each request, and each login; ``None`` for no limits.
    :param patience: as every line service has it; ``None`` for what is usual.
    :param login_timeout: seconds until there must be a session, unless anybody may have one; 0 for any time.
    """

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        sessions: SessionManager,
        authenticator: Authenticator | None = None,
        anonymous: bool = False,
        limits: ServiceLimits | None = None,
        patience: Patience | None = None,
        login_timeout: float = LOGIN_TIMEOUT,
    ) -> None:
        self._patience = patience or Patience(Deadlines(reactor))
        self._login_timeout = 0.0 if anonymous else login_timeout
        self._reactor = reactor
        self._sessions = sessions
        self._authenticator = authenticator
        self._anonymous = anonymous
        self._limits = limits

    def __repr__(self) -> str:
        return f"<SessionFactory {self._sessions!r} {'anonymous' if self._anonymous else 'with logins'}>"

    def buildProtocol(self, addr: IAddress | None) -> SessionProtocol:
        """One connection."""
        return SessionProtocol(
            self._reactor,
            self._sessions,
            self._authenticator,
            self._anonymous,
            self._limits,
            self._patience,
            self._login_timeout,
        )

    def last_words(self, verdict: Verdict) -> bytes:
        """What a client is told whom a limit refuses."""
        return refusal_line(verdict)


def build(options: SessionOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory for a listener.

    :raises StartError: when nobody could ever open a session on it.
    """
    authenticator = context.authenticator()
    if authenticator is None and not options.anonymous:
        raise StartError("nobody can log in; set passwords in [auth], or anonymous = true in the listener")
    patience = Patience(context.deadlines, options.read_timeout, options.max_requests_in_hand)
    return SessionFactory(
        context.reactor,
        context.sessions(),
        authenticator,
        options.anonymous,
        context.limits,
        patience,
        options.login_timeout,
    )


def example(options: SessionOptions, host: str, port: int) -> str:
    """A command line that tries it."""
    if options.anonymous:
        return f"printf 'OPEN\\nSET colour blue\\nGET colour\\n' | nc -N {host} {port}"
    return f"nc {host} {port}"
