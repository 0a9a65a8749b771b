"""The methods of the message service: those that are built in, and those that a file names.

A method is any callable.  It is given the body of the request, in bytes; one that takes two arguments is
given the :class:`Call` too.  It returns bytes, or ``None`` for none, or a Deferred or coroutine of these,
which is cancelled when nobody waits for it any more.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field

from tcpsuite.core.messages.wire import name
from tcpsuite.errors import RequestFailed
from tcpsuite.options import OptionError, import_provider

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tcpsuite.core.connections import Connection

Answer = bytes | None
Function = Callable[..., Answer | Awaitable[Answer]]


@define(eq=False)
class Method:
    """One method, and how often it was called."""

    function: Function
    wants_call: bool = False
    calls: int = 0
    failed: int = 0

    @classmethod
    def of(cls, function: Any) -> Method:
        """What a callable is as a method."""
        return cls(function, _takes_two(function))


class Methods:
    """The methods of one listener, by name.

    :param more: those that a file adds to the ones built in, or puts in their place: ``module:attribute``.
    """

    def __init__(self, more: Mapping[str, str]) -> None:
        named = {**BUILT_IN, **{each: import_provider(place) for each, place in more.items()}}
        self._methods = {name(each): Method.of(function) for each, function in named.items()}
        self.find = self._methods.get

    def __repr__(self) -> str:
        return f"<Methods {' '.join(self.names())}>"

    def names(self) -> list[str]:
        """What they are called."""
        return sorted(each.decode() for each in self._methods)

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each was called, and has failed."""
        return {
            each.decode(): {"calls": method.calls, "failed": method.failed}
            for each, method in self._methods.items()
            if method.calls
        }


class ICaller(Protocol):
    """What calls methods."""

    connection: Connection

    def seconds(self) -> float:
        """The time, by any one clock."""

    def send_notes(self, method: str, bodies: tuple[bytes, ...]) -> Deferred[None]:
        """Send them to the client."""

    def stats(self) -> dict[str, Any]:
        """What the service has done."""


@define(eq=False)
class Call:
    """One request or note, as its method sees it.

    :ivar method: the name by which it was called.
    """

    method: str
    _due: float  # on the caller's clock; 0 for never
    _caller: ICaller = field(repr=False)

    @property
    def connection(self) -> Connection:
        """The record of the connection, or stream, that it came on."""
        return self._caller.connection

    @property
    def time_left(self) -> float | None:
        """Seconds until nobody waits for the answer any more; ``None`` for any number."""
        return max(0.0, self._due - self._caller.seconds()) if self._due else None

    def send(self, method: str, *bodies: bytes) -> Deferred[None]:
        """Send the client notes, before the answer.

        :return: fires when there is room for more; wait for it, or memory fills for a client that does not
            read.
        """
        return self._caller.send_notes(method, bodies)

    def stats(self) -> dict[str, Any]:
        """What the service has done."""
        return self._caller.stats()


def check_methods(methods: Mapping[str, str]) -> None:
    """A check that each method has a name that can be sent, and a callable that can be imported."""
    for each, place in methods.items():
        try:
            name(each)
        except ValueError as error:
            raise OptionError("a name of 1 to 255 bytes", each) from error
        if ":" not in place or not callable(import_provider(place)):
            raise OptionError("module:attribute that can be called", place)


def echo(body: bytes) -> bytes:
    """The body."""
    return body


def discard(_body: bytes) -> None:
    """Nothing."""


MOST_GENERATED = 8 * 1024**2
BATCH = 64 * 1024


async def generate(body: bytes, call: Call) -> bytes:
    """So many bytes as the body says, in decimal; behind a second number, so many notes of that size, called
    generate, and how many there were.
    """
    try:
        size, *counts = map(int, body.split())
    except ValueError:
        raise RequestFailed("usage", "expected SIZE, or SIZE COUNT") from None
    if not 0 <= size <= MOST_GENERATED or len(counts) > 1:
        raise RequestFailed("usage", f"expected SIZE, or SIZE COUNT, of at most {MOST_GENERATED} bytes")
    if not counts:
        return bytes(size)
    left = counts[0]
    notes = (bytes(size),) * (1 + BATCH // (size + 1))
    while left > 0:
        await call.send("generate", *notes[:left])
        left -= len(notes)
    return b"%d" % counts[0]


def time(_body: bytes) -> bytes:
    """The time of this machine, in UTC, to the microsecond: RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="microseconds").encode()


def stats(_body: bytes, call: Call) -> bytes:
    """What the service has done, in JSON."""
    return json.dumps(call.stats()).encode()


BUILT_IN: Mapping[str, Function] = {
    "echo": echo,
    "discard": discard,
    "generate": generate,
    "time": time,
    "stats": stats,
}


def _takes_two(function: Any) -> bool:
    try:
        parameters = signature(function).parameters.values()
    except ValueError:  # of something written in C nothing may be known
        return False
    needed = [
        each
        for each in parameters
        if each.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        and each.default is Parameter.empty
    ]
    return len(needed) > 1
