"""The ``[limits]`` table: what one client, or one user, may have and do, and how that is kept to."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.core.limits import LIMITS, Limits
from tcpsuite.net.refusing import WAYS
from tcpsuite.options import Duration, FilePath, OptionError, between, option


def _known_limits(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in LIMITS:
            raise OptionError(f"names of limits, of {', '.join(LIMITS)}", name)


@frozen
class LimitsOptions(Limits):
    """The ``[limits]`` table, for every listener; ``[listener.NAME.limits]`` overrides single options."""

    connections: int = option(
        10_000,
        "Connections that a listener serves at once; past it accepting rests, the kernel lets new ones wait.",
        check=between(1, 1_000_000),
    )
    exempt_loopback: bool = option(
        True,
        "Whether addresses of this machine itself, and UNIX sockets, are exempt from the limits by address.",
    )
    overrides: FilePath = option(
        FilePath(""),
        "A file of other limits for some networks and users, read again when it changes; empty for none.",
    )
    shared: tuple[str, ...] = option(
        (),
        "Names of limits that count in all processes together that share [redis] and have a listener of this "
        "name.",
        check=_known_limits,
    )
    batch: float = option(
        # Of a hundred that is twenty: no browser opens more at once, and few pools.
        0.2,
        "Of a shared limit each process takes this part at a time, and lets in as much on credit before it "
        "was told what there is: by so much for each process the limit may be exceeded.",
        check=between(0.001, 1),
    )
    local_share: float = option(
        # A third for each of three, rounded up.
        0.34,
        "While Redis is away each process lets in this part of a shared limit by itself.",
        check=between(0.001, 1),
    )
    refuse_when_away: tuple[str, ...] = option(
        (),
        "Names of shared limits that let in nobody while Redis is away.",
        check=_known_limits,
    )
    dry_run: tuple[str, ...] = option(
        (),
        "Names of limits that refuse nobody, and of which log and metrics tell whom they would have refused.",
        check=_known_limits,
    )
    reject: str = option(
        "close",
        "What becomes of a connection that a limit refuses: close; reset; tarpit holds it in silence; answer "
        "says why in the words of the service, where it has any.",
        choices=WAYS,
    )
    tarpit_time: Duration = option(
        Duration(10.0),
        "With tarpit, a refused connection is held for so long.",
        check=between(0.1, 3600, "seconds"),
    )
    tarpit_connections: int = option(
        1000,
        "With tarpit or answer, refused connections that are held at once; past it they are closed.",
        check=between(1, 1_000_000),
    )
