"""The promises between the parts, and to those who bring their own.

A provider is named in the configuration by a short name when it is built in, or by ``module:attribute``.
:mod:`tcpsuite.testing` ships a contract suite for each interface; run it on yours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, frozen
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocol, IProtocolFactory

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server
    from tcpsuite.core.sessions import Kept, Session, SessionTotals


@frozen
class Outcome:
    """How an attempt to reach a server, or a check of it, ended."""

    ok: bool
    error: str = ""
    """What went wrong, for people; empty when nothing did."""
    seconds: float = 0.0
    """How long it took."""
    local: bool = False
    """Whether it failed for want of something here, a descriptor say: that tells nothing of the server."""


@define(eq=False)  # made for each connection: frozen, it would take four times as long
class Verdict:
    """What a limiter says of one client, once; nobody changes it.

    Each verdict is equal to itself alone: two admissions of one client read the same, and are released apart.
    """

    allowed: bool
    limit: str = ""
    """The option that refused: ``connections_per_ip``.  When allowed, one that is only tried and would have;
    empty when there is none."""
    reason: str = ""
    """That refusal in words, numbers included."""
    retry_after: float = 0.0
    """Seconds after which asking again may help; 0 when unknown."""
    key: str = ""
    """Whom it was counted for: an address, a network, a user; empty for who has no limits."""


class ILoadBalancer(Interface):
    """Picks the server for each new connection.

    Built by calling its class, or any callable, with one argument: a ``random.Random`` to draw chance from.
    One is built for each upstream.  It is called on the reactor thread and must never block.
    """

    def pick(servers: Sequence[Server], client: str, now: float) -> Server | None:
        """Choose one of ``servers``.

        :param servers: those that may be used now (up, with weight, with room, not tried before for this
            client), in the order of the configuration; at least one.  As long as neither who they are nor a
            weight has changed, and the client has tried none, the upstream passes the same object again; so
            a balancer may prepare what it needs for those it was given last.  Weights may be fractions, in a
            slow start, of which ``share`` is left.
        :param client: the client's IP address; empty for a UNIX peer.
        :param now: seconds, on the reactor's clock.
        :return: one of ``servers``, or ``None`` to refuse the client.
        """


class ILearning(Interface):
    """A balancer that also wants to know what becomes of its picks.

    To one that does not provide this nothing is told: how many connections a server has, its ``active`` says.
    """

    def started(server: Server, now: float) -> None:
        """A connection to ``server`` is being made; its ``active`` counts it already."""

    def connected(server: Server, outcome: Outcome, now: float) -> None:
        """The attempt ended: connected or failed, after ``outcome.seconds``."""

    def finished(server: Server, outcome: Outcome, now: float) -> None:
        """A connection ended after ``outcome.seconds``; its ``active`` no longer counts it.

        One that its client gave up while it was being made ends here, and was never ``connected``; one that
        failed to connect ended there, and is not ``finished``.
        """


class ITimed(Interface):
    """A balancer that also wants to know how soon servers answer.

    Only for one that provides this the gateway looks at the first bytes that pass.
    """

    def answered(server: Server, seconds: float, now: float) -> None:
        """The first byte of ``server`` came ``seconds`` after the connection to it was made, or after the
        first byte of the client went there, if that was later.
        """


class IReasoned(Interface):
    """A balancer that can also say why: what a pick of it went by.

    It is asked only for clients whose connection is recorded: a pick need prepare nothing for it.
    """

    def because(servers: Sequence[Server], client: str) -> Basis:
        """What the last pick went by.  Asked right behind it, before anything is counted or told, and only
        when it was a server; it must not change what is picked next.

        :param servers: those that it was picked from, as they were given.
        :param client: for whom.
        :return: a :class:`~tcpsuite.core.picks.Told`, or bare numbers of which one is made when somebody
            asks.  The record of the connection keeps it: values, no servers, and nothing that changes.
        """


class ILease(Interface):
    """One connection to a server, handed out by a pool to one taker."""

    server: Server = Attribute("The :class:`~tcpsuite.core.servers.Server` it leads to.")

    def attach(protocol: IProtocol) -> None:
        """Give the connection to ``protocol``.  Once only.

        Its ``makeConnection`` is called, then its ``dataReceived`` with what the server has said meanwhile,
        then what tells it of a half-close or loss that has happened meanwhile.  It may release the lease in
        each of these.

        :raises LeaseError: when it was attached before, or the lease was released.
        """

    def ended() -> Deferred[Outcome]:
        """Fires when the lease is over: the connection is gone, behind the ``connectionLost`` of who took
        it, or when the pool has taken it back to lend it again.

        The outcome is good unless the server is at fault; its seconds count from the handing out.
        """


class IConnectionPool(Interface):
    """Connections to one server.

    Never more than its maximum at once, those being made counted, in the modes that keep connections.  A
    waiter is always answered: with a lease, or with an error that says why not.

    Modes: ``on_demand`` connects when a lease is asked for; ``preconnect`` keeps a few warm connections, each
    used once.  In both a lease leaves the pool for good: its end is the end of the connection.  ``session``
    and ``message`` take connections back and lend them again, the first after a reset.
    """

    def start() -> None:
        """Begin: make what is to be there before it is asked for."""

    def acquire(timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        """A connection to the server.

        :param timeout: seconds to wait at most; the pool's own time-out if ``None``.
        :param holder: who asks, for people: a lease that is held for long is told of with this name.
        :return: fires with the lease when it is connected.  Fails with
            :class:`~tcpsuite.errors.ConnectFailed`, :class:`~tcpsuite.errors.PoolExhausted`,
            :class:`~tcpsuite.errors.OutOfResources` or :class:`~tcpsuite.errors.Closed`.  Cancelling it
            loses no connection.
        :raises TypeError: when ``timeout`` is no number, with nothing begun; ``ValueError`` when it is
            endless, or not a number.
        """

    def release(lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        """The taker is done.  In modes that keep connections a reusable one goes to the next taker, and who
        had it hears no more of it; in the others it is closed if it is still open.  Safe to call twice.

        :param ok: whether it did what it was wanted for.
        :raises LeaseError: when it is a lease of another pool that is not over yet.
        """

    def execute(fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release whatever happened.

        :return: fires with what ``fn`` gave, or fails as it failed.
        """

    def stats() -> dict[str, int | float]:
        """Counts and seconds by name.

        Every pool has these: connections that are ``open``, those being made included, and ``leased``; takers
        who are ``waiting``; and since the beginning connections ``created`` and ``failed``, and ``leases``.
        More may say what the others are doing, how long was waited, and why connections were closed.
        """

    def pause(limit: float = 30.0) -> None:
        """Hold who asks from now on.  Who is held for ``limit`` seconds fails with
        :class:`~tcpsuite.errors.PoolExhausted`.
        """

    def resume(rate: float = 0.0) -> None:
        """Serve those who were held, in their order: ``rate`` in a second, or all at once if it is 0."""

    def close(deadline: float = 0.0) -> Deferred[None]:
        """Take no new work; waiters fail with :class:`~tcpsuite.errors.Closed` now, leases have ``deadline``
        seconds to end and are then cut.  Fires when nothing is left.
        """

    def cut() -> None:
        """Reset every lease now, and refuse who waits for one: they fail with
        :class:`~tcpsuite.errors.Cut`.  The pool goes on.
        """


class IHealthCheck(Interface):
    """One way to ask a server whether it is well.  Keeps no state: rise and fall are counted elsewhere.

    Built by calling its class, or any callable, with the reactor and a time-out in seconds.
    """

    def check(server: Server) -> Deferred[Outcome]:
        """Ask ``server``.

        :return: fires with the :class:`Outcome` within the time-out; a failure of any kind is an outcome, and
            never an errback.
        """


class ILimiter(Interface):
    """Says who may come in, and how much they may do.

    It is called on the reactor thread and must never block.  ``now`` is in seconds, on the reactor's clock.
    """

    def admit(client: str, now: float) -> Verdict:
        """May ``client``, an IP address or empty for a UNIX peer, have one more connection?  When allowed, it
        is counted from this moment until :meth:`release`.
        """

    def admit_user(user: str, now: float) -> Verdict:
        """May ``user`` be logged in on one more connection?  When allowed, it is counted from this moment
        until :meth:`release`, beside the connection itself.
        """

    def spend(key: str, amount: float, now: float) -> Verdict:
        """May ``key``, that of a verdict, do ``amount`` more (requests)?  When allowed, it is spent; a
        refusal costs nothing.  Nothing of it is ever released.
        """

    def release(verdict: Verdict) -> None:
        """The connection of an admission is gone.  Safe to call twice with one verdict; a refusal is ignored,
        and what is not an admission of this limiter.
        """


class IRefusing(Interface):
    """The factory of a service that has words of its own for a client whom a limit refuses."""

    def last_words(verdict: Verdict) -> bytes:
        """All that such a client is told before its connection is closed: a line, a short answer."""


class ISessionStore(Interface):
    """Where sessions are kept, by the SHA-256 of their id.

    Of one session, what is asked first is done first.  Cancelling a Deferred gives up waiting; what was asked
    is done all the same.  The Deferred of what cannot be done fails with
    :class:`~tcpsuite.errors.StoreFailed`, or with :class:`~tcpsuite.errors.Closed` when the store was closed
    before.
    """

    shared: bool = Attribute("Whether other processes may change what is kept.")
    ahead: float = Attribute("Seconds that the clock they all go by is ahead of ours, as far as is known.")
    fault: str = Attribute("Why it is of no use, as far as is known, for the operator; empty while it works.")

    def open() -> None:
        """Make sure that it can be used, before the reactor runs; may block.

        :raises StartError: when it cannot: no permission, no database.
        """

    def create(session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        """Keep a new session, unless there are ``limit`` sessions already, or its user has ``user_limit`` (0:
        no limit).

        :return: fires with whether it is kept, once it is stored, durably if the store is durable; fails with
            :class:`~tcpsuite.errors.StoreFailed`, and does nothing, when there is one of its digest.
        """

    def head(digest: bytes) -> Deferred[Session | None]:
        """Fires with the session without its data, or ``None``.  It costs the same whatever the data is."""

    def get(digest: bytes) -> Deferred[Session | None]:
        """Fires with the session, or ``None``.  It is the caller's own: changing it changes nothing here."""

    def change(
        digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        """Give keys of a session new values; ``None`` removes one.  Other keys stay as they are.

        :param version: that of the session as the caller knows it.  The session gets another one, which
            no state of it has had, nor will have, not even where a change is lost with a machine.
        :param used: when it was used, in seconds since the epoch.
        :param requests: how often it was used since the store last heard of it.
        :return: fires with the session's new version when the change is stored; with ``None`` when it is not,
            for there is no such session, or its version is another one.
        """

    def touch(digest: bytes, used: float, requests: int) -> None:
        """Note that a session was used at ``used`` (seconds since the epoch), and so many times more.

        Every later answer sees it; it is stored with whatever is stored next.  A session is never last used
        before it was.  No session: no effect.
        """

    def delete(digest: bytes) -> Deferred[bool]:
        """Forget a session.  Fires with whether there was one."""

    def expire(used: float, created: float = 0.0) -> Deferred[int]:
        """Forget what was last used before ``used``, or opened before ``created`` (seconds since the epoch).
        Fires with how many.  However many they are, others have their turn meanwhile.
        """

    def totals(top: int = 0) -> Deferred[SessionTotals]:
        """Fires with what can be counted, ``top`` users one by one.  Others have their turn meanwhile."""

    def close() -> Deferred[None]:
        """Fires when everything is stored and nothing is left running.  Safe to call twice."""


class IShrinkable(Interface):
    """Something that keeps what it does not need, in order to be faster: a pool, a cache, a history.

    Pools and the factories of services that provide this are asked when memory is short.
    """

    def shrink() -> None:
        """Give back what can be given back at once.  Called again while memory stays short; must not wait."""


class IRecorded(Interface):
    """A protocol that wants to see the record of its connection."""

    connection = Attribute(
        "The :class:`~tcpsuite.core.connections.Connection`; set before ``makeConnection``.  "
        "The protocol notes there the server, the user, and why it ends."
    )


class IServiceContext(Interface):
    """What a service may use of the process that it runs in."""

    reactor = Attribute("The reactor.")
    deadlines = Attribute(
        "The :class:`tcpsuite.net.deadlines.Deadlines` of all connections: so many time-outs cost one timer."
    )
    listener = Attribute("The name of the listener that the service is built for.")
    limits = Attribute(
        "The :class:`tcpsuite.net.limiting.ServiceLimits` of the listener, for logins and requests."
    )
    allow_plaintext = Attribute("Whether ``[auth]`` lets secrets come from other machines without TLS.")

    def upstream(name: str) -> Any:
        """The :class:`tcpsuite.net.upstream.Upstream` of that name."""

    def sessions() -> Any:
        """The :class:`tcpsuite.net.sessions.SessionManager`, made at its first use."""

    def authenticator() -> Any:
        """The :class:`tcpsuite.net.auth.Authenticator` of the ``[auth]`` table, or ``None`` when it names no
        password file.
        """


class IServiceType(Interface):
    """A service that listeners can name.  Found as a Twisted plugin, like the built-in ones."""

    name = Attribute('The word in the file: ``service = "echo"``.')
    summary = Attribute("One line for people.")
    descriptors = Attribute(
        "Descriptors that one connection takes at most, its own included; 1 if it is not said."
    )

    def options() -> type:
        """Its configuration: a frozen attrs class of :func:`tcpsuite.options.option` fields."""

    def build(options: Any, context: IServiceContext) -> IProtocolFactory:
        """The factory that serves a listener.  Its ``doStart`` and ``doStop`` are called as usual.

        :raises StartError: when ``options`` ask for what is not there: a root directory that does not exist.
        """

    def example(options: Any, host: str, port: int) -> str:
        """A command line that tries the service where it listens: ``echo hello | nc -N 127.0.0.1 7007``.

        Where the endpoint speaks TLS, ``openssl s_client`` and ``curl -k`` stand in for ``nc`` and ``curl``.
        """
