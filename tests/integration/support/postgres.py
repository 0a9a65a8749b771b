"""A real PostgreSQL server with a cluster of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from signal import SIGINT

from tests.integration.support.programs import Program, find, free_port, run

USER = "tcpsuite"


class Postgres(Program):
    """A PostgreSQL server on a port of loopback, in a folder that goes with it."""

    def __init__(self, log: Path) -> None:
        # The folder of the tests is closed to other users, and PostgreSQL refuses to run as root.
        self._folder = Path(tempfile.mkdtemp(prefix="tcpsuite-postgres-"))
        become = self._other_user() if os.getuid() == 0 else []
        data = self._folder / "data"
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
            log=log,
        )
        self.ready(
            lambda: (
                run(
                    *(_program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)), check=False
                ).returncode
                == 0
            ),
            "PostgreSQL was ready",
        )

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.end(SIGINT)
        shutil.rmtree(self._folder)

    def _other_user(self) -> list[str]:
        names = {each.pw_name for each in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(self._folder, user.pw_uid, user.pw_gid)
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
