"""The trunks of a reactor: who names the same ``mux:`` string shares its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import gatherResults

if TYPE_CHECKING:
    from tcpsuite.net.mux.endpoints import Trunk

_trunks: WeakKeyDictionary[Any, dict[str, Trunk]] = WeakKeyDictionary()


def trunks_of(reactor: Any) -> dict[str, Trunk]:
    """Those that were asked for on that reactor, by the string that says what they are."""
    return _trunks.setdefault(reactor, {})


async def close_trunks(reactor: Any) -> None:
    """Close the connections of all of them: done when none is left.  Who asks for a stream behind that has
    one made again.
    """
    await gatherResults([trunk.close() for trunk in trunks_of(reactor).values()], consumeErrors=True)
