"""A recipe inside a recipe: a table of the user's from which what surrounds it sets some keys itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from hone.core.config import document, flatten, set_key
from hone.core.errors import HoneError
from hone.core.resolve import resolve
from hone.training.recipe import ONLINE_ONLY, PACKAGES

Keys = Iterator[tuple[str, str, str]]
"""(key, default, meaning), as ``--help`` lists them."""


@dataclass(frozen=True)
class Inner:
    """A section that is the recipe of an inner run.

    Attributes:
        recipe: its dataclass, for ``--help``.
        build: makes it from tables, ``reward_recipe_from`` for example.
        owned: dotted keys, or whole tables, that are set from outside, with values to build with until then.
        defaults: other dotted keys whose default differs here.
    """

    recipe: type
    build: Callable[[Mapping[str, Any], str], Any]
    owned: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def read(self, values: Mapping[str, Any], where: str) -> Any:
        """The recipe from the user's table.

        Raises:
            HoneError: an owned key is in it, or anything ``build`` refuses.
        """
        if not isinstance(values, Mapping):
            raise HoneError("a section is a table", where=where, got=repr(values))
        given, made = dict(flatten(values)), dict[str, Any]()
        for name in given:
            if own := self._owner(name):
                do = "set it in [model]" if own == "model" else "leave it out"
                raise HoneError("what surrounds this section sets the key itself", where=f"{where} {name}", do=do)
        for name, value in {**self._defaults(given.get("algorithm.name")), **given, **self.owned}.items():
            set_key(made, name, deepcopy(value))
        return self.build(made, where)

    def plain(self, table: dict[str, Any]) -> dict[str, Any]:
        """A resolved table without the owned keys, as :meth:`read` takes it again."""
        kept: dict[str, Any] = {}
        for name, value in flatten(table):
            if not self._owner(name):
                set_key(kept, name, value)
        return kept

    def keys(self, prefix: str, settings: Mapping[str, str]) -> Keys:
        """Every key that a user may set, those of the named algorithm among them."""
        offline = "sampling" not in {f.name for f in dataclasses.fields(self.recipe)}
        name = settings.get(f"{prefix}algorithm.name")
        defaults = self._defaults(name)
        for key, default, meaning in self._document(str(name or defaults.get("algorithm.name", ""))):
            if not self._owner(key) and not (offline and key.removeprefix("run.") in ONLINE_ONLY):
                yield f"{prefix}{key}", repr(defaults[key]) if key in defaults else default, meaning

    def _document(self, algorithm: str) -> Keys:
        for key, default, meaning in document(self.recipe):
            if key != "algorithm":
                yield key, default, meaning
                continue
            yield "algorithm.name", repr(algorithm) if algorithm else "", meaning
            if algorithm:
                yield from document(resolve(algorithm, PACKAGES["algorithm"], "algorithm"), "algorithm.")

    def _owner(self, name: str) -> str:
        return next((own for own in self.owned if name == own or name.startswith(f"{own}.")), "")

    def _defaults(self, algorithm: str | None) -> Mapping[str, Any]:
        """The defaults; those of an algorithm mean nothing to another."""
        same = algorithm in (None, self.defaults.get("algorithm.name"))
        return {n: v for n, v in self.defaults.items() if same or not n.startswith("algorithm.")}


def replaced(value: Any, settings: Mapping[str, Any]) -> Any:
    """A frozen dataclass with other values under dotted keys: ``replaced(recipe, {"run.out": folder})``."""
    for dotted, new in settings.items():
        head, _, rest = dotted.partition(".")
        value = dataclasses.replace(value, **{head: replaced(getattr(value, head), {rest: new}) if rest else new})
    return value
