"""Uses of sessions that are noted, and stored later, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tcpsuite.core.sessions import Session

    Uses = Mapping[bytes, tuple[float, int]]


class NotedUses:
    """When sessions were last used, and how often, as far as that is not stored."""

    def __init__(self) -> None:
        self._uses: dict[bytes, tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<NotedUses of {len(self)}>"

    def __len__(self) -> int:
        return len(self._uses)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._uses)

    def __contains__(self, digest: object) -> bool:
        return digest in self._uses

    def note(self, digest: bytes, used: float, requests: int) -> None:
        """A session was used at ``used`` (seconds since the epoch), and so many times more."""
        latest, before = self._uses.get(digest, (used, 0))
        self._uses[digest] = (max(latest, used), before + requests)

    def take(self, digests: Iterable[bytes]) -> Uses:
        """What is noted of these, to be stored; it is noted no more."""
        return {digest: self._uses.pop(digest) for digest in digests}

    def put_back(self, uses: Uses) -> None:
        """These could not be stored."""
        for digest, (used, requests) in uses.items():
            self.note(digest, used, requests)

    def lay_over(self, session: Session | None) -> Session | None:
        """Tell of a session as it was stored what is noted beyond that."""
        if session is not None and session.digest in self._uses:
            used, requests = self._uses[session.digest]
            session.used = max(session.used, used)
            session.requests += requests
        return session
