"""What is asked of a page, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import Factory, frozen

from tcpsuite.errors import RemoteError

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@frozen
class Question:
    """A request that was let in.

    :ivar names: the parts of its path that stand where the page's path has capitals.
    :ivar query: what stands behind the question mark.
    :ivar body: only what changes something is given one.
    :ivar who: the peer, for the log.
    :ivar trusted: whether it showed the token, or none is wanted.
    """

    names: tuple[str, ...] = ()
    query: Mapping[str, str] = Factory(dict)
    body: bytes = b""
    who: str = ""
    trusted: bool = True


@frozen
class Answer:
    """What a page gives."""

    body: bytes
    content_type: str
    code: int = 200
    headers: Mapping[str, str] = Factory(dict)

    @classmethod
    def json(cls, value: Any, code: int = 200, **headers: str) -> Answer:
        """``value`` as JSON that people can read."""
        return cls(json.dumps(value, indent=2).encode() + b"\n", "application/json", code, headers)


class RefusedError(RemoteError):
    """A page has no answer to this.

    :ivar code: the HTTP status.
    :ivar more: what a program may want to know beside the sentence.
    """

    def __init__(self, code: int, text: str, **more: Any) -> None:
        super().__init__(text)
        self.code = code
        self.more = more


Ask = Callable[[Question], Awaitable[Answer]]


@frozen
class Page:
    """What a path stands for.

    :ivar text: a sentence for people.
    :ivar get: what GET and HEAD give.
    :ivar post: what POST does; ``None`` where nothing can be changed.
    """

    text: str
    get: Ask
    post: Ask | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it knows."""
        return ("GET", "HEAD") if self.post is None else ("GET", "HEAD", "POST")
