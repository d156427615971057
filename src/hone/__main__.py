"""``python -m hone`` is the command ``hone``."""

from hone.cli.main import main

main()
