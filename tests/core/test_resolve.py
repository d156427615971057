"""Parts are found by a short name or by ``package.module:Name``."""

import sys
from pathlib import Path

import pytest

from hone.algorithms.grpo import GRPO
from hone.core.errors import HoneError
from hone.core.resolve import names, resolve, short_name


def test_a_short_name_is_a_file() -> None:
    assert resolve("grpo", "hone.algorithms", "algorithm") is GRPO
    assert short_name(GRPO(), "hone.algorithms") == "grpo"
    assert {"grpo", "rloo"} <= set(names("hone.algorithms"))
    assert "base" not in names("hone.algorithms")


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(HoneError, match=r'unknown algorithm; got "gpro".*"grpo"'):
        resolve("gpro", "hone.algorithms", "algorithm")


def test_a_module_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_this_folder.py").write_text("class Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = resolve("of_this_folder:Mine", "hone.algorithms", "algorithm")
    assert short_name(found(), "hone.algorithms") == "of_this_folder:Mine"
    monkeypatch.delitem(sys.modules, "of_this_folder")


def test_what_cannot_be_imported_says_so() -> None:
    with pytest.raises(HoneError, match=r"cannot be imported.*no_such_module"):
        resolve("no_such_module:Mine", "hone.algorithms", "algorithm")
