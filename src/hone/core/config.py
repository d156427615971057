"""Configuration: frozen dataclasses ⇄ dictionaries ⇄ TOML, validated, with unknown keys refused by name.

Every option of hone is a field of some frozen dataclass; nothing else defines a default. A field whose class is
chosen by name (``[algorithm] name = "grpo"``) is declared by :func:`named`, and built by :func:`build_named`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hone.core.errors import HoneError, nearest
from hone.core.resolve import resolve, short_name

T = TypeVar("T")


def named(package: str, kind: str) -> dict[str, Any]:
    """Metadata of a dataclass field whose class is chosen by name: in TOML a table of ``name`` and its options.

    Args:
        package: where short names are looked up, ``hone.envs.tasks``.
        kind: what it is, for errors.
    """
    return {"named": (package, kind)}


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """A validated instance of a frozen dataclass from plain values.

    Args:
        cls: the dataclass; its ``__post_init__`` may raise ``ValueError`` with a sentence for the user.
        values: keys and plain (TOML-like) values; nested tables for nested dataclasses. A table changes what the
            field holds by default, it does not replace it: keys it leaves out keep the field's values.
        where: prefix of the key in error messages, for example ``recipe.toml [algorithm]``.

    Raises:
        HoneError: an unknown key (with the nearest known one), a value of the wrong type, a failed check.
    """
    import pydantic

    _refuse_unknown(cls, values, where)
    values = _with_named(cls, values, where)
    try:
        return pydantic.TypeAdapter(cls).validate_python(_over_defaults(cls, values))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != cls.__name__)
        if first["type"] == "missing":
            raise HoneError("a setting is missing", where=where, expected=f"a value for {key}") from error
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise HoneError(
            message if first["type"] == "value_error" else "a setting has the wrong value",
            where=" ".join(part for part in (where, key) if part),
            got="" if first["type"] == "value_error" else repr(first.get("input")),
            expected="" if first["type"] == "value_error" else message,
        ) from error


def build_named(values: Mapping[str, Any], package: str, kind: str, where: str = "") -> Any:
    """An instance of the class that ``values["name"]`` names, from the remaining keys.

    Args:
        values: for example ``{"name": "grpo", "clip_low": 0.2}``.
        package: where short names are looked up, ``hone.algorithms``.
        kind: what it is, for errors.
        where: prefix for error messages.
    """
    rest = {name: value for name, value in values.items() if name != "name"} if isinstance(values, Mapping) else {}
    return build(class_named(values, package, kind, where), rest, where or f"[{kind}]")


def class_named(values: Mapping[str, Any], package: str, kind: str, where: str = "") -> type[Any]:
    """The dataclass that ``values["name"]`` names; arguments and errors as :func:`build_named`."""
    where = where or f"[{kind}]"
    name = values.get("name") if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        got = "" if isinstance(values, Mapping) else repr(values)
        raise HoneError(f"the {kind} has no name", where=where, got=got, expected='a table with a key name = "..."')
    cls = resolve(name, package, kind)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise HoneError(f"this is no {kind}", where=where, got=f'"{name}"', expected="a (frozen) dataclass")
    return cls


def plain(value: Any, package_of: Mapping[str, str] | None = None) -> Any:
    """A dataclass as nested plain values (None dropped: TOML has no null).

    A field declared by :func:`named` also gets its ``name`` key; ``package_of`` maps the names of further such fields
    to the package of their short names.
    """
    packages = package_of or {}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table: dict[str, Any] = {}
        for f in dataclasses.fields(value):
            item = getattr(value, f.name)
            if item is None:
                continue
            table[f.name] = plain(item, packages)
            package = f.metadata["named"][0] if "named" in f.metadata else packages.get(f.name)
            if package and isinstance(table[f.name], dict):
                table[f.name] = {"name": short_name(item, package), **table[f.name]}
        return table
    if isinstance(value, Mapping):
        return {str(k): plain(v, packages) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [plain(v, packages) for v in value]
    if isinstance(value, Path):
        return str(value)
    return f"{value.__module__}:{value.__qualname__}" if callable(value) else value


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        HoneError: no such file, or not TOML (with line and column).
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise HoneError("the recipe cannot be read", where=str(path), got=error.strerror or str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise HoneError("the recipe is not valid TOML", where=str(path), got=str(error)) from error


def set_key(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``values["a"]["b"] = value`` for the key ``a.b``, making tables on the way.

    Raises:
        HoneError: ``a`` is set already and is not a table.
    """
    *tables, last = dotted.split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise HoneError(f'"{table}" is a value, not a table', where=dotted, got=repr(inner))
        values = inner
    values[last] = value


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and leaf values of nested tables."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def document(cls: type[Any], prefix: str = "", instance: Any = None) -> Iterator[tuple[str, str, str]]:
    """(key, default, meaning) of every field of a dataclass, nested ones with dotted keys, for ``--help``.

    Meanings are read from the "Attributes:" section of the class's docstring, so they are written once. A field whose
    class is chosen by name has a key ``name``, and the keys of its default.

    Args:
        cls: the dataclass.
        prefix: of every key.
        instance: holds the defaults where they are not the class's own (a field's default factory gave them).
    """
    meanings = _meanings(cls)
    for f in dataclasses.fields(cls):
        default = getattr(instance, f.name) if instance is not None else _default(f)
        nested = _dataclass_of(cls, f.name, {f.name: f.type})
        if "named" in f.metadata:
            known = dataclasses.is_dataclass(default)
            name = repr(short_name(default, f.metadata["named"][0])) if known else ""
            yield f"{prefix}{f.name}.name", name, meanings.get(f.name, "")
            yield from document(type(default), f"{prefix}{f.name}.", default) if known else ()
        elif nested is not None:
            yield from document(nested, f"{prefix}{f.name}.", default if isinstance(default, nested) else None)
        else:
            yield f"{prefix}{f.name}", "" if default is None else repr(default), meanings.get(f.name, "")


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return None if f.default is dataclasses.MISSING else f.default


def _meanings(cls: type[Any]) -> dict[str, str]:
    import inspect
    import re

    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[1:]):
        found |= _meanings(base) if dataclasses.is_dataclass(base) else {}
    section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {6,}.*)*)", section, flags=re.MULTILINE):
        found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


def _refuse_unknown(cls: type[Any], values: Mapping[str, Any], where: str) -> None:
    known = {f.name for f in dataclasses.fields(cls) if f.init}
    for name in values:
        if name not in known:
            raise HoneError("unknown key", where=where, got=f'"{name}"', expected=nearest(name, known))
    hints = {f.name: f.type for f in dataclasses.fields(cls)}
    for name, value in values.items():
        nested = _dataclass_of(cls, name, hints)
        if nested is not None and isinstance(value, Mapping):
            _refuse_unknown(nested, value, f"{where} {name}".strip())


def _with_named(cls: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values with the tables of fields that are chosen by name built."""
    built = dict(values)
    for f in dataclasses.fields(cls):
        if "named" in f.metadata and isinstance(values.get(f.name), Mapping):
            inside = f"{where[:-1]}.{f.name}]" if where.endswith("]") else f"{where} [{f.name}]".strip()
            package, kind = f.metadata["named"]
            built[f.name] = build_named(values[f.name], package, kind, inside)
    return built


def _over_defaults(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {f.name: _default(f) for f in dataclasses.fields(cls)}
    return {name: _over(defaults.get(name), value) for name, value in values.items()}


def _over(default: Any, value: Any) -> Any:
    """A table laid over a dataclass's values; anything else as it is."""
    if not (isinstance(value, Mapping) and dataclasses.is_dataclass(default)) or isinstance(default, type):
        return value
    kept = {f.name: getattr(default, f.name) for f in dataclasses.fields(default) if f.init}
    return {**kept, **{name: _over(kept.get(name), inner) for name, inner in value.items()}}


def _dataclass_of(cls: type[Any], name: str, hints: Mapping[str, Any]) -> type[Any] | None:
    """The dataclass a field holds (also where it may be None), if it is one."""
    import typing

    hint = typing.get_type_hints(cls)[name] if name in hints else None
    options = typing.get_args(hint) or (hint,)
    found = [o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)]
    return found[0] if len(found) == 1 else None
