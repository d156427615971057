"""Ratings in MovieLens's three formats: which movies, whose ratings, and the bandit they make."""

from pathlib import Path

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.envs.contextual import ContextualBandits, LatentFactors
from hone.envs.ratings import read_ratings

# user, movie, rating; movie 20 is rated four times, 9 and 100 twice, 3 once (by a user who rated nothing else)
RATED = [(1, 20, 5), (2, 20, 4), (10, 20, 1), (3, 20, 2), (1, 9, 3), (2, 9, 1), (2, 100, 5), (10, 100, 4), (7, 3, 5)]


def written(folder: Path, layout: str) -> Path:
    lines = {
        "u.data": ["\t".join(map(str, (*row, 881250949))) for row in RATED],
        "ratings.dat": ["::".join(map(str, (*row, 978300760))) for row in RATED],
        "ratings.csv": ["userId,movieId,rating,timestamp", *(f"{u},{m},{r}.0,1" for u, m, r in RATED), ""],
        "other.csv": ["rating,UserID,MovieID", *(f"{r},{u},{m}" for u, m, r in RATED)],
    }
    path = folder / layout
    path.write_text("\n".join(lines[layout]))
    return path


@pytest.mark.parametrize("layout", ["u.data", "ratings.dat", "ratings.csv", "other.csv"])
def test_the_most_rated_movies_and_their_users(tmp_path: Path, layout: str) -> None:
    found = read_ratings(written(tmp_path, layout), 3)
    assert found.titles == ("movie 20", "movie 9", "movie 100")
    assert found.users == ("user 1", "user 2", "user 3", "user 10")
    assert found.rating_MK.tolist() == [[5, 3, 0], [4, 1, 5], [2, 0, 0], [1, 0, 4]]


def test_files_of_movies_and_users_name_both(tmp_path: Path) -> None:
    ratings = written(tmp_path, "u.data")
    (tmp_path / "u.item").write_bytes("20|Misérables, Les (1995)|x\n9|Heat|y\n".encode("latin-1"))
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n20,"Misérables, Les (1995)",Drama\n9,Heat,Action\n')
    (tmp_path / "users.dat").write_text("1::M::24::technician::85711\n2::F::53::other::94043\n")
    for movies, users in (("u.item", "u.user"), ("movies.csv", "users.dat")):
        found = read_ratings(ratings, 3, movies=tmp_path / movies, users=tmp_path / users)
        assert found.titles == ("Misérables, Les (1995)", "Heat", "movie 100")
        assert found.users == ("M, 24, technician, 85711", "F, 53, other, 94043", "user 3", "user 10")


def test_they_make_a_contextual_bandit_of_the_best_low_rank_matrix(tmp_path: Path) -> None:
    ratings = read_ratings(written(tmp_path, "u.data"), 3).rating_MK
    factors = LatentFactors.from_ratings(ratings, 2)
    approximated = factors.users_MD @ factors.arms_KD.T
    values, vectors = np.linalg.eigh(ratings.T @ ratings)  # written differently: project onto the top two directions
    assert approximated == pytest.approx(ratings @ vectors[:, 1:] @ vectors[:, 1:].T)
    assert ((ratings - approximated) ** 2).sum() == pytest.approx(values[0])
    held_out = ContextualBandits(factors, 200, train_users=3, split="test")
    assert set(held_out.user_N.tolist()) == {3}
    assert held_out.pull(np.full(200, 2)) == pytest.approx(approximated[3, 2])  # no noise
    assert set(ContextualBandits(factors, 200, train_users=3).user_N.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "userId,movieId\n1,2\n",
            r"no column rating; at .*ratings; got userid, movieid; expected userId, movieId, rating",
        ),
        ("1,2,3\n", "no column userId, movieId, rating"),
        ("1\t2\n", "column is missing; at .*line 1; got 2 fields; expected userId, movieId, rating"),
        ("1::2::3\n1::2\n", "column is missing; at .*line 2"),
        ("userId,movieId,rating\n1,2\n", "column is missing; at .*line 2; got 2 fields"),
        ("1\t2\tfive\n", 'not a number; at .*line 1; got "five"'),
        ("1\t2\t3\n", "not that many movies were rated; at .*; got 2; expected 1 to 1"),
        ("\n", "the ratings file is empty"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ratings"
    path.write_text(text)
    with pytest.raises(HoneError, match=message):
        read_ratings(path, 1 if "five" in text else 2)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match=r"cannot be read; at .*nothing; got No such file"):
        read_ratings(tmp_path / "nothing", 2)
