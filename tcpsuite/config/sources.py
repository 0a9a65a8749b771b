"""Reading the sources of a configuration: files, environment, command line.  Nothing else touches a disk."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path, parse_key, scan
from tcpsuite.config.tree import Tree
from tcpsuite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tcpsuite.config.lines import Path

DEMONSTRATION = "demo.toml"
"""What is in force when no file is named; it lies in this package."""
PREFIX = "TCPSUITE__"
"""``TCPSUITE__LISTENER__DB__UPSTREAM`` is ``listener.db.upstream``: two underscores stand for a dot."""

NESTED = "lists and tables nested too deep"


def read(file: str | None, settings: Sequence[str], environ: Mapping[str, str]) -> Tree:
    """Everything that is said: by ``file`` (the demonstration if ``None``), by ``conf.d/*.toml`` beside it,
    by the environment, by ``settings`` (``KEY=VALUE`` each).  The later ones win.

    :raises ConfigError: with what cannot be read: files, not TOML, settings that lead nowhere.
    """
    tree, faults = Tree(), list[Fault]()
    texts: list[tuple[str, str | Fault]]
    if file is None:
        name = f"{DEMONSTRATION} (embedded)"
        texts = [(name, files(__package__).joinpath(DEMONSTRATION).read_text("utf-8"))]
    else:
        drop_ins, faults = _drop_ins(file)
        texts = [(name, _text(name)) for name in (file, *drop_ins)]
    for name, text in texts:
        fault = text if isinstance(text, Fault) else _lay(tree, name, text)
        if fault:
            faults.append(fault)
    if not faults:
        faults = _overrides(tree, settings, environ)
    if faults:
        raise ConfigError(faults)
    return tree


def misspelt(environ: Mapping[str, str], names: Iterable[str]) -> list[Fault]:
    """Variables that were meant for an option, it seems, and are passed over: with one underscore for two.

    :param names: of what stands at the top of a file.
    """
    found = []
    pattern = re.compile(rf"TCPSUITE_({'|'.join(names)})(?:_+(\w+))?", re.IGNORECASE)
    for variable in sorted(environ):
        if match := pattern.fullmatch(variable):
            meant = PREFIX + "__".join(part for part in match.groups() if part)
            found.append(Fault(variable, 0, "", "", "passed over", f"did you mean {meant}?"))
    return found


def _drop_ins(file: str) -> tuple[list[str], list[Fault]]:
    """The files of ``conf.d``, in order of name; or why they cannot be known."""
    folder = os.path.join(os.path.dirname(file), "conf.d")
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [Fault(folder, 0, "", "a folder that can be read", error.strerror or str(error))]
    chosen = [name for name in names if name.endswith(".toml") and not name.startswith(".")]
    return [os.path.join(folder, name) for name in chosen], []


def _text(file: str) -> str | Fault:
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:  # some editors begin with a mark
            return stream.read()
    except OSError as error:
        return Fault(file, 0, "", "a file that can be read", error.strerror or str(error))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Fault(file, line, "", "UTF-8", f"the byte 0x{error.object[error.start]:02x}")


def _lay(tree: Tree, file: str, text: str) -> Fault | None:
    try:
        table = tomllib.loads(text)
        tree.lay(table, scan(text), file, os.path.dirname(os.path.abspath(file)))
    except tomllib.TOMLDecodeError as error:
        return _syntax_fault(file, text, str(error))
    except ValueError:  # Python's own limit, which tomllib knows nothing of
        return Fault(file, 0, "", "", "not TOML: a number of too many digits")
    except RecursionError:
        return Fault(file, 0, "", "", NESTED)
    return None


def _syntax_fault(file: str, text: str, message: str) -> Fault:
    if where := re.search(r" \(at line (\d+), column (\d+)\)$", message):
        problem, line, place = message[: where.start()], int(where[1]), f"column {where[2]}"
    else:
        problem = message.removesuffix(" (at end of document)")
        line, place = text.rstrip("\n").count("\n") + 1, "at the end"
    return Fault(file, line, "", "", f"not TOML: {problem[:1].lower()}{problem[1:]} ({place})")


def _overrides(tree: Tree, settings: Sequence[str], environ: Mapping[str, str]) -> list[Fault]:
    faults = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            path: Path = tuple(variable[len(PREFIX) :].lower().split("__"))
            faults += _put(tree, path, environ[variable], variable)
    for setting in settings:
        key, equals, value = setting.partition("=")
        try:
            path = parse_key(key.strip())
        except ValueError:
            equals = ""
        if not equals:
            faults.append(Fault("--set", 0, "", "KEY=VALUE, such as listener.db.upstream=pg", repr(setting)))
            continue
        faults += _put(tree, path, value, "--set")
    return faults


def _put(tree: Tree, path: Path, value: str, source: str) -> list[Fault]:
    try:
        tree.put(path, value, source, os.getcwd())
    except LookupError as error:
        return [Fault(source, 0, "", "the name of an option", f"{format_path(path)}: {error}")]
    except RecursionError:
        return [Fault(source, 0, format_path(path), "", NESTED)]
    return []
