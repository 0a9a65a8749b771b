"""The configuration file: its classes, how it is read and verified, how it is shown."""

from tcpsuite.config.schema import Config, LimitsOptions, ListenerConfig

__all__ = ["Config", "LimitsOptions", "ListenerConfig"]
