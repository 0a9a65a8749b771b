"""tcpsuite in a process that tells, when it is sent SIGUSR1, what lives in it.

``python -m comparison.watched CONFIG FILE``: what it tells is in FILE then, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def census() -> dict[str, Any]:
    """Objects of classes of tcpsuite and Twisted, timers, and memory, when garbage has been collected."""
    from twisted.internet import reactor

    clock: Any = reactor
    gc.collect()
    kinds = Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if kind.__module__.partition(".")[0] in ("tcpsuite", "twisted")
    )
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "objects": dict(kinds),
        "timers": len(clock.getDelayedCalls()),
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
    }


def main() -> None:
    """Serve, and tell."""
    config, file = sys.argv[1:]

    def tell(*_: object) -> None:
        made = Path(f"{file}.new")
        made.write_text(json.dumps(census()))
        made.rename(file)

    signal.signal(signal.SIGUSR1, tell)
    from tcpsuite.cli import main as command

    command(["run", "--config", config])


if __name__ == "__main__":
    main()
