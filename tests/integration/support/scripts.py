"""Scripts for two TCP puppets: what a client and a server do, step by step.

A script is a value, and its text is all of it::

    client: connect, send 100, finish; server: accept, read to end, send 9, close; client: read to end

The steps are taken in this order, each when the one before is done.  What was sent and did not fit leaves
while later steps wait, and a ``finish`` among it in its place.

=============  ============================================================================================
step           who takes it ...
=============  ============================================================================================
connect        opens a connection by the way that is tried (the client)
accept         takes the next connection (the server)
accept any     takes the connection that the client's became, if it became one (the server)
send N         has N bytes more to say
fill           sends until nothing more is taken: to a peer that is stalled, for it is not its turn to read
insist         sends until it is reset
read N         reads N bytes, fewer when there are no more
read to end    reads until a FIN or a reset
hear N         waits until N bytes are here to be read, and leaves them there
hear FIN       waits until a FIN is here, behind whatever was not read
hear reset     waits until a reset is here
drain          waits until all that it sent was acknowledged
finish         ends its half: a FIN behind what it sent
close          ends both halves, the usual way: a reset when something was not read, else a FIN
reset          ends the connection with a reset, at once
refuse         does not listen, from here on (the server)
busy           listens, but its backlog is full: who connects is kept waiting (the server)
hear SYN       waits until somebody is kept waiting (the server)
free           has room again (the server)
stop, go       stands still, and goes on: whoever is between the two (the gate)
=============  ============================================================================================

In the text of the steps a word of the kernel's stands as it is: FIN, SYN.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

Who = Literal["client", "server", "gate"]

_BOTH = r"send \d+|fill|insist|read \d+|read to end|hear \d+|hear FIN|hear reset|drain|finish|close|reset"
VERBS: dict[Who, re.Pattern[str]] = {
    "client": re.compile(f"connect|{_BOTH}"),
    "server": re.compile(f"accept|accept any|refuse|busy|hear SYN|free|{_BOTH}"),
    "gate": re.compile("stop|go"),
}
SMALL = (1, 10, 1000, 20_000)
"""Bytes of one send of a random script, which wait in the kernel until they are read..."""
LARGE = (*SMALL, 70_000, 300_000, 1_000_000)
"""...and which may not fit there."""


@frozen
class Step:
    """One step.

    :ivar who: takes it.
    :ivar verb: what, with a number and so on behind it: see above.
    """

    who: Who
    verb: str

    def __str__(self) -> str:
        return f"{self.who}: {self.verb}"


@frozen(repr=False)
class Script:
    """Steps in their order."""

    steps: tuple[Step, ...] = field()

    @steps.validator
    def _known(self, _attribute: object, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if not (step.who in VERBS and VERBS[step.who].fullmatch(step.verb)):
                raise ValueError(f"no such step: {step}")

    @classmethod
    def read(cls, text: str) -> Script:
        """The script of that text.

        :raises ValueError: for a step that nobody can take.
        """
        return cls(tuple(_read(text)))

    @classmethod
    def random(cls, seed: int) -> Script:
        """A script by chance, the same one for the same seed."""
        return cls(tuple(_Author(random.Random(seed)).write()))

    @property
    def mirrored(self) -> Script:
        """The same with the parts of client and server exchanged, from the moment that both are there."""
        other: dict[Who, Who] = {"client": "server", "server": "client"}
        alone = ("connect", "accept")
        return Script(
            tuple(
                step if step.verb in alone else Step(other.get(step.who, step.who), step.verb)
                for step in self.steps
            )
        )

    def __str__(self) -> str:
        parts: list[str] = []
        last = None
        for step in self.steps:
            parts.append(f", {step.verb}" if step.who == last else f"; {step}")
            last = step.who
        return "".join(parts)[2:]

    def __repr__(self) -> str:
        return f"<Script {self}>"


def _read(text: str) -> Iterator[Step]:
    for part in text.split(";"):
        who, colon, verbs = part.partition(":")
        if not colon:
            raise ValueError(f"nobody takes the step: {part.strip()}")
        for verb in verbs.split(","):
            yield Step(who.strip(), " ".join(verb.split()))  # type: ignore[arg-type]


class _Part:
    """What the author of a random script knows of one side."""

    def __init__(self, name: Who) -> None:
        self.name = name
        self.unread = 0  # that the other side sent
        self.finished = False
        self.gone = False


class _Author:
    """Writes what has one outcome only, whoever stands between the two.

    An orderly script has no reset: all bytes must arrive, whatever is on its way at the time.  In an abrupt
    one each step waits until the other side has heard of the last, for a reset overtakes bytes and FINs.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._parts = (_Part("client"), _Part("server"))
        self._abrupt = chance.random() < 0.6

    def write(self) -> Iterator[Step]:
        client, server = self._parts
        yield Step("client", "connect")
        if self._chance.random() < 0.3:
            yield from self._send(client, settled=False)
        if self._chance.random() < 0.1:
            yield from self._finish(client, settled=False)
        yield Step("server", "accept")
        if self._abrupt:
            yield from self._settle(server, client)
        for _ in range(self._chance.randrange(1, 12)):
            if client.gone or server.gone:
                break
            yield from self._act(*self._chance.sample(self._parts, 2))
        yield from self._end()

    def _act(self, part: _Part, other: _Part) -> Iterator[Step]:
        acts = [self._read] * 3 + [self._drain]
        if not part.finished:
            acts += [self._send] * 6 + [self._finish] * 2
        if self._abrupt and not (part.finished and other.finished):
            acts += [self._reset, self._close]
        yield from self._chance.choice(acts)(part, other)

    def _send(self, part: _Part, other: _Part | None = None, settled: bool = True) -> Iterator[Step]:
        other = other or self._parts[1]
        size = self._chance.choice(SMALL if self._abrupt else LARGE)
        other.unread += size
        yield Step(part.name, f"send {size}")
        if settled and self._abrupt:
            yield Step(other.name, f"hear {other.unread}")
            if other.unread > 2 * max(SMALL):  # or it might fit no more
                yield from self._read(other, part, other.unread)

    def _finish(self, part: _Part, other: _Part | None = None, settled: bool = True) -> Iterator[Step]:
        part.finished = True
        yield Step(part.name, "finish")
        if settled and self._abrupt and other is not None:
            yield Step(other.name, "hear FIN")

    def _settle(self, part: _Part, other: _Part) -> Iterator[Step]:
        if part.unread:
            yield Step(part.name, f"hear {part.unread}")
        if other.finished:
            yield Step(part.name, "hear FIN")

    def _read(self, part: _Part, _other: _Part, size: int = 0) -> Iterator[Step]:
        if size := size or (part.unread and self._chance.randint(1, part.unread)):
            part.unread -= size
            yield Step(part.name, f"read {size}")

    def _drain(self, part: _Part, other: _Part) -> Iterator[Step]:
        if not other.unread:  # else it might be waited for in vain
            yield Step(part.name, "drain")

    def _reset(self, part: _Part, other: _Part) -> Iterator[Step]:
        part.gone = True
        yield Step(part.name, "reset")
        yield from self._hear_reset(part, other)

    def _close(self, part: _Part, other: _Part) -> Iterator[Step]:
        part.gone = True
        yield Step(part.name, "close")
        if part.unread:
            yield from self._hear_reset(part, other)
            return
        if not part.finished:
            part.finished = True
            yield Step(other.name, "hear FIN")
        if not other.finished and self._chance.random() < 0.5:
            yield Step(other.name, "insist")
            other.finished = True

    def _hear_reset(self, part: _Part, other: _Part) -> Iterator[Step]:
        # Of a side whose FIN has come nothing more is expected, until there is something to say to it.
        yield Step(other.name, "insist" if part.finished else "hear reset")
        part.finished = other.finished = True

    def _end(self) -> Iterator[Step]:
        left = [part for part in self._chance.sample(self._parts, 2) if not part.gone]
        for part in left:
            if not part.finished:
                yield from self._finish(part)
        for part in left:
            yield Step(part.name, "read to end")
