"""What is typed at the manhole is run, awaited and printed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.console import Console, Help
from tcpsuite.errors import ConnectFailed


class ConsoleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.output: list[str] = []
        self.more: list[bool] = []
        self.left = 0
        self.waiting: Deferred[Any] = Deferred()
        namespace = {
            "waiting": self.waiting,
            "succeed": succeed,
            "fail": fail,
            "error": ConnectFailed("refused"),
        }
        self.console = Console(
            {**namespace, "help": Help({"x": "a number"})}, self.output.append, self.more.append, self.leave
        )
        self.addCleanup(self.console.close)

    def leave(self) -> None:
        self.left += 1

    def type(self, *lines: str) -> str:
        """What is printed when so many lines are typed."""
        self.output.clear()
        for line in lines:
            self.console.push(line)
        return "".join(self.output)

    def test_expression(self) -> None:
        """The value of an expression is printed, and kept; that of None is not."""
        self.assertEqual(self.type("1 + 1"), "2\n")
        self.assertEqual(self.type("None"), "")
        self.assertEqual(self.type("_ + 1; 'x'"), "3\n'x'\n")

    def test_statements(self) -> None:
        """Names that were given stay, and the given namespace is not changed."""
        self.assertEqual(self.type("x = 5", "print(x, end='!')"), "5!")

    def test_block(self) -> None:
        """A block goes on until an empty line ends it."""
        self.assertEqual(self.type("for i in range(2):", "    print(i)"), "")
        self.assertEqual(self.more, [True, True])
        self.assertEqual(self.type(""), "0\n1\n")
        self.assertEqual(self.more[-1], False)

    def test_contexts(self) -> None:
        """An exception shows those that came before it in the same line, and none of another line."""
        lines = ["1 / 0"]
        console: Any = Console(
            {"waiting": self.waiting},
            self.output.append,
            lambda _: lines and console.push(lines.pop(0)),
            self.leave,
        )
        console.push("await waiting")
        self.waiting.errback(ConnectFailed("refused"))
        printed = "".join(self.output)
        self.assertIn("ConnectFailed: refused\nTraceback", printed)
        self.assertNotIn("During handling", printed)
        block = self.type("async def f():", "  try: 1 / 0", "  except Exception: {}['x']", "", "await f()")
        self.assertIn("During handling", block)

    def test_leave_without_brackets(self) -> None:
        """exit and quit leave, with brackets and without."""
        for line in ("exit()", "quit()", "exit", "quit"):
            self.setUp()
            self.assertEqual(self.type(line), "")
            self.assertEqual(self.left, 1, line)

    def test_syntax_error(self) -> None:
        """A syntax error is told, and the next line begins anew."""
        self.assertIn("SyntaxError", self.type("1 +* 2"))
        self.assertIn("source code", self.type("x = '\0'"))
        self.assertEqual(self.type("3"), "3\n")

    def test_traceback(self) -> None:
        """An exception is printed from the typed line on, and nothing is logged."""
        printed = self.type("def broken():", "    return 1 / 0", "", "broken()")
        self.assertTrue(
            printed.startswith('Traceback (most recent call last):\n  File "<manhole>", line 1'), printed
        )
        self.assertTrue(printed.endswith("ZeroDivisionError: division by zero\n"))

    def test_standard_error(self) -> None:
        """What is written to standard error is printed too, and nothing can be read."""
        self.assertEqual(self.type("import sys; x = sys.stderr.write('oh')"), "oh")
        self.assertIn("EOFError", self.type("input()"))

    def test_fired_deferred(self) -> None:
        """The result of a Deferred that has fired is printed at once."""
        self.assertEqual(self.type("succeed(7)"), "7\n")
        self.assertEqual(self.type("_"), "7\n")

    def test_waits_for_deferred(self) -> None:
        """A Deferred is awaited; who waits for it too gets its result."""
        self.assertEqual(self.type("waiting"), "")
        self.assertTrue(self.console.busy)
        self.waiting.callback([1, 2])
        self.assertEqual(("".join(self.output), self.console.busy), ("[1, 2]\n", False))
        self.assertEqual(self.successResultOf(self.waiting), [1, 2])

    def test_failed_deferred(self) -> None:
        """The failure of a Deferred is printed, and not logged as unhandled."""
        self.assertIn("tcpsuite.errors.ConnectFailed: refused", self.type("fail(error)"))
        self.assertIn("ConnectFailed: refused", self.type("await fail(error)"))

    def test_coroutine(self) -> None:
        """A coroutine is awaited, and what it prints on its way is printed here."""
        self.type(
            "async def f():",
            "    print('begun')",
            "    x = await waiting",
            "    print('goes on')",
            "    return x",
            "",
        )
        self.assertEqual(self.type("f()"), "begun\n")
        self.waiting.callback(3)
        self.assertEqual("".join(self.output), "begun\ngoes on\n3\n")

    def test_await(self) -> None:
        """``await`` may be typed, and its value is printed or given a name."""
        self.assertEqual(self.type("await succeed(4)"), "4\n")
        self.assertEqual(self.type("x = await waiting"), "")
        self.waiting.callback(5)
        self.assertEqual(self.type("x"), "5\n")

    def test_await_fails(self) -> None:
        """An exception that is thrown into what is typed can be caught there."""
        printed = self.type(
            "try:", "    await fail(error)", "except Exception as e:", "    print('caught', e)", ""
        )
        self.assertEqual(printed, "caught refused\n")

    def test_await_fails_later(self) -> None:
        """So can one that comes while it is awaited."""
        self.type("try:", "    await waiting", "except Exception as e:", "    print('caught', e)", "")
        self.waiting.errback(ConnectFailed("refused"))
        self.assertEqual("".join(self.output), "caught refused\n")

    def test_interrupt_waiting(self) -> None:
        """An interrupt cancels what is awaited."""
        self.type("waiting")
        self.console.interrupt()
        self.assertEqual(("".join(self.output), self.console.busy), ("cancelled\n", False))

    def test_interrupt_block(self) -> None:
        """An interrupt forgets a block that was begun."""
        self.type("if True:")
        self.console.interrupt()
        self.assertEqual(self.type("1"), "1\n")

    def test_several(self) -> None:
        """Of several Deferreds on one line each is awaited, in their order; one that fails ends the line."""
        self.assertEqual(self.type("succeed(1); succeed(2)"), "1\n2\n")
        self.type("async def f(): return 1", "")
        self.assertNotIn("1\n2", self.type("fail(error); f()"))

    def test_exit(self) -> None:
        """exit() leaves the prompt, and nothing is asked any more."""
        for line in ("exit()", "quit()", "raise SystemExit"):
            self.setUp()
            self.type(line)
            self.assertEqual((self.left, self.more), (1, []), line)

    def test_close(self) -> None:
        """When the reader goes away, what is awaited is cancelled, and nothing is printed."""
        self.type("waiting")
        self.console.close()
        self.assertEqual(self.output, [])
        self.assertFalse(self.console.busy)

    def test_help(self) -> None:
        """help() tells what is here, help(x) what x is, and help how to ask."""
        self.assertIn("  x  a number\n", self.type("help()"))
        self.assertIn("str(object='') -> str", self.type("help('x'.__class__)"))
        self.assertIn("help()", self.type("help"))
