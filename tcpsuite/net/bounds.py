"""The limits of all listeners: each listener's own, and the files of overrides that they may share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.threads import deferToThreadPool

from tcpsuite.core.limits import BANDWIDTHS, ResourceLimiter
from tcpsuite.errors import StartError
from tcpsuite.net.limiting import ServiceLimits
from tcpsuite.net.override_file import OverrideFile
from tcpsuite.net.sharing import SharedLimiter
from tcpsuite.net.throttling import Throttling

if TYPE_CHECKING:
    from tcpsuite.core.connections import Ledger
    from tcpsuite.net.limit_options import LimitsOptions
    from tcpsuite.net.sharing import Asking


@frozen
class Bound:
    """What bounds one listener.

    :ivar limiter: asked at its door.
    :ivar service: asked by its service.
    :ivar throttling: bounds the bandwidth of its connections; ``None`` when nothing may.
    """

    limiter: ResourceLimiter
    service: ServiceLimits
    throttling: Throttling | None


class Bounds:
    """Builds what bounds each listener, and has the files of overrides looked at.

    :param asking: asks the processes with which limits are shared; ``None`` when none are.
    :ivar limiters: by the name of the listener.
    """

    def __init__(self, ledger: Ledger, reactor: Any, asking: Asking | None = None) -> None:
        self.limiters: dict[str, ResourceLimiter] = {}
        self._ledger = ledger
        self._reactor = reactor
        self._asking = asking
        self._files: dict[str, OverrideFile] = {}

    def __repr__(self) -> str:
        return f"<Bounds listeners={len(self.limiters)} files={len(self._files)}>"

    def build(self, name: str, options: LimitsOptions, high_water: int) -> Bound:
        """What bounds the listener of that name.

        :param high_water: bytes that wait for a client, past which who produces them is told to wait.
        :raises StartError: with all faults of its file of overrides.
        """
        if options.shared and self._asking is not None:
            limiter: ResourceLimiter = SharedLimiter(options, name, self._asking)
        else:
            limiter = ResourceLimiter(
                options, exempt_loopback=options.exempt_loopback, dry_run=options.dry_run
            )
        self.limiters[name] = limiter
        if options.overrides:
            try:
                file = self._file(options.overrides)
            except StartError as error:
                raise StartError(f"listener {name}: overrides: {error}") from None
            limiter.overrides = file.overrides
            file.tell(partial(setattr, limiter, "overrides"))
        throttling = None
        # A file of overrides may say so at any time.
        if options.overrides or any(getattr(options, each) for each in BANDWIDTHS):
            throttling = Throttling(limiter, self._reactor, high_water)
        service = ServiceLimits(name, limiter, self._ledger, self._reactor, throttling)
        return Bound(limiter, service, throttling)

    def start(self) -> None:
        """Look at the files from now on."""
        for file in self._files.values():
            file.start()

    def stop(self) -> None:
        """Look at them no more."""
        for file in self._files.values():
            file.stop()

    def _file(self, path: str) -> OverrideFile:
        if path not in self._files:
            pool = self._reactor.getThreadPool()
            file = OverrideFile(path, self._reactor, partial(deferToThreadPool, self._reactor, pool))
            file.load()
            self._files[path] = file
        return self._files[path]
