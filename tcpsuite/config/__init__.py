"""The configuration file: its classes, how it is read and verified, how it is shown."""

from tcpsuite.config.faults import Fault, Origin
from tcpsuite.config.loading import Loaded, load
from tcpsuite.config.schema import Config, ListenerConfig
from tcpsuite.net.limit_options import LimitsOptions

__all__ = ["Config", "Fault", "LimitsOptions", "ListenerConfig", "Loaded", "Origin", "load"]
