"""How servers are asked whether they are well: a module for each protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tcpsuite.core.ejection import Ejector
from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.core.scripts.http import HTTP, parse_statuses
from tcpsuite.core.scripts.postgresql import PostgreSQL
from tcpsuite.core.scripts.redis import Redis
from tcpsuite.core.scripts.send_expect import SendExpect, literally, parse_bytes, parse_regex
from tcpsuite.core.scripts.smtp import SMTP
from tcpsuite.interfaces import IHealthCheck
from tcpsuite.net.checks.naming import authority_namer, host_namer
from tcpsuite.net.checks.second_look import WHILE, InTurn, StayCheck
from tcpsuite.net.checks.talk import TalkCheck
from tcpsuite.net.checks.tcp import TCPCheck
from tcpsuite.net.healthcheck import HealthChecker
from tcpsuite.net.providing import provide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from tcpsuite.core.health import Transition
    from tcpsuite.core.scripts import Script
    from tcpsuite.core.servers import Server
    from tcpsuite.net.health_options import HealthOptions

    _Builder = Callable[[Any, HealthOptions], IHealthCheck]


def _tcp(reactor: Any, options: HealthOptions) -> IHealthCheck:
    return TCPCheck(reactor, options.timeout)


def _tls(reactor: Any, options: HealthOptions) -> IHealthCheck:
    from tcpsuite.net.checks.tls import TLSCheck  # needs an extra

    return TLSCheck(reactor, options.timeout, host_namer(options.host), verify=options.verify)


def _talk(script: Callable[[HealthOptions], Script]) -> _Builder:
    return lambda reactor, options: TalkCheck(reactor, options.timeout, script(options))


def _send_expect(options: HealthOptions) -> SendExpect:
    expect = parse_regex(options.expect_regex) if options.expect_regex else literally(options.expect)
    return SendExpect(parse_bytes(options.send), expect)


def _http(options: HealthOptions) -> HTTP:
    return HTTP(options.path, parse_statuses(options.status), authority_namer(options.host))


GRACE = 1.0
"""Seconds behind its time-out until a check is given up that does not keep it."""

CHECKS: Mapping[str, _Builder] = {
    "tcp": _tcp,
    "send_expect": _talk(_send_expect),
    "redis": _talk(lambda options: Redis(options.password)),
    "postgresql": _talk(lambda options: PostgreSQL()),
    "smtp": _talk(lambda options: SMTP()),
    "http": _talk(_http),
    "tls": _tls,
}
"""The built-in checks by the word in the file: called with a reactor and the table."""


def build_checker(
    upstream: str,
    servers: Iterable[Server],
    options: HealthOptions,
    reactor: Any,
    chance: Random,
    changed: Callable[[Server, Transition], None] | None = None,
) -> HealthChecker | None:
    """What watches the servers of an upstream as the table says; ``None`` when nothing is to.

    One that only judges by real connections asks nobody, and keeps what they came to.

    :param upstream: its name, for the log.
    :param changed: called with each server that goes up or down.
    :raises StartError: when a check of somebody's own cannot be built, or is none.
    """
    if not (options.active or options.passive):
        return None
    return HealthChecker(
        upstream,
        servers,
        _build_check(upstream, options, reactor) if options.active else None,
        reactor,
        health=lambda: RiseFall(options.rise, options.fall),
        schedule=Schedule(
            options.interval,
            min(options.fast_interval, options.interval),
            options.down_interval or 2 * options.interval,
        ),
        chance=chance,
        changed=changed,
        patience=options.timeout + GRACE,
    )


def build_ejector(servers: Iterable[Server], options: HealthOptions) -> Ejector | None:
    """What judges the servers by real connections as the table says; ``None`` when nothing is to."""
    if not options.passive:
        return None
    return Ejector(
        (server.name for server in servers),
        errors=options.ejection_errors,
        shortest=options.ejection_time,
        longest=options.max_ejection_time,
    )


def build_second_look(upstream: str, options: HealthOptions, reactor: Any) -> IHealthCheck | None:
    """What asks a server on which real connections cast doubt, as the table says; ``None`` when nobody asks
    servers, or nobody doubts them.

    :raises StartError: when a check of somebody's own cannot be built, or is none.
    """
    if not (options.active and options.passive):
        return None
    checks = _build_check(upstream, options, reactor), StayCheck(reactor, options.timeout + WHILE)
    return InTurn(checks, reactor, options.timeout + WHILE + GRACE)


def _build_check(upstream: str, options: HealthOptions, reactor: Any) -> IHealthCheck:
    if build := CHECKS.get(options.type):
        return build(reactor, options)
    check: IHealthCheck = provide(IHealthCheck, upstream, options.type, {}, reactor, options.timeout)
    return check
