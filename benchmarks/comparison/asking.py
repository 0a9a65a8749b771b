"""What the scripts are told on their command lines, and how each is carried out."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import BenchError, machine
from .running import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUSY = 0.3
"""Processors that others use, on average over a minute, from which on a warning is due."""


def whole(text: str) -> int:
    """A number of rounds."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text}")
    return int(text)


def length(text: str) -> float:
    """Seconds that something can take."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"seconds, more than 0, not {text}")
    return seconds


def questions(about: str, rounds: int, seconds: float) -> argparse.ArgumentParser:
    """The options that all have, with the defaults of one."""
    ask = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=whole, default=rounds, help="measurements of each server (%(default)s)")
    ask.add_argument("--seconds", type=length, default=seconds, help="of a measurement (%(default)s)")
    ask.add_argument("--output", type=Path, help="where to write, without .md and .json")
    return ask


def writable(output: Path) -> Path:
    """Where to write, without a suffix.

    :raises SystemExit: when that cannot be done.
    """
    if not output.name:
        raise SystemExit(f"--output is the name of a file, without .md and .json, not {output}")
    for suffix in (".md", ".json"):
        file = output.with_suffix(suffix)
        if not os.access(file if file.exists() else file.parent, os.W_OK) or file.is_dir():
            raise SystemExit(f"cannot write {file}")
    return output


def write(output: Path, text: str, told: Mapping[str, object]) -> None:
    """The tables, and every single measurement."""
    output.with_suffix(".md").write_text(text + "\n")
    output.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")


def carry_out(measure: Callable[[Path], int], prefix: str) -> int:
    """Measure in a folder that is gone behind that; gives the status to end with.

    SIGINT and SIGTERM end it as an exception does, so that what was started is stopped.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)  # some servers run as another user
    try:
        return measure(folder)
    except BenchError as error:
        say(str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warn() -> None:
    """Say what will spoil the figures."""
    if len(machine.PROCESSORS) < 2:
        say("there is one processor only: the load takes its part of what the servers could do")
    if os.getloadavg()[0] > BUSY:
        say("this machine is busy with other things: the figures will be low, and the ratios unsteady")


def rounds_of(rounds: int, seconds: float) -> str:
    """As ``5 rounds of 2 s``."""
    return f"{'a round' if rounds == 1 else f'{rounds} rounds'} of {seconds:g} s"
