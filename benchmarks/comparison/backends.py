"""Real databases, started anew, with nothing in them and nothing kept."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from signal import SIGINT

from . import BenchError, machine
from .servers import Server

USER = "tcpsuite"
"""The user of PostgreSQL that owns all of its new cluster."""


def find(program: str) -> str | None:
    """Where a program is, ``None`` if nowhere.  Debian keeps PostgreSQL's server off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(debian[-1]) if debian else None)


def version(program: str) -> str:
    """As ``postgres 15.18``."""
    return f"{program} {machine.version_of([_path(program), '--version'])}"


def redis(_folder: Path) -> Server:
    """A redis-server that writes nothing to the disk."""
    nothing_kept = ("--save", "", "--appendonly", "no")
    return Server("Redis", ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", *nothing_kept))


def redis_answers(port: int) -> bool:
    """Whether it does, directly or through what stands in front of it."""
    with socket.create_connection(("127.0.0.1", port), 1) as probe:
        probe.sendall(b"PING\r\n")
        return probe.recv(7) == b"+PONG\r\n"


def postgres(folder: Path) -> Server:
    """A PostgreSQL server with a new cluster, for those who come over loopback.

    :param folder: where the cluster is made; it is made too, and other users must be able to reach it, for
        root may not run PostgreSQL.
    :raises BenchError: when the cluster cannot be made.
    """
    folder.mkdir()
    become = _another_user(folder) if os.getuid() == 0 else ()
    data = str(folder / "data")
    new = ("--pgdata", data, "--username", USER, "--auth", "trust", "--no-locale", "--no-sync")
    _run(*become, _path("initdb"), *new)
    return Server(
        "PostgreSQL",
        (
            *(*become, _path("postgres"), "-D", data, "-p", "{port}"),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"),
        ),
        ends_by=SIGINT,  # the fast shutdown: SIGTERM waits until all clients have left
    )


def postgres_answers(port: int) -> bool:
    """Whether it does, directly or through what stands in front of it."""
    argv = (_path("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
    return subprocess.run(argv, check=False).returncode == 0


def fill_postgres(port: int) -> None:
    """Make the 100,000 accounts that pgbench asks for.

    :raises BenchError: when that fails.
    """
    _run("pgbench", "-i", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", USER, "postgres")


def _another_user(folder: Path) -> tuple[str, ...]:
    """Give the folder to another user: the words before a command that is to run as that one.

    PostgreSQL wants to see where it is started, and the other user need not be able to.
    """
    names = {each.pw_name for each in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return ("env", "--chdir=/", _path("setpriv"), *ids)


def _path(program: str) -> str:
    path = find(program)
    if path is None:
        raise BenchError(f"{program} is needed")
    return path


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(argv)}:\n{done.stderr.strip()}")
