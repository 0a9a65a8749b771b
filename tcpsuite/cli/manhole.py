"""``tcpsuite manhole``: a terminal at the Python prompt of a running process."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_AT_ONCE = 65536
"""Bytes of one read."""
INSERT_OFF = b"\x1b[4l"
"""Ends the terminal's insert mode, which the prompt edits lines with: it may have been cut off in it."""


@click.command()
@click.option("--socket", "path", metavar="PATH", help="The process's socket; by default that of --config.")
@click.option(
    "--config", "-c", metavar="FILE", help="The process's configuration; without it, the demonstration."
)
def manhole(path: str | None, config: str | None) -> None:
    """A Python prompt inside the running process.

    Lines may also be piped in: echo 'print(len(ledger))' | tcpsuite manhole
    """
    if sys.stdin is None or sys.stdout is None:
        # The next descriptor that is opened, the connection, would stand in for what is closed.
        raise click.ClickException("standard input and standard output must be open")
    path = path or _configured(config)
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            raise click.ClickException(
                f"{path}: {error.strerror or error}; is the manhole enabled there?"
            ) from error
        _check_server(connection, path)
        if os.isatty(0):
            with _raw(0):
                _on_terminal(connection)
        else:
            _relay(connection)


def _check_server(connection: socket.socket, path: str) -> None:
    """See that what is typed is for a process of ours, or of root's; root itself may look into all."""
    from tcpsuite.admin.manhole import peer_of

    pid, uid = peer_of(connection)
    if os.geteuid() not in {0, uid} and uid != 0:
        raise click.ClickException(f"{path}: process {pid} of user {uid} listens there, and is not yours")


def _configured(config: str | None) -> str:
    from tcpsuite.admin.manhole import socket_path
    from tcpsuite.cli.config import load_or_exit

    return socket_path(load_or_exit(config, ()).config.state_directory)


def _on_terminal(connection: socket.socket) -> None:
    """Relay keys and output, and tell each new size of the terminal."""
    resized, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    waking = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        connection.sendall(_size())
        _relay(connection, resized)
        _write(INSERT_OFF)
    finally:
        signal.set_wakeup_fd(waking)
        signal.signal(signal.SIGWINCH, before)
        os.close(resized)
        os.close(wake)


def _relay(connection: socket.socket, resized: int | None = None) -> None:
    """Copy both ways, until the other end closes."""
    with selectors.DefaultSelector() as ready:
        ready.register(connection, selectors.EVENT_READ)
        if resized is not None:
            ready.register(resized, selectors.EVENT_READ)
        try:
            ready.register(0, selectors.EVENT_READ)
        except PermissionError:
            # A plain file cannot be watched, and never makes one wait.
            while _pass_on(connection):
                pass
        while True:
            for key, _ in ready.select():
                if key.fileobj is connection:
                    data = _received(connection)
                    if not data:
                        return
                    _write(data)
                elif key.fd == resized:
                    os.read(resized, MOST_AT_ONCE)
                    connection.sendall(_size())
                elif not _pass_on(connection):
                    ready.unregister(0)


def _pass_on(connection: socket.socket) -> bool:
    """Send what was typed; whether there may be more."""
    data = os.read(0, MOST_AT_ONCE)
    with suppress(BrokenPipeError, ConnectionResetError):
        if data:
            connection.sendall(data)
        else:
            connection.shutdown(socket.SHUT_WR)
    return bool(data)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(MOST_AT_ONCE)
    except ConnectionResetError:
        return b""


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _size() -> bytes:
    """The terminal's size, in the words of xterm."""
    columns, rows = os.get_terminal_size(0)
    return b"\x1b[8;%d;%dt" % (rows, columns)


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Every key is for the other end; afterwards the terminal is as it was."""
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
