#!/usr/bin/env python3
"""What sessions cost: memory, the time to open and to resume, what a refusal tells, and how late the loop is.

    python benchmarks/sessions.py                          two minutes; it starts a redis-server of its own
    python benchmarks/sessions.py --store memory --sessions 10000

For each store so many sessions are opened in a process of its own, 256 at once, by a session manager as the
session service has it.  Then, with all of them there, some are resumed one after the other, while a
connection has them and when none does; and ids that open nothing are shown, a kind after the other.  Last,
sessions are opened at a steady rate, while a timer that should fire each millisecond tells how late it was.
SQLite's file lies in a temporary folder and is synced as ever; Redis runs beside it on loopback, and keeps
nothing on disk.

What is printed is Markdown.  The status is 1 when a goal was missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.net.sessions import SessionManager

STORES = ("memory", "sqlite", "redis")
SESSIONS = 100_000
USERS = 1_000
AT_ONCE = 256
RESUMED = 5_000
REFUSED = 1_000
RATE = 5_000
"""Sessions a second, while the loop is watched."""
BATCH = 0.01
"""Seconds between two handfuls of them."""
SECONDS = 5.0
TICK = 0.001
CREATED = {"memory": 20_000, "sqlite": 5_000, "redis": 5_000}
"""Sessions that are to be opened in a second."""
BYTES = 1024
RESUME_MS = 5.0
LATE_MS = 20.0


def resident() -> int:
    """Bytes of memory that the process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def spread(seconds: list[float]) -> tuple[float, float]:
    """The median and what 99 of 100 do not pass, in milliseconds."""
    return median(seconds) * 1000, quantiles(seconds, n=100)[98] * 1000


def make_store(name: str, reactor: Any, folder: Path, port: int) -> Any:
    """The store of that name."""
    if name == "memory":
        from tcpsuite.stores.memory import MemoryStore

        return MemoryStore()
    if name == "sqlite":
        from tcpsuite.stores.sqlite import SQLiteStore

        return SQLiteStore.on(reactor, str(folder / "sessions.db"))
    from tcpsuite.net.connecting import server_endpoint
    from tcpsuite.net.endpoints import failure_text
    from tcpsuite.options import ClientEndpoint
    from tcpsuite.stores.redis.building import build_client
    from tcpsuite.stores.redis.options import RedisOptions
    from tcpsuite.stores.redis.sessions import RedisSessionStore

    options = RedisOptions(server=ClientEndpoint(f"tcp:127.0.0.1:{port}"))
    client = build_client(options, reactor, lambda text: server_endpoint(reactor, text), failure_text)
    return RedisSessionStore(client, options.prefix)


class Run:
    """Measures one manager, in this process.

    :param sessions: how many are opened.
    :param seconds: for how long the loop is watched.
    """

    def __init__(self, manager: SessionManager, reactor: Any, sessions: int, seconds: float) -> None:
        self.manager = manager
        self.reactor = reactor
        self.sessions = sessions
        self.seconds = seconds

    async def measure(self) -> dict[str, Any]:
        """All figures, by name."""
        told: dict[str, Any] = {}
        self.manager.release((await self.manager.create("warm"))[1])  # what is made once is made
        before = resident()
        begun = time.perf_counter()
        opened = await self.open_all()
        told["created"] = self.sessions / (time.perf_counter() - begun)
        own = sys.getsizeof(opened) + sum(sys.getsizeof(each) + sys.getsizeof(each[0]) for each in opened)
        told["bytes"] = (resident() - before - own) / self.sessions
        begun = time.perf_counter()
        await self.manager.sweep()
        told["sweep"] = (time.perf_counter() - begun) * 1000
        names = [each[:2] for each in opened]
        some = names[:: max(1, self.sessions // RESUMED)]
        told["resumed in use"] = spread([await self.resume(*each) for each in some])
        for _, _, live in opened:
            self.manager.release(live)
        del opened, live
        told["resumed idle"] = spread([await self.resume(*each) for each in some])
        told["refused"] = await self.refusals(names)
        await self.manager.sweep()  # stores when those were used that were left
        told["late"] = await self.watch()
        return told

    async def open_all(self) -> list[tuple[str, str, Any]]:
        """Open them: the id, the user and the session in use, of each."""
        from twisted.internet.defer import Deferred, gatherResults

        opened: list[tuple[str, str, Any]] = []
        users = [f"user{number}" for number in range(USERS)]
        numbers = iter(range(self.sessions))

        async def some() -> None:
            for number in numbers:
                user = users[number % USERS]
                session_id, live = await self.manager.create(user)
                opened.append((session_id, user, live))

        await gatherResults([Deferred.fromCoroutine(some()) for _ in range(AT_ONCE)])
        return opened

    async def resume(self, session_id: str, user: str) -> float:
        """Seconds that it takes to go on with a session."""
        begun = time.perf_counter()
        live = await self.manager.resume(session_id, user)
        taken = time.perf_counter() - begun
        self.manager.release(live)
        return taken

    async def refusals(self, names: list[tuple[str, str]]) -> dict[str, float]:
        """The median time of a refusal in milliseconds, by what is wrong with the id."""
        from tcpsuite.errors import ProtocolError

        held = await self.manager.resume(*names[0])
        kinds = {
            "unknown": ["A" * 43, "B" * 43],
            "truncated": ["A" * 20, "A"],
            "another's, idle": [each[0] for each in names[1:100]],
            "another's, in use": [names[0][0]],
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(REFUSED):
            for kind, ids in kinds.items():
                begun = time.perf_counter()
                try:
                    await self.manager.resume(ids[number % len(ids)], "stranger")
                except ProtocolError:
                    times[kind].append(time.perf_counter() - begun)
        self.manager.release(held)
        return {kind: spread(each)[0] for kind, each in times.items()}

    async def watch(self) -> dict[str, float]:
        """How late a timer is while sessions are opened at a steady rate."""
        from twisted.internet.defer import Deferred
        from twisted.internet.task import deferLater

        late: list[float] = []
        opened = under_way = 0
        watching = True
        begun = time.perf_counter()

        async def look() -> None:
            while watching:
                due = time.perf_counter() + TICK
                await deferLater(self.reactor, TICK)
                late.append(time.perf_counter() - due)

        async def open_one() -> None:
            nonlocal under_way
            under_way += 1
            try:
                self.manager.release((await self.manager.create("steady"))[1])
            finally:
                under_way -= 1

        looking = Deferred.fromCoroutine(look())
        while (passed := time.perf_counter() - begun) < self.seconds:
            while opened < passed * RATE and under_way < AT_ONCE:
                # Not kept: a heap of Deferreds would be work for the garbage collector, and the loop late.
                Deferred.fromCoroutine(open_one())
                opened += 1
            await deferLater(self.reactor, BATCH)
        while under_way:
            await deferLater(self.reactor, TICK)
        taken = time.perf_counter() - begun
        watching = False
        await looking
        middle, most = spread(late)
        return {"median": middle, "p99": most, "max": max(late) * 1000, "rate": opened / taken}


def inside(store: str, folder: Path, port: int, sessions: int, seconds: float) -> None:
    """Measure one store, and print its figures."""
    from tcpsuite.net.reactor import install

    install()
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from tcpsuite.net.session_options import SessionRules
    from tcpsuite.net.sessions import SessionManager

    kept = make_store(store, reactor, folder, port)
    options = SessionRules(max_sessions=10_000_000, max_per_user=10_000_000)
    manager = SessionManager(kept, reactor, options)

    async def main() -> None:
        kept.open()
        print(json.dumps(await Run(manager, reactor, sessions, seconds).measure()))
        await manager.stop()

    react(lambda _: Deferred.fromCoroutine(main()))


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A redis-server that keeps nothing: its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    with subprocess.Popen(("redis-server", *words), stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def run(store: str, sessions: int, seconds: float) -> dict[str, Any]:
    """The figures of one store, from a process of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(redis(folder)) if store == "redis" else 0
        argv = [sys.executable, __file__, "--inside", store, str(folder), str(port)]
        argv += ["--sessions", str(sessions), "--seconds", str(seconds)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def report(figures: dict[str, dict[str, Any]], sessions: int) -> bool:
    """Print a table, and tell whether all goals are met."""
    print(f"{sessions:,} sessions, {AT_ONCE} opened at once; {RATE:,} a second while the loop is watched.\n")
    print("| | " + " | ".join(figures) + " | goal |\n|---|" + "---|" * (len(figures) + 1))
    good = True

    def row(title: str, texts: list[str], goal: str = "", met: bool = True) -> None:
        nonlocal good
        good &= met
        print(
            f"| {title} | " + " | ".join(texts) + f" | {goal and goal + (', met' if met else ', missed')} |"
        )

    each = list(figures.values())
    row(
        "opened a second",
        [f"{told['created']:,.0f}" for told in each],
        " / ".join(f"{CREATED[store]:,}" for store in figures),
        all(told["created"] >= CREATED[store] for store, told in figures.items()),
    )
    sizes = [told["bytes"] for told in each]
    row(
        "resident bytes each, in use",
        [f"{size:,.0f}" for size in sizes],
        f"under {BYTES:,}",
        max(sizes) < BYTES,
    )
    for use in ("in use", "idle"):
        times = [told[f"resumed {use}"] for told in each]
        texts = [f"{middle:.3f}, {most:.3f}" for middle, most in times]
        soon = all(most < RESUME_MS for _, most in times)
        row(f"ms to resume, {use}: median, p99", texts, f"p99 under {RESUME_MS:g}", soon)
    for kind in each[0]["refused"]:
        row(f"ms to refuse an id that is {kind}: median", [f"{told['refused'][kind]:.3f}" for told in each])
    row("ms that a sweep takes, all in use", [f"{told['sweep']:.1f}" for told in each])
    late = [told["late"] for told in each]
    row("opened a second, loop watched", [f"{told['rate']:,.0f}" for told in late])
    texts = [f"{told['median']:.2f}, {told['p99']:.2f}, {told['max']:.1f}" for told in late]
    prompt = "sqlite" not in figures or figures["sqlite"]["late"]["p99"] < LATE_MS
    row("ms that the loop was late: median, p99, max", texts, f"SQLite's p99 under {LATE_MS:g}", prompt)
    return good


def whole(text: str) -> int:
    """A number of sessions."""
    number = int(text) if text.isdecimal() else 0
    if number < RESUMED // 5:
        raise argparse.ArgumentTypeError(f"a whole number from {RESUMED // 5} on, not {text}")
    return number


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; may be repeated")
    parser.add_argument("--sessions", type=whole, default=SESSIONS, help=f"({SESSIONS})")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"the loop is watched for ({SECONDS:g})"
    )
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.inside:
        store, folder, port = words.inside
        inside(store, Path(folder), int(port), words.sessions, words.seconds)
        return 0
    figures = {store: run(store, words.sessions, words.seconds) for store in words.store or STORES}
    return 0 if report(figures, words.sessions) else 1


if __name__ == "__main__":
    sys.exit(main())
