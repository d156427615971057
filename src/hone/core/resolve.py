"""Find a class or function by its short name or by ``package.module:Name``; there is no registry to edit.

The short name is a file: ``grpo`` is the class in ``hone/algorithms/grpo.py`` whose name, without case and
underscores, equals the file's.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from hone.core.errors import HoneError, nearest


def resolve(name: str, package: str, kind: str) -> Any:
    """The object called ``name``.

    Args:
        name: a module name inside ``package`` (``grpo``) or ``package.module:Name``.
        package: where short names are looked up, for example ``hone.algorithms``.
        kind: what it is, for the error (``algorithm``).

    Raises:
        HoneError: nothing of that name exists; the nearest known name is given.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except Exception as error:  # the user's own module: whatever it raises is the user's to mend
            raise HoneError(
                f"the {kind} cannot be imported",
                got=f'"{name}" ({type(error).__name__}: {error})',
                expected="package.module:Name, importable from the current folder",
            ) from error
    if name not in (known := names(package)):
        raise HoneError(f"unknown {kind}", got=f'"{name}"', expected=nearest(name, known))
    module = importlib.import_module(f"{package}.{name}")
    wanted = name.replace("_", "")
    return next(value for key, value in vars(module).items() if key.lower() == wanted)


def names(package: str) -> list[str]:
    """The short names in a package: its modules, less ``base`` and private ones."""
    path = importlib.import_module(package).__path__
    return [m.name for m in pkgutil.iter_modules(path) if m.name != "base" and not m.name.startswith("_")]


def short_name(obj: object, package: str) -> str:
    """The name by which :func:`resolve` finds the class of ``obj`` (or the class or function itself)."""
    target = obj if isinstance(obj, type) or (callable(obj) and hasattr(obj, "__qualname__")) else type(obj)
    module, qualified = target.__module__, target.__qualname__
    head, _, tail = module.rpartition(".")
    if head == package and tail.replace("_", "") == qualified.lower():
        return tail
    return f"{module}:{qualified}"
