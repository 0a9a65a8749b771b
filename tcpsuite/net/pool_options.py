"""The ``[upstream.NAME.pool]`` table: how the connections to each server are supplied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import fields, frozen

from tcpsuite.core.pooling.settings import (
    IDLE_ORDERS,
    MESSAGE,
    MODES,
    PRESETS,
    SESSION,
    PoolSettings,
    bounds,
)
from tcpsuite.net.resets import RESETS
from tcpsuite.options import Duration, OptionError, Provider, between, option

HOOKS: Mapping[str, tuple[str, ...]] = {
    "prepare": (SESSION, MESSAGE),
    "reset": (SESSION,),
    "validate": (SESSION, MESSAGE),
}
"""The options that name what asks a connection, each with the modes that do."""

_DEFAULTS = PoolSettings()


def _setting(name: str, doc: str, unit: str = "") -> Any:
    return option(getattr(_DEFAULTS, name), doc, check=between(*bounds(name), unit))


def _time(name: str, doc: str) -> Any:
    return _setting(name, doc, "seconds")


@frozen
class PoolOptions:
    """How the connections to each server are supplied.

    What is not given is as its ``preset`` says, if there is one, and else as the defaults are.
    """

    mode: str = option(
        _DEFAULTS.mode,
        "on_demand connects when a client comes; preconnect keeps a few warm connections, each used once; "
        "session lends a used one again after a reset, message as it is; a gateway takes neither.",
        choices=MODES,
    )
    preset: str = option(
        "",
        "What is not said in this table is as suits high-throughput, low-latency, resource-constrained or "
        "balanced; empty: the defaults.",
        choices=("", *PRESETS),
    )
    min_connections: int = _setting(
        "min_connections", "Connections to each server that are made ahead; with on_demand there are none."
    )
    max_connections: int = _setting(
        "max_connections",
        "Connections of the pool at most: with session and message all, with preconnect warm ones, with "
        "on_demand none; how many clients a server has is bounded by its own max_connections.",
    )
    max_connecting: int = _setting(
        "max_connecting", "Connections that are made ahead at once: a server that returns meets no herd."
    )
    back_off: Duration = _time(
        "back_off", "Time until a connection that could not be made ahead is tried again."
    )
    back_off_factor: float = _setting(
        "back_off_factor", "So many times longer is each further wait, while it fails again."
    )
    back_off_limit: Duration = _time("back_off_limit", "Time between two such tries at most.")
    warm_max_age: Duration = _time(
        "warm_max_age",
        "With preconnect, a warm connection that nobody took for so long is replaced.",
    )
    acquire_timeout: Duration = _time(
        "acquire_timeout",
        "Who waits longer for a connection gets an error; this and what follows is for session and message.",
    )
    max_waiters: int = _setting(
        "max_waiters", "Who wants a connection while so many wait is refused at once."
    )
    idle_timeout: Duration = _time(
        "idle_timeout",
        "A connection that is unused for longer is closed, while there are more than min_connections.",
    )
    max_idle_time: Duration = _time(
        "max_idle_time", "A connection that is unused for longer is closed in any case, and replaced."
    )
    max_lifetime: Duration = _time("max_lifetime", "A connection that is older is closed once it is unused.")
    lifetime_jitter: float = _setting(
        "lifetime_jitter",
        "The share of its lifetime that a connection may lack, so that not all are renewed at once.",
    )
    max_uses: int = _setting("max_uses", "A connection that was lent so often is closed; 0: no limit.")
    health_check_interval: Duration = _time(
        "health_check_interval", "Time between two checks of a connection that stays unused."
    )
    eviction_interval: Duration = _time(
        "eviction_interval", "Time between two looks for connections that were unused for too long."
    )
    validate_idle: Duration = _time(
        "validate_idle", "A connection that was unused for longer is validated before it is lent."
    )
    validation_timeout: Duration = _time(
        "validation_timeout", "A validation or a reset that takes longer has failed."
    )
    leak_warning: Duration = _time("leak_warning", "The log names who holds a connection for longer.")
    idle_order: str = option(
        _DEFAULTS.idle_order,
        "lifo lends the connection that was used last, so that others may go; fifo the oldest unused one.",
        choices=IDLE_ORDERS,
    )
    error_rate: float = _setting(
        "error_rate", "A connection that failed in a larger share of ten or more uses is closed."
    )
    errors_in_row: int = _setting(
        "errors_in_row", "A connection that failed so often without a success between is closed."
    )
    prepare: Provider = option(
        Provider(""),
        "With session and message, what makes a new connection ready, a login say, within connect_timeout: "
        "module:attribute.",
        choices=("",),
    )
    reset: Provider = option(
        Provider(""),
        "With session, what cleans a connection for the next client: redis, or module:attribute.",
        choices=("", *RESETS),
    )
    validate: Provider = option(
        Provider(""),
        "What asks a connection whether it works, module:attribute; empty: it must be open and silent.",
        choices=("",),
    )
    provider: Provider = option(
        Provider(""), "A pool of your own in place of this one, module:attribute.", choices=("",)
    )

    def __init__(self, mode: str = _DEFAULTS.mode, preset: str = "", **given: Any) -> None:
        """
        :param given: all other options, by name.
        :raises OptionError: when one of them cannot be so.
        """
        if preset not in ("", *PRESETS):
            raise OptionError(f"one of {', '.join(PRESETS)}", preset)
        self.__attrs_init__(mode, preset, **{**PRESETS.get(preset, {}), **given})  # type: ignore[attr-defined]

    def settings(self) -> PoolSettings:
        """What a pool is told of it."""
        return PoolSettings(**{own.name: getattr(self, own.name) for own in fields(PoolSettings)})
