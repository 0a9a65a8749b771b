"""The table of all orders of FIN and RST by a client and a server, and what must arrive at the other side."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from tests.integration.support.scripts import Script

NO_WORD = "HAProxy gives up to connect who has finished and said nothing"
NO_RESET = "HAProxy makes a FIN of the server's reset"
NO_RESET_YET = "HAProxy makes a FIN of the client's reset too, when it finds it together with data"
LOST = f"{NO_RESET}, and may not have read what came right before it"
NO_RESET_BEHIND_FIN = "HAProxy makes a FIN of a reset, when it has had the other side's FIN"


@frozen
class Row:
    """An order of things.

    What must arrive is written as a play tells it, with ``some`` for a number of bytes that depends on what
    the kernels hold, and ``or`` between what is as good.

    :ivar name: what happens.
    :ivar script: how.
    :ivar client: what must arrive there.
    :ivar server: the same of the server.
    :ivar haproxy: what the client and the server have of HAProxy instead, where it differs.
    :ivar haproxy_mirrored: the same of the row with the parts exchanged.
    :ivar why: the reason for either.
    :ivar direct: whether it can happen on one connection.
    :ivar late: whether the last step is one that HAProxy does not do: it notices a reset behind a FIN only
        when there is something to write to who sent them.
    """

    name: str
    script: Script
    client: str
    server: str
    haproxy: tuple[str, str] | None = None
    haproxy_mirrored: tuple[str, str] | None = None
    why: str = ""
    direct: bool = True
    late: bool = False

    def __str__(self) -> str:
        return self.name

    def mirrored(self) -> Row:
        """The same with the parts exchanged."""
        return evolve(
            self,
            name=f"{self.name}, the other way",
            script=self.script.mirrored,
            client=self.server,
            server=self.client,
            haproxy=self.haproxy_mirrored,
        )


def row(name: str, script: str, *, client: str, server: str, **more: Any) -> Row:
    """A row of the table."""
    return Row(name, Script.read(script), client, server, direct="busy" not in script, **more)


def met(name: str, script: str, **more: Any) -> Row:
    """A row whose client has had 10 bytes of the server's: what follows is sure to follow the connection."""
    return row(name, f"client: connect; server: accept, send 10; client: read 10; {script}", **more)


BEFORE = [
    row(
        "client FIN before the server is connected",
        "gate: stop; client: connect, finish; gate: go; server: accept any, read to end, send 100, close;"
        "client: read to end",
        client="100 FIN",
        server="0 FIN",
        haproxy=("100 FIN or 0 FIN", "0 FIN or 0 reset or nobody"),
        why=NO_WORD,
    ),
    row(
        "client data and FIN before the server is connected",
        "gate: stop; client: connect, send 100, finish;"
        "gate: go; server: accept, read to end, send 100, close; client: read to end",
        client="100 FIN",
        server="100 FIN",
    ),
    row(
        "client data before the server is connected, more than is kept",
        "gate: stop; client: connect, send 500000, finish; gate: go; server: accept, read to end, close;"
        "client: read to end",
        client="0 FIN",
        server="500000 FIN",
    ),
    row(
        "client reset before the server is connected",
        "gate: stop; client: connect, reset; gate: go; server: accept any, read to end",
        client="0 left",
        server="nobody or 0 reset",
    ),
    row(
        "client data and reset before the server is connected",
        "gate: stop; client: connect, send 100, reset; gate: go; server: accept any, read to end",
        client="0 left",
        server="nobody or 0 reset or 100 reset",
        haproxy=("0 left", "nobody or 0 reset or 100 reset or 100 FIN"),
        why=NO_RESET_YET,
    ),
]

DURING = [
    row(
        "client FIN while the server is being connected",
        "server: busy; client: connect; server: hear SYN; client: finish;"
        "server: free, accept any, read to end, send 100, close; client: read to end",
        client="100 FIN",
        server="0 FIN",
        haproxy=("0 FIN", "nobody"),
        why=NO_WORD,
    ),
    row(
        "client data, more than is kept, and FIN while the server is being connected",
        "server: busy; client: connect; server: hear SYN; client: send 500000, finish;"
        "server: free, accept, read to end, send 100, close; client: read to end",
        client="100 FIN",
        server="500000 FIN",
    ),
    row(
        "client reset while the server is being connected",
        "server: busy; client: connect; server: hear SYN; client: send 100, reset;"
        "server: free, accept any, read to end",
        client="0 left",
        server="nobody or 0 reset or 100 reset",
        haproxy=("0 left", "nobody or 0 reset or 100 reset or 100 FIN"),
        why=NO_RESET_YET,
    ),
]

BEGINNING = [
    row(
        "the server refuses",
        "server: refuse; client: connect, read to end",
        client="0 reset",
        server="nobody",
        haproxy=("0 FIN", "nobody"),
        why="HAProxy ends with a FIN a client for whom there is no server",
    ),
    row(
        "the server accepts, then resets",
        "client: connect; server: accept, reset; client: read to end",
        client="0 reset",
        server="0 left",
        haproxy=("0 FIN", "0 left"),
        why=NO_RESET,
    ),
    row(
        "the server resets on the client's first bytes",
        "client: connect, send 100; server: accept, hear 100, reset; client: read to end",
        client="0 reset",
        server="0 left",
        haproxy=("0 FIN", "0 left"),
        why=NO_RESET,
    ),
    row(
        "the server accepts, then closes",
        "client: connect; server: accept, close; client: read to end",
        client="0 FIN",
        server="0 left",
    ),
    row(
        "the server greets and closes",
        "client: connect; server: accept, send 100, close; client: read to end",
        client="100 FIN",
        server="0 left",
    ),
    row(
        "the server greets and resets",
        "client: connect; server: accept, send 100, drain, reset; client: read to end",
        client="100 reset",
        server="0 left",
        haproxy=("100 FIN or 0 FIN", "0 left"),
        why=LOST,
    ),
]

BOTH_WAYS = [
    met(
        "half-close and a long answer",
        "client: send 100, finish;server: read to end, send 3000000, finish; client: read to end",
        client="3000010 FIN",
        server="100 FIN",
    ),
    met(
        "half-close and answers in turn",
        "client: finish; server: hear FIN, send 1; client: read 1;"
        "server: send 1; client: read 1; server: send 1, close; client: read to end",
        client="13 FIN",
        server="0 left",
    ),
    met(
        "FIN of both, one after the other",
        "client: finish; server: read to end, finish; client: read to end",
        client="10 FIN",
        server="0 FIN",
    ),
    met(
        "data and FIN of both at once",
        "client: send 100, finish; server: send 100, finish;client: read to end; server: read to end",
        client="110 FIN",
        server="100 FIN",
    ),
    met(
        "much data and FIN of both at once",
        "client: send 2000000, finish; server: send 2000000, finish;client: read to end; server: read to end",
        client="2000010 FIN",
        server="2000000 FIN",
    ),
    met(
        "FIN behind a full window",
        "client: fill, finish; server: send 100; client: read 100;"
        "server: read to end, finish; client: read to end",
        client="110 FIN",
        server="some FIN",
    ),
    met(
        "FIN of a stalled side",
        "client: fill; server: finish; client: hear FIN, finish;server: read to end; client: read to end",
        client="10 FIN",
        server="some FIN",
    ),
    met(
        "reset of a quiet connection",
        "client: reset; server: read to end",
        client="10 left",
        server="0 reset",
        haproxy_mirrored=("0 FIN", "10 left"),
        why=NO_RESET,
    ),
    met(
        "data, and a reset right behind it",
        "client: send 100, reset; server: read to end",
        client="10 left",
        server="100 reset",
        haproxy_mirrored=("100 FIN or 0 FIN", "10 left"),
        haproxy=("10 left", "100 FIN or 100 reset or 0 reset"),
        why=f"{LOST}; {NO_RESET_YET}",
    ),
    met(
        "data, taken, and a reset",
        "client: send 50000, drain, reset; server: read to end",
        client="10 left",
        server="50000 reset",
        haproxy_mirrored=("some FIN or 0 FIN", "10 left"),
        haproxy=("10 left", "some FIN or some reset or 0 reset"),
        why=f"{LOST}; {NO_RESET_YET}",
    ),
    met(
        "a close with data unread",
        "server: send 100; client: hear 100, close; server: read to end",
        client="10 left",
        server="0 reset",
        haproxy_mirrored=("0 FIN", "10 left"),
        why=NO_RESET,
    ),
    met(
        "a close, and data after it that does not end",
        "client: close; server: read to end, insist",
        client="10 left",
        server="0 FIN reset",
    ),
    met(
        "a close, and one word after it",
        "client: close; server: read to end, send 100, hear reset",
        client="10 left",
        server="0 FIN reset",
        late=True,
    ),
    met(
        "reset with data queued, towards a stalled side",
        "client: fill, reset; server: read to end",
        client="10 left",
        server="some reset",
        haproxy_mirrored=("some FIN", "10 left"),
        why=NO_RESET,
    ),
    met(
        "reset by a stalled side",
        "client: fill; server: reset; client: read to end",
        client="10 reset",
        server="0 left",
        haproxy=("10 FIN", "0 left"),
        why=NO_RESET,
    ),
    met(
        "FIN, and a reset by the same side while the other talks",
        "client: finish; server: read to end; client: reset; server: insist",
        client="10 left",
        server="0 FIN reset",
    ),
    met(
        "FIN, and a reset by the same side while the other is silent",
        "client: finish; server: read to end; client: reset;server: hear reset",
        client="10 left",
        server="0 FIN reset",
        late=True,
    ),
    met(
        "data, FIN and reset, all at once",
        "client: send 100, finish, reset; server: read to end",
        client="10 left",
        server="100 FIN or 100 reset",
    ),
    met(
        "FIN of one side, reset by the other",
        "client: finish; server: hear FIN, reset; client: read to end",
        client="10 reset",
        server="0 left",
        haproxy=("10 FIN", "0 left"),
        haproxy_mirrored=("0 left", "10 FIN"),
        why=NO_RESET_BEHIND_FIN,
    ),
    met(
        "FIN of one side, data and reset of the other",
        "client: send 100, finish;server: read to end, send 100, drain, reset; client: read to end",
        client="110 reset",
        server="100 FIN",
        haproxy=("110 FIN", "100 FIN"),
        haproxy_mirrored=("100 FIN", "110 FIN"),
        why=NO_RESET_BEHIND_FIN,
    ),
]

TABLE = [*BEFORE, *DURING, *BEGINNING, *BOTH_WAYS, *(each.mirrored() for each in BOTH_WAYS)]
