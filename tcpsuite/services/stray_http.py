"""Web pages that make a browser speak to a line service, and how they are told from its clients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from tcpsuite.core.lines import LineError

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
HTTP = re.compile(rf"({'|'.join(_METHODS)}) .* HTTP/\d\.\d|Host:.*", re.IGNORECASE | re.DOTALL)
"""The request line, or the header that no browser leaves out: methods can be made up, it cannot."""


def is_http(error: LineError) -> bool:
    """Is what cannot be read a request of HTTP?  No request of a line service is as long as a URL may be."""
    return HTTP.fullmatch(error.line) is not None or (
        error.code == "too-long" and error.verb.upper() in _METHODS
    )


def no_http() -> ProtocolError:
    """What it is answered."""
    return ProtocolError("http", "this is not an HTTP server")
