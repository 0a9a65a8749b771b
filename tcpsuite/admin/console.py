"""Python, read line by line and run in this process: what stands behind every prompt of the manhole."""

from __future__ import annotations

import ast
import io
import pydoc
import sys
import traceback
from codeop import CommandCompiler
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from inspect import CO_COROUTINE, iscoroutine
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator
    from types import CodeType

    from twisted.python.failure import Failure

SOURCE = "<manhole>"
"""The file name of what was typed, as tracebacks show it."""


class Console:
    """Runs what is typed, one line or block at a time.

    The value of an expression is printed, and kept as ``_``.  A Deferred or coroutine is awaited first, and
    ``await`` may be typed.  Whatever goes wrong is printed, and nothing of it reaches the log.

    :param namespace: the names that what is typed sees, and adds to.
    :param write: takes the output.
    :param done: called after each line that was dealt with: whether the next one continues its block.
    :param leave: called when ``exit()`` was typed.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        write: Callable[[str], object],
        done: Callable[[bool], object],
        leave: Callable[[], object],
    ) -> None:
        self.namespace = {**namespace, "exit": _exit, "quit": _exit, "__name__": "__manhole__"}
        self.write: Callable[..., object] = write
        self._done: Callable[..., object] = done
        self._leave: Callable[..., object] = leave
        self._block: list[str] = []
        self._running: Deferred[None] | None = None
        self._awaiting: list[Any] = []
        self._around: list[BaseException | None] = []
        self._compile = CommandCompiler()
        self._compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    @property
    def busy(self) -> bool:
        """Whether something that was typed is awaited; no line is taken meanwhile."""
        return self._running is not None

    def push(self, line: str) -> None:
        """Take one line, without its end."""
        self._block.append(line)
        try:
            compiled = self._compile("\n".join(self._block), SOURCE, "single")
        except (OverflowError, SyntaxError, ValueError) as error:
            self._block.clear()
            self.write("".join(traceback.format_exception_only(error)))
            self._done(False)
            return
        if compiled is None:
            self._done(True)
            return
        self._block.clear()
        running = Deferred.fromCoroutine(self._run(compiled))
        if not running.called:
            self._running = running
        running.addCallback(self._ran)

    def interrupt(self) -> None:
        """Cancel what is awaited, or forget the block that was begun."""
        if self._running is not None:
            self._running.cancel()
        else:
            self._block.clear()
            self.write("KeyboardInterrupt\n")
            self._done(False)

    def close(self) -> None:
        """Nobody reads any more: cancel what is awaited."""
        self._fall_silent()
        if self._running is not None:
            self._running.cancel()

    def _fall_silent(self) -> None:
        self.write = self._done = self._leave = _nothing

    async def _run(self, compiled: CodeType) -> None:
        self._awaiting.clear()
        try:
            with self._captured():
                # A prompt is what it is for.
                value = eval(compiled, self.namespace)
            if compiled.co_flags & CO_COROUTINE:
                await Deferred.fromCoroutine(self._in_steps(value))
            for awaited in self._awaiting:
                self._show(await self._result(awaited))
        except SystemExit:
            leave = self._leave
            self._fall_silent()
            leave()
        except CancelledError:
            self.write("cancelled\n")
        except BaseException as error:
            _part(error, self._around)
            self.write(_trace(error))
        finally:
            self._around.clear()
            for awaited in self._awaiting:
                if iscoroutine(awaited):
                    awaited.close()

    def _ran(self, _result: None) -> None:
        self._running = None
        self._done(False)

    def _show(self, value: Any) -> None:
        """What is done with the value of an expression."""
        if value is _exit:  # typed without brackets
            _exit()
        if iscoroutine(value) or isinstance(value, Deferred):
            self._awaiting.append(value)
        elif value is not None:
            self.namespace["_"] = value
            self.write(f"{value!r}\n")

    def _result(self, awaited: Any) -> Deferred[Any]:
        """Fires with what a coroutine or Deferred gives; whoever else waits for the Deferred gets it too."""
        if iscoroutine(awaited):
            return Deferred.fromCoroutine(self._in_steps(awaited))
        seen: Deferred[Any] = Deferred(lambda _: awaited.cancel())

        def tell(result: Any) -> Any:
            seen.callback(result)
            return result

        def take(failure: Failure) -> None:
            # It is printed here: with nobody else to take it, it would be logged as unhandled.
            seen.errback(failure)

        awaited.addCallbacks(tell, take)
        return seen

    def _in_steps(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same coroutine, with its output captured whenever it goes on."""
        go_on, value = coroutine.send, None
        while True:
            with self._captured():
                try:
                    waited_for = go_on(value)
                except StopIteration as stop:
                    return stop.value
            try:
                value = yield waited_for
            except BaseException as error:
                go_on, value = coroutine.throw, error
            else:
                go_on = coroutine.send

    @contextmanager
    def _captured(self) -> Iterator[None]:
        """While something of ours runs, what it prints is ours, and there is nothing for it to read."""
        # It may be run from where an exception is being dealt with, which is none of its own.
        self._around.append(sys.exception())
        output: Any = _Output(self.write)
        displayhook, stdin = sys.displayhook, sys.stdin
        sys.displayhook, sys.stdin = self._show, io.StringIO()
        try:
            with redirect_stdout(output), redirect_stderr(output):
                yield
        finally:
            sys.displayhook, sys.stdin = displayhook, stdin


class _Output(io.TextIOBase):
    """A file that writes to the prompt."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._write(text)
        return len(text)


class Help:
    """``help()`` says what is here; ``help(x)`` shows the documentation of ``x``.

    :param words: what each name of the namespace is.
    """

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words

    def __repr__(self) -> str:
        return "Type help() for what is here, help(x) for the documentation of x."

    def __call__(self, *args: Any) -> None:
        """Print it."""
        if args:
            print(pydoc.render_doc(args[0], renderer=pydoc.plaintext))  # type: ignore[attr-defined]  # noqa: T201
            return
        width = max(map(len, self._words))
        lines = (f"  {name:{width}}  {words}" for name, words in self._words.items())
        print("\n".join(("This is the running process; what you change here, changes.", "", *lines)))  # noqa: T201


def _nothing(*_: object) -> None:
    """Nobody reads any more."""


def _exit() -> NoReturn:
    """Leave the prompt; the process goes on."""
    raise SystemExit


def _part(error: BaseException, around: list[BaseException | None]) -> None:
    """Forget that ``error`` came while one of ``around`` was dealt with."""
    seen = {id(error)}
    while (context := error.__context__) is not None and id(context) not in seen:
        if any(context is each for each in around):
            error.__context__ = None
            return
        seen.add(id(context))
        error = context


def _trace(error: BaseException) -> str:
    """The traceback from what was typed on; all of it, when that had no part in it."""
    here = error.__traceback__
    while here is not None and here.tb_frame.f_code.co_filename != SOURCE:
        here = here.tb_next
    return "".join(traceback.format_exception(type(error), error, here or error.__traceback__))
