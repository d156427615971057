"""Packages that not everybody installs."""

from __future__ import annotations

import importlib.util

from hone.core.errors import HoneError


def require_extra(*modules: str) -> None:
    """Check that packages of the ``ui`` extra are there.

    Raises:
        HoneError: names the first that is missing, and the command that installs all.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise HoneError("this needs packages that are not installed", got=missing[0], do='pip install "hone[ui]"')
