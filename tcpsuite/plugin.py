"""Plugins: the service types that are installed, and plugin objects that cost nothing until they are used."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from tcpsuite.errors import ConfigError
from tcpsuite.interfaces import IServiceType

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint, IStreamServerEndpoint

    from tcpsuite.interfaces import IServiceContext


@cache
def service_types() -> dict[str, IServiceType]:
    """The service types of all installed plugins, by name.  They are looked for once.

    :raises ConfigError: when two have the same name.
    """
    found: dict[str, IServiceType] = {}
    # A module of plugins that lies in two folders of the path gives the same plugin twice: that is one.
    faults = [
        f"two service types are called {service.name}: of {_module(other)} and of {_module(service)}"
        for service in getPlugins(IServiceType)
        if (other := found.setdefault(service.name, service)) is not service
    ]
    if faults:
        raise ConfigError(faults)
    return found


def descriptors_of(name: str) -> int:
    """Descriptors that one connection of the service of that name takes at most."""
    return getattr(service_types().get(name), "descriptors", 1)


def _module(service: IServiceType) -> str:
    return service.module if isinstance(service, ServiceType) else type(service).__module__


@implementer(IPlugin, IServiceType)
@frozen
class ServiceType:
    """What stands in a ``twisted/plugins`` module for a service: ``module`` is imported at the first call.

    :param name: the word in the file, ``service = "echo"``.
    :param summary: one line for people.
    :param module: where the service is; its ``build(options, context)`` gives the factory, and its
        ``example(options, host, port)`` a command line that tries it.
    :param options_class: the name, in that module, of the class that configures it.
    :param descriptors: what one connection takes at most, its own included.
    """

    name: str
    summary: str
    module: str
    options_class: str
    descriptors: int = 1

    def options(self) -> type:
        """The class that configures the service."""
        return cast(type, getattr(import_module(self.module), self.options_class))

    def build(self, options: Any, context: IServiceContext) -> IProtocolFactory:
        """The factory for one listener."""
        return cast("IProtocolFactory", import_module(self.module).build(options, context))

    def example(self, options: Any, host: str, port: int) -> str:
        """A command line that tries the service."""
        return cast(str, import_module(self.module).example(options, host, port))


@implementer(IPlugin, IStreamServerEndpointStringParser)
@frozen
class EndpointPrefix:
    """What stands in a ``twisted/plugins`` module for a prefix of server endpoint strings.

    :param prefix: what the strings begin with.
    :param module: what reads them; its ``parse(reactor, *arguments, **arguments)`` gives the endpoint.
    """

    prefix: str
    module: str

    def parseStreamServer(self, reactor: Any, *args: object, **kwargs: object) -> IStreamServerEndpoint:
        """The endpoint that these arguments describe."""
        return cast("IStreamServerEndpoint", import_module(self.module).parse(reactor, *args, **kwargs))


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
@frozen
class ClientEndpointPrefix:
    """What stands in a ``twisted/plugins`` module for a prefix of client endpoint strings.

    :param prefix: what the strings begin with.
    :param module: what reads them; its ``parse_client(reactor, *arguments, **arguments)`` gives the endpoint.
    """

    prefix: str
    module: str

    def parseStreamClient(self, reactor: Any, *args: object, **kwargs: object) -> IStreamClientEndpoint:
        """The endpoint that these arguments describe."""
        parse = import_module(self.module).parse_client
        return cast("IStreamClientEndpoint", parse(reactor, *args, **kwargs))
