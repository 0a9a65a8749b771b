"""Transports in transports: TLS stands between a protocol and its connection, and so may others."""

from __future__ import annotations

from typing import Any


def beneath(transport: Any) -> Any:
    """The transport that is beneath all wrappers; ``transport`` itself when there are none."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    return transport
