"""``twistd tcpsuite``: its options, and the service that it runs."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import sys
from typing import TYPE_CHECKING

from twisted.application.reactors import getReactorTypes, installReactor
from twisted.logger import Logger
from twisted.python import usage

from tcpsuite.admin.welcome import welcome
from tcpsuite.config.schema import AUTO
from tcpsuite.errors import ConfigError, LocalError, StartError
from tcpsuite.net.signals import end_on_signals
from tcpsuite.net.steady import make_steady

if TYPE_CHECKING:
    from types import TracebackType

    from twisted.application.service import IService

    from tcpsuite.app import Suite
    from tcpsuite.config import Loaded


class Options(usage.Options):
    """The command line of ``twistd tcpsuite``."""

    synopsis = "[options]"
    longdesc = (
        "Serves what the configuration file says; without one, a demonstration that answers on loopback only."
    )
    optParameters = (("config", "c", None, "The configuration file, TOML."),)
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["set"] = []

    def postOptions(self) -> None:
        """Read the configuration, and take its reactor: behind this, twistd takes its own."""
        sys.excepthook = _say_plainly
        self["loaded"] = _load(self)
        if not (self.parent and self.parent.get("reactor")):
            _take_reactor(self["loaded"].config.reactor)

    def opt_set(self, setting: str) -> None:
        """KEY=VALUE, over what the file says: listener.db.upstream=pg.  May be given again."""
        self["set"].append(setting)


def makeService(options: Options) -> IService:
    """The service that does what the configuration says.

    What cannot be started is said on standard error in plain lines, as is before what is wrong with the
    configuration; the process then ends with status 1.
    """
    loaded = options["loaded"]
    log = Logger()
    for doubt in loaded.doubts:
        log.warn("{doubt}", doubt=doubt)

    # There is one when this is called: that of the command line, of the configuration, or of twistd.
    from twisted.internet import reactor

    from tcpsuite.app import build

    make_steady(reactor)
    raise_descriptor_limit()
    in_front = options.parent is not None and options.parent.get("nodaemon")

    def ready(suite: Suite) -> None:
        # What the start has made stays, and need not be walked through in each garbage collection: with 9,000
        # connections open one takes 20 ms then, not 55.
        gc.collect()
        gc.freeze()
        if in_front:
            _welcome(suite)

    suite = build(loaded.config, reactor, ready)
    end_on_signals(reactor, suite.cut)
    atexit.register(_tell_failure, suite)
    return suite


def _welcome(suite: Suite) -> None:
    # Not sys.stdout: twistd puts its log there.
    with open(os.dup(1), "w") as terminal:
        terminal.write(f"\n{welcome(suite)}\n")


def _tell_failure(suite: Suite) -> None:
    # A start that fails when the reactor runs already has stopped it, and for twistd all is well then.
    if suite.failure is not None:
        _write_error(suite.failure)
        os._exit(1)


def raise_descriptor_limit() -> None:
    """A connection is a descriptor; what a shell allows is meant for programs that wait with ``select``."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _load(options: Options) -> Loaded:
    from tcpsuite.config import load

    loaded = load(options["config"], options["set"])
    if loaded.missing:
        raise ConfigError(loaded.missing)
    return loaded


def _take_reactor(name: str) -> None:
    """Install the reactor of that name.

    :raises StartError: when it does not run here, or is not the one that is there already.
    """
    if "twisted.internet.reactor" in sys.modules:
        _find_reactor(name)
    elif name != AUTO:
        try:
            installReactor(name)
        except Exception as error:  # a reactor is built on somebody else's libraries
            raise StartError(f"the reactor {name} cannot be used here: {error}") from error
    elif sys.platform == "linux":
        from tcpsuite.net.reactor import install

        install()


def _find_reactor(name: str) -> None:
    """Somebody has installed a reactor before it was our turn; the best that suits any is taken as it is."""
    from twisted.internet import reactor

    there = type(reactor).__module__
    wanted = [each.moduleName for each in getReactorTypes() if each.shortName == name]  # type: ignore[attr-defined]
    if name != AUTO and there not in wanted:
        raise StartError(
            f"the reactor {name} cannot be used: a module that was imported has installed that of {there}"
        )
    if name == AUTO and not there.startswith("tcpsuite."):
        Logger().warn(
            "runs on the reactor of {there}, which a module that was imported has installed", there=there
        )


def _say_plainly(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Stands in for Python's own last word: what is nobody's bug needs no traceback."""
    if isinstance(error, LocalError):
        _write_error(error)
    else:
        sys.__excepthook__(kind, error, traceback)


def _write_error(error: BaseException) -> None:
    # Not sys.stderr: with --logfile it is the log.
    print(error, file=sys.__stderr__, flush=True)
