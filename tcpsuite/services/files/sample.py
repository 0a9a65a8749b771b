"""The folder that the demonstration serves."""

from __future__ import annotations

import os

SAMPLE = {
    "hello.txt": b"Hello from tcpsuite.\n",
    "numbers/squares.txt": b"".join(b"%d %d\n" % (n, n * n) for n in range(1000)),
    "numbers/one-megabyte.bin": bytes(range(256)) * 4096,
}


def make_sample(directory: str) -> None:
    """Make ``directory`` with a few files to try; what is there already is left alone.

    :raises OSError: when it cannot be made.
    """
    for name, content in SAMPLE.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "xb") as file:
                file.write(content)
        except FileExistsError:
            pass
