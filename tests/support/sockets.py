"""What the kernel says of a socket."""

from __future__ import annotations

import socket
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, DNSName, Name, NameAttribute, SubjectAlternativeName
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BACKLOG = 28
"""Where in ``struct tcp_info`` a listening socket has its longest backlog (``tcpi_sacked``)."""
_DATA_SEGMENTS_IN = 152
"""Where a connection has how many segments with data have come (``tcpi_data_segs_in``)."""


def settings(sock: socket.socket) -> dict[str, Any]:
    """The options of a TCP socket, in the words of the configuration: seconds, and bytes as they were asked
    for, half of what the kernel gives.
    """
    tcp, of = socket.IPPROTO_TCP, sock.getsockopt
    return {
        "nodelay": bool(of(tcp, socket.TCP_NODELAY)),
        "keepalive": bool(of(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
        "keepalive_idle": of(tcp, socket.TCP_KEEPIDLE),
        "keepalive_interval": of(tcp, socket.TCP_KEEPINTVL),
        "keepalive_count": of(tcp, socket.TCP_KEEPCNT),
        "user_timeout": of(tcp, socket.TCP_USER_TIMEOUT) / 1000,
        "receive_buffer": of(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,
        "send_buffer": of(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,
    }


def backlog(listening: socket.socket) -> int:
    """Connections that may wait on a listening TCP socket."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    length: int = struct.unpack_from("I", info, _MAX_BACKLOG)[0]
    return length


def segments(connection: socket.socket) -> int:
    """In how many segments what has come on a TCP connection has come."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    number: int = struct.unpack_from("I", info, _DATA_SEGMENTS_IN)[0]
    return number


def write_certificate(folder: Path, host: str = "localhost", days: int = 1) -> Path:
    """A PEM file with a key and its certificate, that nobody but a test trusts.

    :param host: for whom it is; the file has this name.
    :param days: it is good from a week ago until so many days from now, or before now if they are negative.
    """
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        Name([NameAttribute(NameOID.COMMON_NAME, f"{host} {days}")]),
    )
    today = datetime.now(UTC)
    certificate = (
        CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=7))
        .not_valid_after(today + timedelta(days=days))
        .add_extension(SubjectAlternativeName([DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    file = folder / f"{host}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return file
