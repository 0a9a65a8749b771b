"""A configuration, from its sources to what is in force: all of it right, or all that is wrong with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen
from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import IterableValidationNote

from tcpsuite.config import sources
from tcpsuite.config.advice import broken, doubts, missing
from tcpsuite.config.carried import blind
from tcpsuite.config.conflicts import conflicts
from tcpsuite.config.faults import Fault, nearest
from tcpsuite.config.lines import format_path
from tcpsuite.config.pools import misfits, supply_preset
from tcpsuite.config.schema import FILE_KEYS, Config
from tcpsuite.config.sharing import nowhere
from tcpsuite.config.structure import Structure
from tcpsuite.config.tree import Text
from tcpsuite.config.tuning import Machine
from tcpsuite.errors import ConfigError
from tcpsuite.options import OptionError
from tcpsuite.plugin import service_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tcpsuite.config.lines import Path
    from tcpsuite.config.tree import Tree

LONGEST_SHOWN = 200
"""Characters of a value that a fault shows: a line of a message, not a page of it."""


@frozen
class Loaded:
    """A configuration that is in force, and where each of its values came from.

    :ivar missing: files and directories that it names and that do not exist: it is right, but cannot start.
    :ivar broken: files, or a reactor, that are there and cannot be used: it cannot start either.
    :ivar doubts: what makes no sense together, or not on this machine.
    """

    config: Config
    tree: Tree
    missing: tuple[Fault, ...]
    broken: tuple[Fault, ...]
    doubts: tuple[Fault, ...]


def load(
    file: str | None = None,
    settings: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    machine: Machine | None = None,
) -> Loaded:
    """Read and verify.

    :param file: the file; ``None`` for the embedded demonstration.
    :param settings: ``KEY=VALUE`` each, over all else.
    :param environ: the environment; that of the process if ``None``.
    :param machine: what the operating system allows; asked if ``None``.
    :raises ConfigError: with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    tree = sources.read(file, settings, environ)
    faults: list[Fault] = []
    structure = _structure(tree, environ)
    config = _read(tree, structure, faults)
    faults += conflicts(tree)
    faults += misfits(tree, structure)
    faults += nowhere(tree)
    if config is not None:
        faults += blind(config, tree)
    if config is None or faults:
        faults.sort(key=lambda fault: (not fault.line, fault.file, fault.line))
        raise ConfigError(faults)
    return Loaded(
        config,
        tree,
        missing=tuple(missing(config, tree)),
        broken=tuple(broken(config, tree)),
        doubts=(
            *sources.misspelt(
                environ, (FILE_KEYS.get(field.name, field.name) for field in attrs.fields(Config))
            ),
            *doubts(config, tree, machine or Machine.this()),
        ),
    )


def _say_state_directory(tree: Tree, environ: Mapping[str, str]) -> str:
    """Where state is kept: what the file says, or systemd, or else the user's own place."""
    said = tree.find(("state_directory",))
    if said:
        # If it is no text, that is a fault, and where it would have led makes no difference.
        return os.path.normpath(os.path.join(said.directory, said)) if isinstance(said, Text) else ""
    home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # of no meaning, says the XDG Base Directory Specification
        home = os.path.abspath(os.path.expanduser("~/.local/state"))
    directory, source = os.path.join(home, "tcpsuite"), "default"
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        directory, source = os.path.abspath(given), "STATE_DIRECTORY"
    tree.put(("state_directory",), directory, source, os.getcwd())
    return directory


def _structure(tree: Tree, environ: Mapping[str, str]) -> Structure:
    """What reads this tree; what one of its tables has from elsewhere is filled in."""
    state_directory = _say_state_directory(tree, environ)
    listeners, upstreams = tree.find(("listener",)), tree.find(("upstream",))
    for name in listeners if isinstance(listeners, dict) else ():
        tree.inherit(("listener", name, "limits"), ("limits",))
    for name in upstreams if isinstance(upstreams, dict) else ():
        supply_preset(tree, ("upstream", name, "pool"))
    return Structure(service_types(), upstreams if isinstance(upstreams, dict) else (), state_directory)


def _read(tree: Tree, structure: Structure, faults: list[Fault]) -> Config | None:
    try:
        return structure.structure(tree.values, Config)
    except (ExceptionGroup, OptionError) as error:
        faults += _faults(error, (), tree)
        return None


def _faults(error: Exception, path: Path, tree: Tree) -> Iterator[Fault]:
    """The faults that are gathered in an exception of cattrs, each with its place.

    What is no fault of the configuration is raised again.
    """
    if tree.inherited(path):
        return  # it is told where it was said
    match error:
        case ClassValidationError() | IterableValidationError():
            for inner, step in _gathered(error):
                yield from _faults(inner, (*path, *step), tree)
        case ForbiddenExtraKeysError():
            known = [FILE_KEYS.get(field.name, field.name) for field in attrs.fields(error.cl)]
            for key in sorted(error.extra_fields):
                if not tree.inherited((*path, key)):
                    yield _fault(tree, (*path, key), "", "unknown option", nearest(key, known))
        case KeyError():
            yield _fault(tree, path, "", "required, and not given")
        case OptionError():
            yield _fault(tree, path, error.expected, _shown(error.got), getattr(error, "hint", ""))
        case ValueError() | TypeError():
            # Of a type or check that somebody's options brought along, and that says it in its own way.
            yield _fault(tree, path, "", str(error))
        case _:
            raise error


def _gathered(error: ClassValidationError | IterableValidationError) -> Iterator[tuple[Exception, Path]]:
    """The exceptions of a group, each with the step that leads to it; with none, when it is of the whole."""
    placed, others = error.group_exceptions()
    for inner, note in placed:
        step = note.index if isinstance(note, IterableValidationNote) else FILE_KEYS.get(note.name, note.name)
        yield inner, (step,)
    yield from ((inner, ()) for inner in others)


def _fault(tree: Tree, path: Path, expected: str, got: str, hint: str = "") -> Fault:
    origin = tree.origin(path)
    return Fault(origin.source, origin.line, format_path(path), expected, got, hint)


def _shown(value: Any) -> str:
    """A raw value, as it would be written, or what kind of thing it is."""
    match value:
        case bool():
            return str(value).lower()
        case str() if len(value) > LONGEST_SHOWN:
            return f"{value[:LONGEST_SHOWN]!r}… ({len(value)} characters)"
        case str() | int() | float():
            return repr(value)
        case dict():
            return "a table"
        case list() | tuple():
            return "a list" if value else "an empty list"
    return str(value)
