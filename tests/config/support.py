"""Configurations written for a test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tcpsuite.config import Loaded, load
from tcpsuite.config.tuning import Machine
from tcpsuite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.trial.unittest import SynchronousTestCase

ROOMY = Machine(descriptors=1_000_000, backlog=4096)


class Folder:
    """A folder of configuration files.

    ``load`` reads ``x.toml`` there; the names of files in faults are shortened to what is inside the folder.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.path = os.path.abspath(case.mktemp())
        os.makedirs(self.path)

    def write(self, text: str | bytes, name: str = "x.toml") -> str:
        """Write a file, and give its path."""
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def load(
        self,
        text: str | bytes,
        *settings: str,
        environ: Mapping[str, str] | None = None,
        machine: Machine = ROOMY,
    ) -> Loaded:
        """What ``text`` says."""
        return load(self.write(text), settings, environ or {"HOME": self.path}, machine)

    def faults(
        self, text: str | bytes, *settings: str, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        """What is wrong with ``text``."""
        try:
            self.load(text, *settings, environ=environ)
        except ConfigError as error:
            return self.lines(error.faults)
        return []

    def lines(self, faults: Sequence[object]) -> list[str]:
        """Faults as people read them."""
        return [str(fault).replace(self.path + os.sep, "") for fault in faults]


ECHO = """
[listener.echo]
endpoint = "tcp:7007"
service = "echo"
"""

GATEWAY = """
[listener.db]
endpoint = "tcp:6432"
service = "gateway"
upstream = "pg"

[upstream.pg]
servers = [
  { name = "a", address = "tcp:10.0.0.1:5432" },
  { name = "b", address = "tcp:10.0.0.2:5432" },
]
"""
