"""Asking the admin listener of a running process: where it is, with which token, and what it answers."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPResponse

    from tcpsuite.admin.http import AdminOptions

PATIENCE = 10.0
"""Seconds until a process that does not answer is given up."""
LONGEST_ANSWER = 16 * 1024**2
"""Bytes of an answer; the status of thousands of servers is shorter."""
TOKEN = "TCPSUITE_ADMIN_TOKEN"
"""The environment's word for the token; it comes before the configuration's."""

_META = f"{__name__}."


def asks(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that asks a running process; see :func:`process` and :func:`show`.

    They may stand before the name of a subcommand, and behind it.
    """
    for option in (
        _option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
        _option(
            "--admin",
            metavar="URL",
            help="The process's admin listener: http://HOST:PORT, https://…, unix:PATH.",
        ),
        _option(
            "--config",
            "-c",
            metavar="FILE",
            help="The process's configuration; without it, the demonstration.",
        ),
    ):
        command = option(command)
    return command


def _option(*names: str, **how: Any) -> Callable[..., Any]:
    return click.option(*names, expose_value=False, callback=_keep, **how)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        ctx.meta[_META + str(parameter.name)] = value


def _kept(name: str) -> Any:
    return click.get_current_context().meta.get(_META + name)


def show(value: Any, text: Callable[[Any], None]) -> None:
    """Print an answer: as it came, with ``--json``; else ``text`` prints it for people."""
    if _kept("as_json"):
        click.echo(json.dumps(value, indent=2))
    else:
        text(value)


def process() -> AdminClient:
    """The process that the command line means.

    :raises click.ClickException: when that does not say where it is.
    """
    url, token = _kept("admin"), os.environ.get(TOKEN, "").strip()
    if url and not _kept("config"):
        return AdminClient(url, token)
    from tcpsuite.cli.config import load_or_exit

    options = load_or_exit(_kept("config"), ()).config.admin
    return AdminClient(url or _url_of(options), token or options.token)


class AdminClient:
    """Asks one process.

    :param url: where its admin listener is: ``http://127.0.0.1:7099``, ``https://…``, ``unix:/run/x``.
    :param token: shown when there is one.
    :raises click.ClickException: from everything here, in a sentence.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._headers = {"Authorization": b"Bearer " + token.encode()} if token else {}
        self._connect = _connector(url)

    def get(self, *path: str, **query: str) -> Any:
        """What the page says; ``path`` is what stands behind ``/api/v1/``, part by part."""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return self._ask("GET", _path(path) + (f"?{asked}" if asked else ""))

    def post(self, *path: str, value: Mapping[str, Any]) -> Any:
        """Ask for a change; what the page says then."""
        return self._ask("POST", _path(path), json.dumps(value), {"Content-Type": "application/json"})

    def _ask(
        self, method: str, path: str, body: str | None = None, more: Mapping[str, str] | None = None
    ) -> Any:
        try:
            answer, text = self._exchange(method, path, body, {**self._headers, **(more or {})})
            value = json.loads(text)
            known = answer.headers["Server"] == "tcpsuite" and isinstance(value, dict)
        except OSError as error:
            silent = isinstance(error, ConnectionError | FileNotFoundError | TimeoutError)
            hint = "; does it run there, with an [admin] endpoint?" if silent else ""
            raise click.ClickException(f"{self.url}: {error.strerror or error}{hint}") from error
        except (HTTPException, ValueError):
            known = False
        if not known:
            raise click.ClickException(f"{self.url}: what answers there is no admin listener of tcpsuite")
        if "error" in value and answer.status >= 400:
            raise click.ClickException(_fault(answer.status, value))
        return value

    def _exchange(
        self, method: str, path: str, body: str | None, headers: Mapping[str, Any]
    ) -> tuple[HTTPResponse, bytes]:
        connection = self._connect()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read(LONGEST_ANSWER)
        finally:
            connection.close()


class _UnixConnection(HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def _connector(url: str) -> Callable[[], HTTPConnection]:
    kind, _, rest = url.partition(":")
    if kind == "unix" and rest:
        path = "/" + rest.lstrip("/") if rest.startswith("//") else rest
        return lambda: _UnixConnection(path)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    classes = {"http": HTTPConnection, "https": HTTPSConnection}
    if kind not in classes or not host:
        raise click.ClickException(f"expected http://HOST:PORT, https://HOST:PORT or unix:PATH, got {url!r}")
    return lambda: classes[kind](host, port, timeout=PATIENCE)


def _url_of(options: AdminOptions) -> str:
    """Where the first of its endpoints is that can be told of."""
    from tcpsuite.config.endpoints import address_of
    from tcpsuite.net.endpoints import Parts

    for text in options.endpoint:
        parts, address = Parts.of(text), address_of(text)
        if address is None or address[1] == 0 or parts.proxied:
            continue
        host, port = address
        if host == "unix":
            return f"unix:{port}"
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        scheme = "https" if parts.type in ("ssl", "tls") else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    raise click.ClickException(
        "the configuration has no [admin] endpoint that could be asked; say where it is by --admin URL"
    )


def _path(parts: tuple[str, ...]) -> str:
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def _fault(code: int, value: Mapping[str, Any]) -> str:
    """What a page could not do, and what may help."""
    from tcpsuite.admin.explain import plain

    fault = str(value["error"])
    if code == 401:
        fault += f"; give it in the environment as {TOKEN}, or by --config FILE"
    for known in ("upstreams", "servers"):
        if known in value:
            fault += f"; there is {', '.join(map(str, value[known])) or 'none'}"
    return plain(fault)
