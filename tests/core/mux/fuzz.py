"""Look for plays that break a promise, led by what they reach of the code.

::

    pip install atheris
    python -m tests.core.mux.fuzz FOLDER -max_total_time=600 -max_len=400

FOLDER holds the plays, at first those of ``corpus.txt``; options of libFuzzer may follow.  What fails
is written beside it, and belongs into ``corpus.txt`` behind its mend.
"""

from __future__ import annotations

import sys
from hashlib import sha1
from importlib import import_module
from pathlib import Path


def main(folder: Path) -> None:
    """Fuzz, until the time is over or a promise is broken."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["tcpsuite.core.mux"]):
        from tests.core.mux.play import corpus, play
    folder.mkdir(exist_ok=True)
    for data in corpus():
        (folder / sha1(data).hexdigest()).write_bytes(data)
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
