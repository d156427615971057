"""Feedback databases of both kinds, for tests that must hold on each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest

_number = itertools.count()


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgres.server() as socket:
        yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new feedback database can be: a file, then a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "feedback.db")
    return postgres.new_database(request.getfixturevalue("postgres_socket"), f"feedback_{next(_number)}")
