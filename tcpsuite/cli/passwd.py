"""``tcpsuite passwd``: give a user a password."""

from __future__ import annotations

import sys

import click

from tcpsuite.core.passwords import MAX_PASSWORD
from tcpsuite.errors import LocalError
from tcpsuite.options import OptionError


@click.command()
@click.argument("file")
@click.argument("user")
def passwd(file: str, user: str) -> None:
    """Give USER a password in FILE, asked for twice; FILE is made when it does not exist.

    Without a terminal the password is the first line of standard input.
    """
    from tcpsuite.net.auth import set_password

    try:
        password = _ask()
    except UnicodeError:
        raise click.UsageError(f"a password is UTF-8, at most {MAX_PASSWORD} bytes of it") from None
    if not password:
        raise click.UsageError("a password of no characters is none")
    try:
        new = set_password(file, user, password)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from error
    except (LocalError, OptionError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user}: {'added to' if new else 'changed in'} {file}")


def _ask() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.buffer.readline(MAX_PASSWORD + len(b"\r\n"))  # more is too much already
    return line.removesuffix(b"\n").removesuffix(b"\r").decode()
