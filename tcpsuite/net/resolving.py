"""The names of hosts, and what resolves them.

Twisted's own resolver asks ``getaddrinfo`` in the reactor's thread pool, once for each who wants to know.  A
name whose lookup takes long soon has all of these threads, nothing else that wants one goes on, and a stop
waits for them.  Here a name is looked up once at a time, in threads that nobody waits for, and what it was
found to be is remembered.  Numeric addresses need nobody to resolve them.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from attrs import Factory, define, evolve
from twisted.internet._resolver import GAIResolver
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    Addresses = tuple[IPv4Address | IPv6Address, ...]

FRESH = 5.0
"""Seconds that an answer is given again without asking.  The system does not say how long it is good for;
where names move, as those of databases that fail over, 5 s is the usual time."""

LATE = 0.5
"""Seconds until who waits for a lookup gets the last good answer: most lookups take a tenth of that, and of
the time to connect most must be left."""

OVERDUE = 30.0
"""Seconds until who waits is told that there is none, where there never was a good answer.  As the C library
comes it asks each of three name servers twice, and waits 5 s each time."""

STALE = 86400.0
"""Seconds after which an answer is no longer the last good one: a day, the least that RFC 8767 recommends."""

MOST_NAMES = 1000
"""Names that are remembered: more than a gateway has servers, and under a megabyte."""

MOST_LOOKUPS = 16
"""Lookups that are under way at once, each in a thread.  So many names can be stuck before one that is not
must wait; one that waits has its last good answer."""

_FAMILIES = {
    frozenset({IPv4Address}): socket.AF_INET,
    frozenset({IPv6Address}): socket.AF_INET6,
    frozenset({IPv4Address, IPv6Address}): socket.AF_UNSPEC,
}
_KINDS: dict[int, type[IPv4Address | IPv6Address]] = {
    socket.AF_INET: IPv4Address,
    socket.AF_INET6: IPv6Address,
}
_SOCKETS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


def install(reactor: Any) -> None:
    """Have ``reactor`` resolve as this module does, unless somebody has given it a resolver of their own."""
    if isinstance(getattr(reactor, "nameResolver", None), GAIResolver):
        reactor.installNameResolver(NumericResolver(NameResolver(reactor, look_up_in_threads(reactor))))


class Question(NamedTuple):
    """What is looked up: a name, for addresses of one family or of all, for TCP or UDP."""

    name: str
    family: int
    semantics: Literal["TCP", "UDP"]


def look_up_in_threads(reactor: Any) -> Callable[[Question], Deferred[Addresses]]:
    """What asks ``getaddrinfo``, :data:`MOST_LOOKUPS` times at once at most.

    Its threads are daemons that nobody joins: no stop waits for a lookup.

    :param reactor: an ``IReactorFromThreads``.
    :return: called with a question; fires with the addresses, of port 0, or fails as ``getaddrinfo`` does.
    """
    pool = ThreadPool(0, MOST_LOOKUPS, "names")
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    return lambda question: deferToThreadPool(reactor, pool, _look_up, question)


def _look_up(question: Question) -> Addresses:
    name, family, semantics = question
    found = socket.getaddrinfo(name, 0, family, _SOCKETS[semantics])
    return tuple(_KINDS[each[0]](semantics, *each[4]) for each in found if each[0] in _KINDS)


@define
class _Good:
    """An answer that was good."""

    addresses: Addresses
    at: float
    in_its_place: bool = False
    """Whether it stands in for one that is missing now."""


@define(eq=False)
class _Lookup:
    """One that is under way."""

    waiting: list[_Waiting] = Factory(list)
    overdue: IDelayedCall | None = None
    """``None`` once nobody waits for it any more."""


@implementer(IHostnameResolver)
class NameResolver:
    """Looks each name up once at a time, whoever asks; what was found is good for :data:`FRESH` seconds.

    While a lookup takes longer than :data:`LATE`, or when it fails, the last good answer holds; a name of
    which the system says that there is none such is forgotten.

    :param clock: an ``IReactorTime``.
    :param look_up: fires with the addresses for a question, or fails.
    """

    log = Logger()

    def __init__(self, clock: Any, look_up: Callable[[Question], Deferred[Addresses]]) -> None:
        self._clock = clock
        self._look_up = look_up
        self._good: dict[Question, _Good] = {}  # the one found least lately comes first
        self._lookups: dict[Question, _Lookup] = {}

    def __repr__(self) -> str:
        return f"<NameResolver knows {len(self._good)}, looks up {len(self._lookups)}>"

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: Any = "TCP",
    ) -> Any:
        """Resolve ``hostName``: see ``IHostnameResolver``.  The receiver may be told all of it at once."""
        family = _FAMILIES[frozenset(_KINDS.values() if addressTypes is None else addressTypes)]
        question = Question(hostName, family, transportSemantics)
        waiting = _Waiting(resolutionReceiver, hostName, portNumber)
        resolutionReceiver.resolutionBegan(waiting)
        good, lookup = self._good.get(question), self._lookups.get(question)
        if good is not None and self._clock.seconds() - good.at < FRESH:
            waiting.tell(good.addresses)
        elif lookup is None:
            self._begin(question, waiting)
        elif lookup.overdue is None:
            waiting.tell(self._last_good(question))
        else:
            lookup.waiting.append(waiting)
        return waiting

    def _begin(self, question: Question, first: _Waiting) -> None:
        patience = LATE if self._last_good(question) else OVERDUE
        lookup = self._lookups[question] = _Lookup([first])
        lookup.overdue = self._clock.callLater(patience, self._late, question, lookup)
        looking = maybeDeferred(self._look_up, question)
        looking.addCallback(self._found, question).addErrback(self._failed, question)
        looking.addCallback(self._answer, question, lookup)

    def _late(self, question: Question, lookup: _Lookup) -> None:
        lookup.overdue = None
        self._tell(lookup, self._instead(question, "it takes long"))

    def _found(self, addresses: Addresses, question: Question) -> Addresses:
        before = self._good.pop(question, None)
        if before is not None and before.in_its_place:
            self.log.info("{name} is found again", name=question.name)
        self._good[question] = _Good(addresses, self._clock.seconds())
        if len(self._good) > MOST_NAMES:
            del self._good[next(iter(self._good))]
        return addresses

    def _failed(self, failure: Failure, question: Question) -> Addresses:
        error = failure.value
        if isinstance(error, UnicodeError) or getattr(error, "errno", None) in _NO_SUCH_NAME:
            self._good.pop(question, None)
            return ()
        return self._instead(question, getattr(error, "strerror", None) or str(error))

    def _answer(self, addresses: Addresses, question: Question, lookup: _Lookup) -> None:
        del self._lookups[question]
        if lookup.overdue is not None:
            lookup.overdue.cancel()
        self._tell(lookup, addresses)

    def _tell(self, lookup: _Lookup, addresses: Addresses) -> None:
        waiting, lookup.waiting = lookup.waiting, []
        for each in waiting:
            try:
                each.tell(addresses)
            except Exception:  # the others wait too
                self.log.failure("{name} is found, and who asked cannot be told", name=each.name)

    def _instead(self, question: Question, why: str) -> Addresses:
        """The last good answer in place of one that is missing; said when that begins."""
        addresses = self._last_good(question)
        if addresses and not (good := self._good[question]).in_its_place:
            good.in_its_place = True
            self.log.warn(
                "{name} cannot be looked up ({why}): its last answer holds", name=question.name, why=why
            )
        return addresses

    def _last_good(self, question: Question) -> Addresses:
        good = self._good.get(question)
        return () if good is None or self._clock.seconds() - good.at >= STALE else good.addresses


@implementer(IHostResolution)
@define(eq=False)
class _Waiting:
    """Somebody who wants to know a name."""

    _receiver: Any
    name: str
    _port: int

    def tell(self, addresses: Addresses) -> None:
        """All that there is to tell."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        for address in addresses:
            receiver.addressResolved(evolve(address, port=self._port))
        receiver.resolutionComplete()

    def cancel(self) -> None:
        """Tell nothing more."""
        self._receiver = None


@implementer(IHostResolution)
class _Resolved:
    """A resolution that was over when it began."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """There is nothing left to cancel."""


@implementer(IHostnameResolver)
class NumericResolver:
    """Answers numeric addresses at once, and has another resolver answer names.

    Twisted's own asks ``getaddrinfo`` in a thread for both.

    :param names: the other one.
    """

    def __init__(self, names: IHostnameResolver) -> None:
        self._names = names

    def __repr__(self) -> str:
        return f"<NumericResolver before {self._names!r}>"

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: Any = "TCP",
    ) -> Any:
        """Resolve ``hostName``: see ``IHostnameResolver``."""
        kind: type[IPv4Address | IPv6Address]
        if isIPAddress(hostName):
            kind, family = IPv4Address, socket.AF_INET
        elif isIPv6Address(hostName):
            kind, family = IPv6Address, socket.AF_INET6
        else:
            return self._names.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolved = _Resolved(hostName)
        resolutionReceiver.resolutionBegan(resolved)
        if addressTypes is None or kind in addressTypes:
            # Numeric, so nobody is asked; but it knows the number of the interface behind a "%".
            with suppress(socket.gaierror):
                found = socket.getaddrinfo(hostName, portNumber, family, 0, 0, socket.AI_NUMERICHOST)
                resolutionReceiver.addressResolved(kind(transportSemantics, *found[0][4]))
        resolutionReceiver.resolutionComplete()
        return resolved
