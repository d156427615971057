from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w

from hone.core.config import build, document, flatten, plain, read_toml
from hone.core.errors import HoneError


@dataclass(frozen=True)
class Inner:
    """Inner.

    Attributes:
        rate: how fast,
            said on two lines.
        names: a list.
    """

    rate: float = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    """Outer.

    Attributes:
        steps: how many.
        inner: nested.
    """

    steps: int
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError("steps must not be negative")


def test_dataclass_to_toml_and_back(tmp_path: Path) -> None:
    value = Outer(3, Inner(0.25, ("a", "b")))
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(plain(value)))
    assert build(Outer, read_toml(path)) == value
    assert dict(flatten(plain(value))) == {"steps": 3, "inner.rate": 0.25, "inner.names": ["a", "b"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stps": 3}, ["unknown key", '"stps"', '"steps"']),
        ({"steps": 3, "inner": {"rat": 1}}, ["unknown key", "inner", '"rate"']),
        ({"steps": 3, "maybe": {"rat": 1}}, ["unknown key", "maybe", '"rate"']),
        ({"steps": "many"}, ["steps", "'many'", "integer"]),
        ({"steps": -1}, ["steps must not be negative"]),
        ({}, ["a setting is missing", "steps"]),
    ],
)
def test_bad_values_say_what_where_and_what_was_expected(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(HoneError) as error:
        build(Outer, values, "recipe.toml")
    for word in [*words, "recipe.toml"]:
        assert word in str(error.value)


def test_malformed_toml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("a = 1\nb = = 2\n")
    with pytest.raises(HoneError, match=r"bad\.toml.*line 2"):
        read_toml(path)


def test_a_table_changes_a_default_and_keeps_the_rest_of_it() -> None:
    @dataclass(frozen=True)
    class Special:
        outer: Outer = field(default_factory=lambda: Outer(7, Inner(0.25, ("a",))))

    assert build(Special, {"outer": {"inner": {"rate": 1.0}}}).outer == Outer(7, Inner(1.0, ("a",)))
    assert build(Special, {}).outer == Outer(7, Inner(0.25, ("a",)))


def test_help_texts_come_from_docstrings() -> None:
    rows = {key: (default, meaning) for key, default, meaning in document(Outer)}
    assert rows["steps"] == ("", "how many.")
    assert rows["inner.rate"] == ("0.5", "how fast, said on two lines.")
