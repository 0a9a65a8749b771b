"""The ``[upstream.NAME.health]`` table: how it is found out whether the servers are well."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import fields, frozen

from tcpsuite.core.scripts.http import parse_statuses
from tcpsuite.core.scripts.send_expect import parse_bytes, parse_regex
from tcpsuite.options import Duration, OptionError, Provider, Secret, between, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TYPES = ("tcp", "send_expect", "redis", "postgresql", "smtp", "http", "tls")
"""The checks that are built in."""

OPTIONS_OF_TYPES = {
    "send": ("send_expect",),
    "expect": ("send_expect",),
    "expect_regex": ("send_expect",),
    "password": ("redis",),
    "path": ("http",),
    "status": ("http",),
    "host": ("http", "tls"),
    "verify": ("tls",),
}
"""The options that only some types look at."""

_ONE_WORD = re.compile(r"[!-~]+")


def _readable(read: Callable[[str], Any], expected: str) -> Callable[[str], None]:
    """A check that a text can be read so."""

    def check(text: str) -> None:
        try:
            read(text)
        except ValueError as error:
            raise OptionError(f"{expected} ({error})", text) from error

    return check


def _path(text: str) -> None:
    if not (text.startswith("/") and _ONE_WORD.fullmatch(text)):
        raise OptionError("a path that begins with / and has neither a blank nor what is not ASCII", text)


def _host(text: str) -> None:
    if text and not _ONE_WORD.fullmatch(text):
        raise OptionError("the name of a host", text)


@frozen
class HealthOptions:
    """How it is found out whether the servers are well."""

    mode: str = option(
        "hybrid",
        "active asks the servers, passive judges by how real connections to them go, hybrid does both; "
        "none does neither, and every server counts as well.",
        choices=("active", "passive", "hybrid", "none"),
    )
    type: Provider = option(
        Provider("tcp"),
        "How a server is asked: tcp connects and closes; send_expect says and expects what is said below; "
        "redis, postgresql, smtp, http and tls speak these protocols; or module:attribute.",
        choices=TYPES,
    )
    send: str = option(
        "",
        r"With send_expect, what is said, with escapes such as \r\n or \x00; empty: the server speaks first.",
        check=_readable(parse_bytes, "a text with escapes"),
    )
    expect: str = option(
        "",
        "With send_expect, what the answer has in it, written likewise.",
        check=_readable(parse_bytes, "a text with escapes"),
    )
    expect_regex: str = option(
        "",
        "With send_expect, in place of expect: a regular expression of Python's that is found in the answer.",
        check=_readable(parse_regex, "a regular expression"),
    )
    password: Secret = option(
        Secret(""),
        "With redis, the password of its default user; without one a server that wants one counts as well.",
    )
    path: str = option("/", "With http, the path that is asked for.", check=_path)
    status: str = option(
        "200-399",
        'With http, the statuses that are well: "200-399", "200,204".',
        check=_readable(parse_statuses, "statuses of HTTP"),
    )
    host: str = option(
        "",
        "With http and tls, the name that the server is asked for; empty: the host of its address.",
        check=_host,
    )
    verify: bool = option(
        False,
        "With tls, whether the certificate must be good by this system's authorities; a tls: address says "
        "that by itself.",
    )
    interval: Duration = option(
        Duration(5.0), "Time between two checks of a server.", check=between(0.1, 86400, "seconds")
    )
    fast_interval: Duration = option(
        Duration(1.0),
        "Time between two checks while the last one speaks against what the server counts as; the interval, "
        "if that is shorter.",
        check=between(0.1, 86400, "seconds"),
    )
    down_interval: Duration = option(
        Duration(0.0),
        "Time between two checks of a server that is down; 0: twice the interval, 10 s as it stands.",
        check=between(0, 86400, "seconds"),
    )
    timeout: Duration = option(
        Duration(2.0), "A check that takes longer has failed.", check=between(0.01, 3600, "seconds")
    )
    rise: int = option(2, "So many good checks in a row bring a server up.", check=between(1, 1000))
    fall: int = option(
        3,
        "So many failed checks in a row take a server down; the very first one does so alone.",
        check=between(1, 1000),
    )
    ejection_errors: int = option(
        5,
        "So many real connections in a row that could not be made, or that the server reset without a "
        "word, eject it: it gets no new ones for a while. With hybrid it is asked before resets do. At most "
        "half of the servers are ejected at once.",
        check=between(1, 10_000),
    )
    ejection_time: Duration = option(
        Duration(10.0),
        "How long a server is ejected; each further time twice as long.",
        check=between(0.1, 86400, "seconds"),
    )
    max_ejection_time: Duration = option(
        Duration(300.0),
        "No ejection is longer; for each stretch as long as the last one in which no fault came, a doubling "
        "is taken back.",
        check=between(0.1, 86400, "seconds"),
    )

    def __attrs_post_init__(self) -> None:
        """See that the options fit the type.

        :raises ValueError: with all that does not.
        """
        if problems := "; ".join(self._problems()):
            raise ValueError(problems)

    def _problems(self) -> Iterator[str]:
        for own in fields(type(self)):
            types = OPTIONS_OF_TYPES.get(own.name, (self.type,))
            if self.type not in types and getattr(self, own.name) != own.default:
                yield f"{own.name} is for type {' and '.join(types)}, and this is {self.type}"
        if self.type == "send_expect" and bool(self.expect) == bool(self.expect_regex):
            yield "send_expect needs expect or expect_regex, one of them"
        if self.type == "tls" and find_spec("OpenSSL") is None:
            yield "type tls needs the tls extra: pip install 'tcpsuite[tls]'"

    @property
    def active(self) -> bool:
        """Whether the servers are asked."""
        return self.mode in ("active", "hybrid")

    @property
    def passive(self) -> bool:
        """Whether real connections tell how the servers are."""
        return self.mode in ("passive", "hybrid")
