"""``python -m tcpsuite``."""

from tcpsuite.cli import main

main(prog_name="tcpsuite")
