"""A table of ratings in one of MovieLens's formats: whom users like becomes a contextual bandit.

Three layouts are told apart by the text: ``u.data`` (tabs, no header: user, item, rating, ...), ``ratings.dat``
(``::`` between the fields, likewise) and ``ratings.csv`` (a header with userId, movieId and rating). The files of
movies and of users that lie beside them are optional and have the same three layouts (``u.item`` and ``u.user``
with ``|``). Nothing is downloaded.

Dimensions: M users, K movies.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ratings:
    """What users gave to the movies that most of them rated.

    Attributes:
        rating_MK: 0 where a user did not rate a movie, as in BanditBench: the decomposition fills the gaps.
        titles: of the movies, the most rated first; "movie ID" where no file names them.
        users: one line on each user (gender, age, occupation, location); "user ID" where no file tells.
    """

    rating_MK: Floats
    titles: tuple[str, ...]
    users: tuple[str, ...]


def read_ratings(path: str | Path, arms: int, *, movies: str | Path = "", users: str | Path = "") -> Ratings:
    """Read the ratings of the ``arms`` movies that were rated most often, by all users who rated one of them.

    Movies of as many ratings and users are in the order of their ids. With
    ``LatentFactors.from_ratings(ratings.rating_MK, rank)`` this is BanditBench's MovieLens bandit.

    Args:
        path: u.data, ratings.dat, ratings.csv, or a file that looks like one of them.
        arms: K.
        movies: u.item, movies.dat or movies.csv; "" for none.
        users: u.user or users.dat; "" for none.

    Raises:
        HoneError: a file that cannot be read, a missing column, a rating that is no number, too few movies.
    """
    file = Path(path)
    found = list(_fields(file, ("userId", "movieId", "rating"), "\t"))
    if not found:
        raise HoneError("the ratings file is empty", where=str(file))
    count = Counter(movie for _, (_, movie, _) in found)
    if not 1 <= arms <= len(count):
        raise HoneError(
            "not that many movies were rated", where=str(file), got=str(arms), expected=f"1 to {len(count)}"
        )
    chosen = sorted(count, key=lambda movie: (-count[movie], _natural(movie)))[:arms]
    column = {movie: k for k, movie in enumerate(chosen)}
    kept = [(line, user, column[movie], rating) for line, (user, movie, rating) in found if movie in column]
    row = {user: m for m, user in enumerate(sorted({user for _, user, _, _ in kept}, key=_natural))}
    rating_MK = np.zeros((len(row), arms))
    for line, user, movie, text in kept:
        rating_MK[row[user], movie] = _number(text, f"{file}, line {line}")
    titles = _titles(Path(movies)) if movies else {}
    people = _people(Path(users)) if users else {}
    return Ratings(
        rating_MK,
        tuple(titles.get(movie, f"movie {movie}") for movie in chosen),
        tuple(people.get(user, f"user {user}") for user in row),
    )


def _titles(path: Path) -> dict[str, str]:
    return {movie: title for _, (movie, title) in _fields(path, ("movieId", "title"), "|")}


def _people(path: Path) -> dict[str, str]:
    """u.user says user|age|gender|occupation|zip, users.dat user::gender::age::occupation::zip."""
    found = {}
    for _, (user, second, third, occupation, place) in _fields(
        path, ("userId", "gender", "age", "occupation", "zip"), "|"
    ):
        age, gender = (second, third) if second.isdecimal() else (third, second)
        found[user] = f"{gender}, {age}, {occupation}, {place}"
    return found


def _fields(path: Path, names: Sequence[str], separator: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The named columns of every line that is not blank, with the line's number.

    Columns of a file without a header are the first ones.
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    if not lines:
        return
    first = lines[0][1]
    if "::" in first or separator in first:
        mark = "::" if "::" in first else separator
        for number, line in lines:
            yield number, _first(line.split(mark), names, f"{path}, line {number}")
        return
    header = next(csv.reader([first]))
    place = {name.strip().lower(): index for index, name in enumerate(header)}
    _check_columns(place, names, path)
    wanted = [place[name.lower()] for name in names]
    for number, line in lines[1:]:
        cells = next(csv.reader([line]))
        if len(cells) < len(header):
            _missing(len(cells), header, f"{path}, line {number}")
        yield number, tuple(cells[index].strip() for index in wanted)


def _check_columns(place: Mapping[str, int], names: Sequence[str], path: Path) -> None:
    missing = [name for name in names if name.lower() not in place]
    if missing:
        raise HoneError(
            f"the file has no column {', '.join(missing)}",
            where=str(path),
            got=", ".join(place)[:80],
            expected=", ".join(names),
            do="give it a header with these names, or MovieLens's own separators (tabs, ::, |)",
        )


def _first(cells: Sequence[str], names: Sequence[str], where: str) -> tuple[str, ...]:
    if len(cells) < len(names):
        _missing(len(cells), names, where)
    return tuple(cell.strip() for cell in cells[: len(names)])


def _missing(count: int, names: Sequence[str], where: str) -> None:
    raise HoneError("a column is missing", where=where, got=f"{count} fields", expected=", ".join(names))


def _lines(path: Path) -> list[str]:
    """MovieLens writes Latin-1 where it does not write UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise HoneError("the file cannot be read", where=str(path), got=error.strerror or str(error)) from error
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return raw.decode("latin-1").splitlines()


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise HoneError("a rating is not a number", where=where, got=f'"{text}"')
    return value


def _natural(identity: str) -> tuple[int, int, str]:
    """Sorting key by which 10 comes after 9."""
    return (0, int(identity), "") if identity.isdecimal() else (1, 0, identity)
