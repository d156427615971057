"""Which options of hone there are to measure, asked of hone itself."""

from __future__ import annotations

import inspect
import typing
from typing import Any


def layouts() -> dict[str, dict[str, Any]]:
    """Arguments of ``update`` for each layout of a training step, by a label; the default alone where there is one."""
    from hone.training.update import update

    found: dict[str, dict[str, Any]] = {"": {}}
    parameter = inspect.signature(update).parameters.get("layout")
    if parameter is None:
        return found
    hint = typing.get_type_hints(update).get("layout")
    for name in typing.get_args(hint):
        if isinstance(name, str) and name != parameter.default:
            found[f", {name}"] = {"layout": name}
    return found
