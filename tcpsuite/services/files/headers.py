"""What the headers of a request say, and which status says what went wrong."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING

from twisted.web.http import stringToDatetime

from tcpsuite.core.conditions import Conditions
from tcpsuite.core.lines import OVER_LIMIT
from tcpsuite.core.paths import Path, parse_path
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from tcpsuite.net.http_request import BoundedRequest
    from tcpsuite.services.files.upload import UploadRights

_STATUS = {
    "bad-path": 400,
    "bad-request": 400,
    "cut": 400,
    "login": 401,
    "forbidden": 403,
    "plaintext": 403,
    "not-found": 404,
    "method": 405,
    "is-directory": 409,
    "length": 411,
    "precondition": 412,
    "too-large": 413,
    "encoding": 415,
    "range": 416,
    "digest": 422,
    OVER_LIMIT: 429,
    "busy": 503,
    "unavailable": 503,
    "no-space": 507,
}

_DIGEST = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):[ \t]*")
_ORIGIN = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


def path_of(uri: bytes) -> Path:
    """The path in the first line of a request, which may name the server too.

    :raises ProtocolError: ``bad-path``.
    """
    origin = _ORIGIN.match(uri)
    path = uri[origin.end() :] if origin else uri
    if not origin and not path.startswith(b"/"):
        raise ProtocolError("bad-path", "a path begins with a slash")
    return parse_path(path.partition(b"?")[0])


def conditions_of(request: BoundedRequest) -> Conditions:
    """The conditional headers of a request."""
    return Conditions(
        if_match=request.header("If-Match"),
        if_none_match=request.header("If-None-Match"),
        if_modified_since=_date(request, "If-Modified-Since"),
        if_unmodified_since=_date(request, "If-Unmodified-Since"),
    )


def is_plain(request: BoundedRequest) -> bool:
    """Whether a body is the file itself, not packed in any way."""
    codings = (request.header("Content-Encoding") or "").lower().split(",")
    return {coding.strip(" \t") for coding in codings} <= {"", "identity"}


def sha256_of(request: BoundedRequest) -> bytes | None:
    """The SHA-256 in a ``Repr-Digest``, of several the last; other digests are not looked at.  RFC 9530, and
    RFC 8941 for the dictionary that it is, of bytes without parameters.

    :raises ProtocolError: ``bad-request`` for anything else: who sends a digest must not believe that it was
        compared when it was not.
    """
    header = request.header("Repr-Digest")
    if header is None:
        return None
    members = [_DIGEST.fullmatch(member) for member in header.split(",")]
    digests = {member[1]: member[2] for member in members if member}
    if None in members:
        raise ProtocolError("bad-request", "digests are a list of name=:base64:")
    if "sha-256" not in digests:
        return None
    try:
        digest = b64decode(digests["sha-256"], validate=True)
    except Base64Error:
        digest = b""
    if len(digest) != 32:
        raise ProtocolError("bad-request", "a sha-256 is :44 characters of base64:")
    return digest


def status_of(error: ProtocolError, rights: UploadRights) -> tuple[int, dict[bytes, list[bytes]]]:
    """The status that says ``error``, and the headers that belong to it."""
    status = _STATUS.get(error.code, 500)
    match status:
        case 401:
            return status, {b"WWW-Authenticate": _challenges(rights)}
        case 405:
            return status, {b"Allow": [b"GET, HEAD, PUT" if rights.enabled else b"GET, HEAD"]}
    return status, {}


def _challenges(rights: UploadRights) -> list[bytes]:
    basic = [b'Basic realm="files", charset="UTF-8"'] if rights.authenticator is not None else []
    return basic + ([b'Bearer realm="files"'] if rights.token else [])


def _date(request: BoundedRequest, name: str) -> int | None:
    """Seconds since the epoch; ``None`` for what is no date of HTTP."""
    value = request.header(name)
    try:
        return None if value is None else stringToDatetime(value.encode("latin-1"))
    except (ValueError, KeyError, IndexError, OverflowError):
        return None
