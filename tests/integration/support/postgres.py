"""A real PostgreSQL server with a cluster of its own."""

from __future__ import annotations

import os
import pwd
from signal import SIGINT
from typing import TYPE_CHECKING, Self

from tests.integration.support.programs import Program, find, free_port, run

if TYPE_CHECKING:
    from pathlib import Path

USER = "tcpsuite"


class Postgres(Program):
    """A PostgreSQL server on a port of loopback, with a new cluster in ``folder``.

    :param folder: one that other users can reach: PostgreSQL refuses to run as root.
    """

    def __init__(self, folder: Path) -> None:
        become = _other_user(folder) if os.getuid() == 0 else []
        data = folder / "data"
        run(
            *become,
            *(_program("initdb"), "--pgdata", data, "--username", USER, "--auth", "trust"),
            *("--encoding", "UTF8", "--no-locale", "--no-sync"),
            cwd="/",
        )
        self.port = free_port()
        super().__init__(
            *become,
            *(_program("postgres"), "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
            log=folder / "log",
        )

    def started(self) -> Self:
        """Wait until it is ready."""
        place = ("-h", "127.0.0.1", "-p", str(self.port))
        is_ready = _program("pg_isready")
        self.ready(lambda: run(is_ready, *place, check=False).returncode == 0, "PostgreSQL was ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.end(SIGINT)  # its fast shutdown, which takes its children along


def _other_user(folder: Path) -> list[str]:
    """Give the folder to another user: the command that runs a program as that one."""
    names = {each.pw_name for each in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [_program("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _program(name: str) -> str:
    path = find(name)
    assert path is not None, name
    return path


def psql(port: int, *commands: str) -> str:
    """What psql prints when it carries out these commands, on one connection to ``port``."""
    arguments = [argument for command in commands for argument in ("-c", command)]
    place = ("-h", "127.0.0.1", "-p", str(port), "-U", USER, "-d", "postgres")
    return run("psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", *place, *arguments).stdout
