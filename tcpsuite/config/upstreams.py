"""What the file says of upstreams: what is not well or says nothing, and what of one's own cannot be used."""

from __future__ import annotations

from inspect import signature
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import fields

from tcpsuite.config.walk import options_of
from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.errors import StartError
from tcpsuite.interfaces import IConnectionPool, IHealthCheck
from tcpsuite.net.assembly import build_balancer
from tcpsuite.net.health_options import TYPES
from tcpsuite.net.options import UpstreamOptions
from tcpsuite.net.pool_options import HOOKS
from tcpsuite.net.resets import RESETS
from tcpsuite.options import error_text, format_duration, import_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.net.health_options import HealthOptions

    Remarks = Iterator[tuple[Path, str]]

_OF_PASSIVE = ("ejection_errors", "ejection_time", "max_ejection_time")
"""The options of health that tell how real connections are judged; all others tell how servers are asked."""
_UPSTREAM = fields(UpstreamOptions)


def doubts(config: Config) -> Remarks:
    """What makes little sense in an upstream, or says nothing as the rest of it is."""
    used = {getattr(listener.options, "upstream", None) for listener in config.listeners.values()}
    if any(listener.service == "session" for listener in config.listeners.values()):
        used.add(config.sessions.upstream)
    for name, upstream in config.upstreams.items():
        path = ("upstream", name)
        if name not in used:
            yield path, "no listener leads to it"
        yield from ((path + steps, text) for steps, text in _upstream(upstream))
        yield from ((path + steps, f"it says nothing with {what}") for steps, what in _silent(upstream))


def unusable(config: Config) -> Remarks:
    """What is named as ``module:attribute``, and is not what it is named for.

    A balancer is built, for that does nothing; of all else it is seen that it can be called as it will be.
    """
    for name, upstream in config.upstreams.items():
        path, pool, health = ("upstream", name), upstream.pool, upstream.health
        if upstream.strategy not in STRATEGIES:
            try:
                build_balancer(name, upstream, Random(0))
            except StartError as error:
                yield (*path, "strategy"), _unusable(upstream.strategy, error.__cause__ or error)
        if health.active and health.type not in TYPES:
            try:
                _see_check(health.type)
            except TypeError as error:
                yield (*path, "health", "type"), _unusable(health.type, error)
        for option, modes in HOOKS.items():
            hook = getattr(pool, option)
            if hook and hook not in RESETS and pool.mode in modes:
                try:
                    _see_call(hook, "lease")
                except TypeError as error:
                    yield (*path, "pool", option), _unusable(hook, error)
        if pool.provider:
            try:
                _see_pool(pool.provider)
            except TypeError as error:
                yield (*path, "pool", "provider"), _unusable(pool.provider, error)


def _unusable(provider: str, error: BaseException) -> str:
    return f"{provider} cannot be used: {error_text(error)}"


def _see_check(name: str) -> None:
    """See that a health check can be had of ``name``.

    :raises TypeError: when it cannot.
    """
    _see_call(name, "reactor", "timeout")
    _see_class(name, IHealthCheck)


def _see_pool(name: str) -> None:
    """See that a pool can be had of ``name``.

    :raises TypeError: when it cannot.
    """
    _see_call(name, "server", "endpoint", "reactor", settings="settings", connect_timeout="connect_timeout")
    _see_class(name, IConnectionPool)


def _see_class(name: str, interface: Any) -> None:
    """See that what ``name`` names says what it implements, if it is a class."""
    provider = import_provider(name)
    if isinstance(provider, type) and not interface.implementedBy(provider):
        raise TypeError(f"it does not say that it implements {interface.__name__}")


def _see_call(name: str, *arguments: str, **named: str) -> None:
    """See that what ``name`` names can be called with these arguments.

    :raises TypeError: when it cannot.
    """
    try:
        called = signature(import_provider(name))
    except ValueError:
        return  # some of what is written in C does not tell
    try:
        called.bind(*arguments, **named)
    except TypeError as error:
        *others, last = *arguments, *(f"{name}=" for name in named)
        wanted = f"{', '.join(others)} and {last}" if others else last
        raise TypeError(f"it is called with {wanted}, and {error}") from None


def _upstream(upstream: UpstreamOptions) -> Remarks:
    health = upstream.health
    if not any(server.weight for server in upstream.servers):
        yield ("servers",), "every weight is 0, so no server takes a connection"
    if health.active and health.timeout > health.interval:
        yield ("health", "timeout"), f"longer than the interval of {format_duration(health.interval)}"
    if health.passive and health.max_ejection_time < health.ejection_time:
        always = format_duration(health.ejection_time)
        yield ("health", "max_ejection_time"), f"shorter than ejection_time, so every ejection lasts {always}"
    if upstream.connect_timeout > upstream.connect_budget:
        budget = format_duration(upstream.connect_budget)
        yield ("connect_timeout",), f"longer than connect_budget, so attempts end after {budget}"
    if upstream.affinity != "off" and upstream.strategy == "ip_hash":
        yield ("affinity",), "strategy ip_hash leads a client to one server already, and remembers nothing"


def _silent(upstream: UpstreamOptions) -> Remarks:
    """What was changed and says nothing, and with what."""
    health, strategy = upstream.health, f"strategy {upstream.strategy}"
    if upstream.bounded_load and upstream.strategy != "ip_hash":
        yield ("bounded_load",), strategy
    if upstream.affinity == "off":
        for option in ("affinity_timeout", "affinity_entries"):
            if getattr(upstream, option) != getattr(_UPSTREAM, option).default:
                yield (option,), "affinity off"
    if upstream.strategy == "first":
        if upstream.slow_start:
            yield ("slow_start",), strategy
        for number, server in enumerate(upstream.servers):
            if server.weight not in (0, 1):
                yield ("servers", number, "weight"), strategy
    if upstream.cut_when_down and not health.active:
        yield ("cut_when_down",), f"health.mode {health.mode}"
    for option in _silent_health(health):
        yield ("health", option), f"mode {health.mode}"


def _silent_health(health: HealthOptions) -> Iterator[str]:
    for own in options_of(type(health)):
        heard = health.passive if own.name in _OF_PASSIVE else health.active
        if own.name != "mode" and not heard and getattr(health, own.name) != own.default:
            yield own.name
