"""What a running process may be told to change, read from what came over the network.

Nothing is done here: :mod:`tcpsuite.admin.control` does it.  What came must fit exactly, for whoever sent it
meant something by each word; and it can name no code, no file and no secret.  An address is only text here:
the upstream judges it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, ClassVar, NoReturn, TypeVar

from attrs import NOTHING, Attribute, fields, frozen, resolve_types

from tcpsuite.core.servers import Administration
from tcpsuite.net.options import ServerOptions
from tcpsuite.options import ClientEndpoint, Duration, OptionError, Size, parse_duration, parse_size

LONGEST_PAUSE = 86_400.0
"""Seconds that clients can be told to wait; who means more than a day means to shut a door."""
MOST_RESUMED = 1_000_000.0
"""Clients a second that can be let in; no machine takes more."""
LONGEST_NAME = 64
"""Characters of the name of an added server, which stands in each metric of it, and of its address."""


class MisreadError(OptionError):
    """What came does not fit.  ``str`` says where, what was expected, and what came.

    :param got: what came; ``attrs.NOTHING`` when nothing did.
    :ivar where: the member of the JSON object, ``add.weight``; empty for all of it.
    """

    def __init__(self, where: str, expected: str, got: object) -> None:
        super().__init__(expected, got)
        self.where = where

    def __str__(self) -> str:
        said = f"expected {self.expected}, got nothing" if self.got is NOTHING else super().__str__()
        return f"{self.where}: {said}" if self.where else said


@frozen
class Administer:
    """Say what is wanted of a server."""

    state: Administration

    @property
    def word(self) -> str:
        """What is counted."""
        return self.state.value

    def __str__(self) -> str:
        return self.state.value


@frozen
class SetWeight:
    """Give a server another share of new connections."""

    word: ClassVar[str] = "weight"
    weight: int

    def __str__(self) -> str:
        return f"weight {self.weight}"


@frozen
class KillConnections:
    """Reset every connection to a server."""

    word: ClassVar[str] = "kill_connections"

    def __str__(self) -> str:
        return "kill connections"


@frozen
class Pause:
    """Let clients wait.

    :ivar limit: seconds, at most; ``None`` for what the configuration says.
    """

    word: ClassVar[str] = "pause"
    limit: float | None

    def __str__(self) -> str:
        return "pause" if self.limit is None else f"pause for {self.limit:g} s"


@frozen
class Resume:
    """Let those in that wait.

    :ivar rate: so many a second; 0 for all at once.
    """

    word: ClassVar[str] = "resume"
    rate: float

    def __str__(self) -> str:
        return f"resume, {self.rate:g} a second" if self.rate else "resume"


@frozen
class Add:
    """Take a further server into an upstream."""

    word: ClassVar[str] = "add"
    options: ServerOptions

    def __str__(self) -> str:
        return f"add {self.options.name} at {self.options.address}"


@frozen
class Remove:
    """Take a server out of an upstream.

    :ivar force: whether its connections are cut; otherwise it must have none.
    """

    word: ClassVar[str] = "remove"
    name: str
    force: bool

    def __str__(self) -> str:
        return f"remove {self.name}{', by force' if self.force else ''}"


@frozen
class ClearAffinity:
    """Forget which server clients had.

    :ivar client: the IP address of one of them; ``None`` for all.
    """

    word: ClassVar[str] = "clear_affinity"
    client: str | None

    def __str__(self) -> str:
        return f"clear affinity{'' if self.client is None else f' of {self.client}'}"


T = TypeVar("T")
_Read = Callable[[str, Any], T]
ServerChange = Administer | SetWeight | KillConnections
UpstreamChange = Pause | Resume | Add | Remove | ClearAffinity


def parse(body: bytes) -> Any:
    """The JSON that a body is.

    :raises MisreadError: when it is none, or says one thing twice.
    """
    try:
        return json.loads(body, object_pairs_hook=_object, parse_constant=_no_number)
    except MisreadError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one of the former
        raise MisreadError("", f"a JSON object ({error})", body[:100].decode("latin-1")) from None


def server_change(value: Any) -> ServerChange:
    """The change of one server that ``value`` asks for: ``{"state": "drain"}``, ``{"weight": 3}``,
    ``{"kill_connections": true}``.

    :raises MisreadError: when it asks for none, or for several.
    """
    word, read = _only(value, _OF_A_SERVER)
    return read(word, value[word])


def upstream_change(value: Any) -> UpstreamChange:
    """The change of an upstream that ``value`` asks for: ``{"pause": 30}``, ``{"resume": 100}``,
    ``{"add": {"name": …, "address": …}}``, ``{"remove": {"name": …}}``, ``{"clear_affinity": "192.0.2.7"}``.

    ``true`` in place of a number pauses as long as the configuration says, and resumes all at once; in place
    of an address it stands for all clients.

    :raises MisreadError: when it asks for none, or for several.
    """
    word, read = _only(value, _OF_AN_UPSTREAM)
    return read(word, value[word])


def _only(value: Any, known: Mapping[str, _Read[T]]) -> tuple[str, _Read[T]]:
    """The one word of ``value``, and what reads what stands beside it."""
    expected = f"an object with one of {', '.join(known)}"
    if not isinstance(value, dict) or len(value) != 1:
        raise MisreadError("", expected, value)
    (word,) = value
    if word not in known:
        raise MisreadError("", expected, word)
    return word, known[word]


def _state(where: str, value: Any) -> Administer:
    try:
        return Administer(Administration(value))
    except ValueError:
        raise MisreadError(
            where, f"one of {', '.join(each.value for each in Administration)}", value
        ) from None


def _weight(where: str, value: Any) -> SetWeight:
    return SetWeight(_field(where, _options()["weight"], value))


def _kill(where: str, value: Any) -> KillConnections:
    if value is not True:
        raise MisreadError(where, "true", value)
    return KillConnections()


def _pause(where: str, value: Any) -> Pause:
    return Pause(None if value is True else _within(where, value, LONGEST_PAUSE, "seconds"))


def _resume(where: str, value: Any) -> Resume:
    return Resume(0.0 if value is True else _within(where, value, MOST_RESUMED, "clients a second"))


def _add(where: str, value: Any) -> Add:
    known = _options()
    _table(where, value, known)
    for name, field in known.items():
        if field.default is NOTHING and name not in value:
            doc = field.metadata["doc"]
            raise MisreadError(f"{where}.{name}", doc[0].lower() + doc[1:].removesuffix("."), NOTHING)
    values = {name: _field(f"{where}.{name}", known[name], given) for name, given in value.items()}
    return Add(ServerOptions(**values))


def _remove(where: str, value: Any) -> Remove:
    _table(where, value, ("name", "force"))
    name, force = value.get("name"), value.get("force", False)
    return Remove(_text(f"{where}.name", name), _truth(f"{where}.force", force))


def _clear_affinity(where: str, value: Any) -> ClearAffinity:
    if value is True:
        return ClearAffinity(None)
    try:
        return ClearAffinity(as_seen(_text(where, value)))
    except ValueError:  # a MisreadError is one
        raise MisreadError(where, "true, or an IP address", value) from None


def as_seen(client: str) -> str:
    """An address as the kernel writes it, for so it stands in records, and so balancers are given it.

    :raises ValueError: when it is none.
    """
    ip_address(client)
    host, percent, zone = client.partition("%")
    family = AF_INET6 if ":" in host else AF_INET
    return inet_ntop(family, inet_pton(family, host)) + percent + zone


def _options() -> dict[str, Attribute[Any]]:
    """The options of a server that can be set from afar."""
    return {field.name: field for field in fields(resolve_types(ServerOptions)) if field.type in _KINDS}


def _table(where: str, value: Any, known: Any) -> None:
    expected = f"an object of {', '.join(known)}"
    if not isinstance(value, dict):
        raise MisreadError(where, expected, value)
    for name in value:
        if name not in known:
            raise MisreadError(where, expected, name)


def _field(where: str, field: Attribute[Any], value: Any) -> Any:
    """What an option of a server is to be."""
    assert field.type is not None
    try:
        done = _KINDS[field.type](where, value)
        if (check := field.metadata["check"]) is not None:
            check(done)
    except MisreadError:
        raise
    except OptionError as error:
        raise MisreadError(where, error.expected, value) from None
    return done


def _within(where: str, value: Any, most: float, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise MisreadError(where, f"true, or a number above 0 and up to {most:g} {unit}", value)
    return float(value)


def _whole(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MisreadError(where, "a whole number", value)
    return value


def _truth(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise MisreadError(where, "true or false", value)
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise MisreadError(where, f"1 to {LONGEST_NAME} printable characters", value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise MisreadError("", "each member once", next(name for name in names if names.count(name) > 1))
    return found


def _no_number(text: str) -> NoReturn:
    raise MisreadError("", "a number", text)


_OF_A_SERVER: Mapping[str, _Read[ServerChange]] = {
    "state": _state,
    "weight": _weight,
    "kill_connections": _kill,
}
_OF_AN_UPSTREAM: Mapping[str, _Read[UpstreamChange]] = {
    "pause": _pause,
    "resume": _resume,
    "add": _add,
    "remove": _remove,
    "clear_affinity": _clear_affinity,
}
_KINDS: Mapping[Any, _Read[Any]] = {
    str: _text,
    ClientEndpoint: lambda where, value: ClientEndpoint(_text(where, value)),
    int: _whole,
    bool: _truth,
    Duration: lambda _, value: parse_duration(value),
    Size: lambda _, value: parse_size(value),
}
