"""What a listener of the file service shares, whatever protocol it speaks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.net.limiting import ServiceLimits
    from tcpsuite.net.pagecache import InThread, PageCache
    from tcpsuite.services.files.root import Root
    from tcpsuite.services.files.sums import Sums
    from tcpsuite.services.files.upload import UploadRights, Uploads
    from tcpsuite.services.patience import Patience


@define(eq=False)
class Share:
    """A root, and what clients may do with it.

    :ivar listing: whether clients may see what a directory holds.
    :ivar in_thread: calls a function with arguments in a thread, and gives a Deferred of its result; for
        listings, so that they neither wait for uploads nor hold them up.
    :ivar cache: through which files are read.
    :ivar reactor: an ``IReactorTime``.
    :ivar patience: how long requests may take to come, and how many may wait.
    :ivar now: seconds since the epoch.
    :ivar limits: asked for each request in lines; ``None`` for no limits.
    """

    root: Root
    sums: Sums
    uploads: Uploads
    rights: UploadRights
    listing: bool
    in_thread: InThread
    cache: PageCache
    reactor: Any
    patience: Patience
    now: Callable[[], float] = time.time
    limits: ServiceLimits | None = None
    log = Logger()
    _stopped: bool = field(default=False, init=False)

    def start(self) -> None:
        """A port was opened: what crashed uploads have left is removed, meanwhile."""
        self._stopped = False
        if self.rights.enabled:
            sweeping = Deferred.fromCoroutine(self.uploads.sweep(lambda: self._stopped))
            sweeping.addCallbacks(self._swept, self._not_swept)

    def stop(self) -> None:
        """The last port was closed."""
        self._stopped = True

    def _swept(self, removed: int) -> None:
        if removed:
            self.log.info(
                "removed {removed} unfinished uploads in {root}", removed=removed, root=self.root.path
            )

    def _not_swept(self, failure: Failure) -> None:
        self.log.failure("could not look for unfinished uploads in {root}", failure, root=self.root.path)
