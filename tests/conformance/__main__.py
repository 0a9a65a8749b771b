"""Prints how Twisted's own tests go on our reactor and on stock epoll: ``make conformance``.

``ARGS`` may name other tests, as trial takes them.  The exit status is 1 if ours fails what stock epoll
passes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance.comparing import Results, run

OURS, STOCK = "tcpsuite", "epoll"

AT_MOST = 1200.0
EACH = 120.0
"""Seconds for all tests and for one: that is what trial gives it."""

NAMES = (
    "twisted.internet.test",
    "twisted.protocols.test",
    "twisted.protocols.haproxy.test",
    "twisted.web.test",
    "twisted.names.test",
    "twisted.test.test_abstract",
    "twisted.test.test_amp",
    "twisted.test.test_cooperator",
    "twisted.test.test_ftp",
    "twisted.test.test_ident",
    "twisted.test.test_internet",
    "twisted.test.test_iutils",
    "twisted.test.test_loopback",
    "twisted.test.test_memcache",
    "twisted.test.test_pcp",
    "twisted.test.test_policies",
    "twisted.test.test_process",
    "twisted.test.test_protocols",
    "twisted.test.test_sni",
    "twisted.test.test_socks",
    "twisted.test.test_ssl",
    "twisted.test.test_sslverify",
    "twisted.test.test_stdio",
    "twisted.test.test_strports",
    "twisted.test.test_task",
    "twisted.test.test_tcp",
    "twisted.test.test_tcp_internals",
    "twisted.test.test_threads",
    "twisted.test.test_udp",
    "twisted.test.test_unix",
)
"""What is run when nothing is named: the reactor's own tests, and those of all that is built on sockets.

Of ``twisted.test`` not everything: run by root, its ``test_logfile`` leaves ``/dev/null`` closed to others.
"""


def summary(results: Results) -> str:
    """One line about a run."""
    counted = ", ".join(f"{count} {outcome}" for outcome, count in results.count().most_common())
    return f"{results.reactor:>10}: {counted or 'nothing'} in {results.seconds:.0f} s"


def main() -> int:
    """Run, print, and give the exit status."""
    with TemporaryDirectory(prefix="tcpsuite-") as folder:
        ours, stock = run([OURS, STOCK], sys.argv[1:] or NAMES, Path(folder), at_most=AT_MOST, each=EACH)
    print(summary(ours), summary(stock), sep="\n")
    faults = ours.faults(stock)
    for each in faults:
        print(f"\n{each}")
    if "passed" not in stock.count():
        print(f"\nNothing passed on {stock.reactor}, so nothing was compared.\n{stock.said}")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
