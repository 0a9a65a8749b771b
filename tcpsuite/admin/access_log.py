"""The access log: one line a connection, written when it ends."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import OptionError, option


def _destination(value: str) -> None:
    if value not in {"", "-"} and not value.startswith("/"):
        raise OptionError("an absolute path, - for standard output, or nothing", value)


@frozen
class AccessLogOptions:
    """The ``[access_log]`` table."""

    path: str = option(
        "",
        "Where each connection leaves a line: an absolute path, - for standard output, or empty for nowhere.",
        check=_destination,
    )
    format: str = option("text", "How a line is written: text or json.", choices=("text", "json"))
