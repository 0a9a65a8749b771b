"""From raw tables to the classes of the configuration: cattrs, with the types of :mod:`tcpsuite.options`.

Nothing stops at the first fault: cattrs gathers them in exception groups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NewType, get_origin

import attrs
from cattrs import Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from tcpsuite.config.endpoints import check_client, check_server
from tcpsuite.config.faults import HintedError, nearest
from tcpsuite.config.schema import FILE_KEYS, ListenerConfig, ServiceName, StateDirectory, listener_table
from tcpsuite.config.tree import Text, read_value
from tcpsuite.options import (
    ClientEndpoint,
    DirectoryPath,
    Duration,
    Endpoints,
    FilePath,
    MaybeUpstream,
    OptionError,
    Provider,
    Secret,
    Size,
    UpstreamName,
    error_text,
    import_provider,
    option,
    parse_duration,
    parse_size,
    parse_truth,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tcpsuite.interfaces import IServiceType

STATE = "state:"
"""What a path in the state directory begins with."""
MASK = "***"
"""What is shown of a secret."""
ServerEndpoint = NewType("ServerEndpoint", str)


@attrs.frozen
class _Upstream:
    """What is judged of a service that nobody knows: one option means the same in all services."""

    upstream: UpstreamName = option("", "An upstream.")


class Structure(Converter):
    """Makes the classes of the configuration of raw tables.

    :param services: the service types by name.
    :param upstreams: the names of the upstreams that there are.
    :param state_directory: what ``state:`` in a path stands for.
    """

    def __init__(
        self, services: Mapping[str, IServiceType], upstreams: Iterable[str], state_directory: str
    ) -> None:
        super().__init__(detailed_validation=True, forbid_extra_keys=True)
        self._services = services
        self._upstreams = tuple(upstreams)
        self._state_directory = state_directory
        kinds: dict[Any, Callable[[Any], Any]] = {
            bool: _truth,
            int: _whole,
            float: _number,
            str: _text,
            Secret: _secret,
            Provider: _text,
            Duration: lambda value: parse_duration(_loosely(value, int | float)),
            Size: lambda value: parse_size(_loosely(value, int)),
            Endpoints: self._endpoints,
            ServerEndpoint: lambda value: check_server(_text(value)),
            ClientEndpoint: lambda value: check_client(_text(value)),
            UpstreamName: self._upstream,
            MaybeUpstream: lambda value: _text(value) and self._upstream(value),
            ServiceName: lambda value: _one_of("the name of a service", _text(value), self._services),
            FilePath: self._path,
            DirectoryPath: self._path,
            StateDirectory: self._own_path,
        }
        for kind, hook in kinds.items():
            self.register_structure_hook(kind, _ignoring_kind(hook))
        self.register_structure_hook_factory(_is(tuple), self._tuple_hook)
        self.register_structure_hook_factory(_is(Mapping), self._mapping_hook)
        self.register_structure_hook_factory(attrs.has, self._class_hook)
        self.register_structure_hook(ListenerConfig, lambda value, _: self._listener(value))

    def _upstream(self, value: Any) -> str:
        return _one_of("the name of an upstream", _text(value), self._upstreams)

    def _class_hook(self, cls: Any) -> Callable[[Any, Any], Any]:
        attrs.resolve_types(cls)
        overrides = {
            field.name: override(
                rename=FILE_KEYS.get(field.name),
                struct_hook=_checked(field, self.get_structure_hook(field.type)),
            )
            for field in attrs.fields(cls)
        }
        structure = make_dict_structure_fn(cls, self, **overrides)  # type: ignore[arg-type]
        return lambda value, _: structure(_table(value), cls)

    def _tuple_hook(self, kind: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
        structure = list_structure_factory(kind, self)
        return lambda value, _: tuple(structure(_list(value), kind))

    def _mapping_hook(self, kind: Any) -> Callable[[Any, Any], dict[str, Any]]:
        structure = mapping_structure_factory(kind, self)
        return lambda value, _: structure(_table(value), kind)

    def _listener(self, value: Any) -> ListenerConfig:
        """One table, two classes: what every listener has, and what its service has."""
        table = _table(value)
        service = self._services.get(str(table.get("service")))
        if service is None:
            # Nobody knows what that service's own options would be: only the common ones, and what looks like
            # one of them, can be judged; and whether the upstream is there.
            names = {field.name for field in attrs.fields(listener_table(_Upstream))}
            table = {key: value for key, value in table.items() if key in names or nearest(key, names)}
        options = None if service is None else _options_of(service)
        flat = self.structure(table, listener_table(options or _Upstream))
        assert options is not None, "the name of the service is at fault at least"

        def part(cls: Any) -> dict[str, Any]:
            return {
                field.name: getattr(flat, field.name)
                for field in attrs.fields(cls)
                if field.name != "options"
            }

        return ListenerConfig(**part(ListenerConfig), options=options(**part(options)))

    def _endpoints(self, value: Any) -> Endpoints:
        if isinstance(value, str):
            return Endpoints((check_server(str(value)),) if value else ())
        if not isinstance(value, list):
            raise OptionError("an endpoint string, or a list of them", value)
        return Endpoints(self.structure(value, tuple[ServerEndpoint, ...]))

    def _path(self, value: Any) -> str:
        path = _text(value)
        if path in ("", "-") or not isinstance(value, Text):
            return path
        if path.startswith(STATE):
            return os.path.join(self._state_directory, path[len(STATE) :])
        return os.path.normpath(os.path.join(value.directory, path))

    def _own_path(self, value: Any) -> str:
        if isinstance(value, str) and (value == "-" or value.startswith(STATE)):
            raise OptionError("a directory's path", value)
        return self._path(value)


def _ignoring_kind(structure: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: structure(value)


def _is(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


def _options_of(service: IServiceType) -> Any:
    try:
        options = service.options()
        listener_table(options)
    except (Exception, SystemExit) as error:  # an import runs somebody's module, and that may raise anything
        raise OptionError(f"a service that can be imported ({error_text(error)})", service.name) from error
    return options


def _checked(field: attrs.Attribute[Any], structure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``structure``, and then what the option itself asks of its value.

    The class asks it too when it is made, but only when all its values have the right type, and one by one.
    """
    check, choices = field.metadata.get("check"), field.metadata.get("choices")

    def structure_and_check(value: Any, kind: Any) -> Any:
        done = structure(value, kind)
        if field.type is Provider and ":" in done:
            if not callable(import_provider(done)):
                raise OptionError("module:attribute that can be called", done)
        elif choices:
            more = ", or module:attribute" if field.type is Provider else ""
            words = ", ".join(choice or '""' for choice in choices)
            _one_of(f"one of {words}{more}", done, choices)
        if check is not None:
            try:
                check(done)
            except OptionError as error:
                if field.type is Secret:
                    raise OptionError(error.expected, MASK) from None
                raise
        return done

    return structure_and_check


def _loosely(value: Any, kind: Any) -> Any:
    """What a value from the environment or the command line means, where a number of this kind is wanted."""
    if isinstance(value, Text) and value.loose:
        with suppress(ValueError):
            meant = read_value(value)
            if isinstance(meant, kind) and not isinstance(meant, bool):
                return meant
    return value


def _truth(value: Any) -> bool:
    if isinstance(value, Text) and value.loose:
        return parse_truth(value)
    if not isinstance(value, bool):
        raise OptionError("true or false", value)
    return value


def _whole(value: Any) -> int:
    value = _loosely(value, int)
    if not isinstance(value, int) or isinstance(value, bool):
        raise OptionError("a whole number", value)
    return value


def _number(value: Any) -> float:
    value = _loosely(value, int | float)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise OptionError("a number", value)
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError("text in quotes", value)
    return str(value)


def _secret(value: Any) -> Secret:
    if not isinstance(value, str):
        raise OptionError("text in quotes", MASK)
    return Secret(str(value))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise OptionError("a list", value)
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError("a table", value)
    return value


def _one_of(expected: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        raise HintedError(expected, name, nearest(name, known))
    return name
