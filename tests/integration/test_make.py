"""The Makefile: what it installs, and when."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.support.environments import CHECKOUT
from tests.integration.support.programs import need, run


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a `make test ARGS=...` around this hands down is not for the makes in here."""
    for name in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS", "WORKERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("target", ["run", "test"])
def test_no_python(tmp_path: Path, target: str) -> None:
    """Without a Python that is new enough and has venv, one line says what to install."""
    need("make")
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = run("make", "-C", tmp_path, target, f"PYTHONS={old} no-such-python", check=False)
    first, _, _ = done.stderr.partition("\n")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer with venv: " in first
    assert "apt install python3 python3-venv" in first
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without code, where `python3` makes environments that install and run nothing."""
    need("make")
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(CHECKOUT / "Makefile", folder)
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    python = tmp_path / "python3"
    python.write_text(
        """#!/bin/sh
case "$*" in
  *"import ensurepip"*) exit 0;;
  --version) echo Python 3;;
  "-m venv .venv")
    mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "made in $(pwd)"
    [ ! -e broken ] || exit 1
    echo "command = $0 -m venv $(pwd)/.venv" >.venv/pyvenv.cfg;;
  "-m pip"*) ;;
  *) echo "called: $*"
     for word; do
       case "$word" in --basetemp=*) mkdir "${word#*=}";; esac
     done
     exit 3;;
esac
"""
    )
    python.chmod(0o755)
    return folder


def make(checkout: Path, *words: str) -> str:
    """What `make` says there."""
    return run("make", "-C", checkout, *words, f"PYTHONS={checkout.parent / 'python3'}", check=False).stdout


def called(said: str) -> list[str]:
    """The words with which pytest was called."""
    (words,) = (line.split() for line in said.splitlines() if line.startswith("called: -m pytest "))
    return words[3:]


def test_moved(checkout: Path) -> None:
    """The environment is made once; in a checkout that was moved it is made, and filled, again."""
    assert f"made in {checkout}\n" in make(checkout, "run")
    assert "called: -m tcpsuite run\n" in make(checkout, "run")
    assert "made in" not in make(checkout, "run")
    moved = checkout.rename(checkout.with_name("an other"))
    again = make(moved, "run")
    assert f"made in {moved}\n" in again
    assert "Installing tcpsuite" in again
    assert "called: -m tcpsuite run\n" in again
    assert "made in" not in make(moved, "run")


def test_half_made(checkout: Path) -> None:
    """An environment that could not be made is taken away, so that the next time it is tried again."""
    (checkout / "broken").touch()
    assert "called" not in make(checkout, "run")
    assert not (checkout / ".venv").exists()
    (checkout / "broken").unlink()
    assert "called" in make(checkout, "run")


def test_temporary_files(checkout: Path) -> None:
    """The tests' folders go when the tests end."""
    folder = Path(called(make(checkout, "test"))[0].removeprefix("--basetemp="))
    assert folder.is_absolute()
    assert not folder.parent.exists()


def test_workers(checkout: Path) -> None:
    """All tests run on all processors; what is chosen runs in one process, as all do when that is wanted."""
    assert called(make(checkout, "test"))[1:3] == ["-n", "auto"]
    assert called(make(checkout, "test", "ARGS=-k gateway"))[1:] == ["-k", "gateway"]
    assert called(make(checkout, "test", "WORKERS="))[1:] == []
