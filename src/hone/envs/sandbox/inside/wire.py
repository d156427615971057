"""Plain values as bytes: what a program under test, the tests and the grader may say to each other.

Whatever the other side sends, decoding makes nothing but values of built-in types (and :class:`Ref`): no code
of the other side's runs, and no object of its classes exists here. That is the point.

One letter says the type; a number in eight hexadecimal digits says how many bytes or items follow.
"""

from __future__ import annotations

import _collections  # type: ignore[import-not-found]  # what `collections` takes deque from, in a hundredth of the time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST_ITERATOR = 100_000


class Ref:
    """An object of the other side's, known here by its number and its class's name only."""

    def __init__(self, number: int, kind: str) -> None:
        self.number, self.kind = number, kind


class _Items:
    """How one type of container is taken apart and made."""

    def __init__(self, types: Any, take: Callable[[Any], Any], make: Callable[[list[Any]], Any]) -> None:
        self.types, self.take, self.make = types, take, make


_CONTAINERS: dict[str, _Items] = {
    "l": _Items(list, list.__iter__, list),
    "t": _Items(tuple, tuple.__iter__, tuple),
    "d": _Items(dict, lambda d: [part for item in dict.items(d) for part in item], lambda i: _pairs(i)),
    "S": _Items(set, set.__iter__, set),
    "F": _Items(frozenset, frozenset.__iter__, frozenset),
    "q": _Items(_collections.deque, iter, _collections.deque),
    "r": _Items(range, lambda r: (r.start, r.stop, r.step), lambda i: range(*i)),
    "c": _Items(complex, lambda c: (c.real, c.imag), lambda i: complex(*i)),
    "K": _Items(type({}.keys()), iter, lambda i: dict.fromkeys(i).keys()),
    "V": _Items(type({}.values()), iter, lambda i: dict(enumerate(i)).values()),
    "I": _Items(type({}.items()), iter, lambda i: dict(i).items()),
}


def encode(value: Any, refer: Callable[[Any], Ref] | None = None) -> bytes:
    """A value as bytes; what is not plain is what ``refer`` gives for it.

    Raises:
        TypeError: there is no ``refer`` and the value is not plain.
        RecursionError: it contains itself.
    """
    parts: list[bytes] = []
    _pack(value, parts.append, refer or _refuse)
    return b"".join(parts)


def decode(data: bytes, resolve: Callable[[Ref], Any] | None = None) -> Any:
    """The value that was encoded; ``resolve`` says what a :class:`Ref` stands for.

    Raises:
        ValueError: this is not what :func:`encode` writes.
    """
    try:
        value, end = _unpack(data, 0, resolve or _refuse)
    except (KeyError, TypeError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a plain value: {error!r}") from error
    if end != len(data):
        raise ValueError("not one plain value")
    return value


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} is not plain")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _pack(value: Any, write: Callable[[bytes], object], refer: Callable[[Any], Ref]) -> None:
    if value is None or value is True or value is False:
        write(b"N" if value is None else b"T" if value else b"0")
    elif isinstance(value, str):
        _text(b"s", str.encode(value, "utf-8", "surrogatepass"), write)
    elif isinstance(value, int):
        _text(b"i", hex(int.__int__(value)).encode(), write)
    elif isinstance(value, float):
        _text(b"f", float.hex(value).encode(), write)
    elif isinstance(value, bytes):
        _text(b"b", bytes.__getitem__(value, slice(None)), write)
    elif isinstance(value, bytearray):
        _text(b"B", bytes(value), write)
    else:
        for letter, container in _CONTAINERS.items():
            if isinstance(value, container.types):
                return _sequence(letter, container.take(value), write, refer)
        if hasattr(type(value), "__next__"):
            first = [item for item, _ in zip(value, range(_LONGEST_ITERATOR), strict=False)]
            return _sequence("n", first, write, refer)
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            return _pack(value.tolist(), write, refer)
        ref = refer(value)
        _sequence("o", (ref.number, ref.kind), write, refer)
    return None


def _text(letter: bytes, content: bytes, write: Callable[[bytes], object]) -> None:
    write(letter + b"%08x" % len(content))
    write(content)


def _sequence(letter: str, items: Any, write: Callable[[bytes], object], refer: Callable[[Any], Ref]) -> None:
    taken = list(items)
    write(letter.encode() + b"%08x" % len(taken))
    for item in taken:
        _pack(item, write, refer)


def _unpack(data: bytes, at: int, resolve: Callable[[Ref], Any]) -> tuple[Any, int]:
    letter = chr(data[at])
    if letter in "NT0":
        return {"N": None, "T": True, "0": False}[letter], at + 1
    size, at = int(data[at + 1 : at + 9], 16), at + 9
    if letter in "sifbB":
        content = data[at : at + size]
        if len(content) != size or size < 0:
            raise ValueError("cut short")
        return _READERS[letter](content), at + size
    items = []
    for _ in range(size):
        item, at = _unpack(data, at, resolve)
        items.append(item)
    if letter == "n":
        return iter(items), at
    if letter == "o":
        return resolve(Ref(int(items[0]), str(items[1]))), at
    return _CONTAINERS[letter].make(items), at


_READERS: dict[str, Callable[[bytes], Any]] = {
    "s": lambda content: content.decode("utf-8", "surrogatepass"),
    "i": lambda content: int(content.decode(), 16),
    "f": lambda content: float.fromhex(content.decode()),
    "b": bytes,
    "B": bytearray,
}
