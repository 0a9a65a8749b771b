"""Fresh virtual environments that tcpsuite is installed into, as a user installs it."""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

from tests.integration.support.programs import run

CHECKOUT = Path(__file__).parents[3]

RUN_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
"""What pip puts into the ``twistd`` command."""


class Environment:
    """A virtual environment with all that tcpsuite needs, taken from this one, but with no trace of tcpsuite.

    So nothing is downloaded, and yet whatever works in it comes from what :meth:`install` put there.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        self.packages = Path(self.ask("import sysconfig; print(sysconfig.get_path('purelib'))"))
        needed = folder / "needed"
        needed.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if "tcpsuite" not in entry.name:
                (needed / entry.name).symlink_to(entry)
        (self.packages / "needed.pth").write_text(str(needed))
        self.twistd = (str(self.python), "-c", RUN_TWISTD)

    def ask(self, program: str) -> str:
        """What a Python program prints here, run where no checkout is near."""
        return run(self.python, "-c", program, cwd="/").stdout.strip()

    def install(self, *what: str | Path) -> None:
        """``pip install`` these."""
        offline = (
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
        )
        run(sys.executable, "-m", "pip", "--python", self.python, "install", *offline, *what, cwd="/")


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built into ``folder``."""
    offline = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, CHECKOUT, cwd="/")
    (wheel,) = folder.glob("tcpsuite-*.whl")
    return wheel
