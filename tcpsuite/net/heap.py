"""What the C library does with memory that is no longer used.  Where it is not GNU's nothing is done here."""

from __future__ import annotations

from typing import Any

_ARENA_MAX = -8  # as malloc.h has it


def keep_one() -> None:
    """Have threads that begin to allocate from now on use one heap together.

    By itself the library makes one for each, keeps there the largest block that the thread ever had, and does
    not give it back to the system for :func:`trim` either.
    """
    if (mallopt := _find("mallopt")) is not None:
        mallopt(_ARENA_MAX, 1)


def trim() -> None:
    """Give back what is free."""
    if (malloc_trim := _find("malloc_trim")) is not None:
        malloc_trim(0)


def _find(name: str) -> Any:
    """A function of the C library, if it has that."""
    import ctypes  # a megabyte, which most never want

    return getattr(ctypes.CDLL(None), name, None)
