from typing import Any

import pytest

from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders._extract import Extraction, last_boxed
from hone.envs.graders.exact import Exact
from hone.envs.graders.length import Length
from hone.envs.graders.math import Math, has_huge_power, is_monster
from hone.envs.graders.numeric import Numeric, last_number
from hone.envs.graders.pattern import Pattern


def one(grader: Any, completion: str, answer: Any = "72") -> Outcome:
    (outcome,) = grader.grade(["?"], [completion], {"answer": [answer]})
    assert isinstance(outcome, Scored | Failed)
    return outcome


def value(grader: Any, completion: str, answer: Any = "72") -> float:
    outcome = one(grader, completion, answer)
    assert isinstance(outcome, Scored), outcome
    return outcome.value


MARKED = Exact(marker="####", floor=-1.0)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("#### 72", 1.0),
        ("so 70 + 2 = 72\n####72  \nthat is it", 1.0),
        ("#### 72\n#### 71", 0.0),  # the marker repeated: the last one counts
        ("#### 71 #### 72", 1.0),
        ("#### 72 or 71 or 70", 0.0),  # alternatives are one other answer
        ("72 #### 71", 0.0),  # pasted into the working
        ("#### 72 ####", -1.0),
        ("72", -1.0),
        ("", -1.0),
        ("#### ٧٢", 0.0),
        ("#### 72\u200b", 0.0),  # a zero-width space is a character
        ("#### 072", 0.0),
    ],
)
def test_exact_after_a_marker(completion: str, expected: float) -> None:
    assert value(MARKED, completion) == expected


def test_exact_takes_the_whole_text_and_never_the_empty_one() -> None:
    assert [value(Exact(), t) for t in (" 72\n", "72!", "the answer is 72", "")] == [1, 0, 0, 0]
    assert value(Exact(), "72", answer=72) == 1
    for empty in ("", None, "  "):
        failed = one(Exact(), "", answer=empty)
        assert isinstance(failed, Failed)
        assert "reference is empty" in failed.reason


def test_exact_reports_the_answer_it_read() -> None:
    outcome = one(Exact(pattern=r"ACTION=(\w+)"), "ACTION=left no ACTION=right", "right")
    assert outcome == Scored(1.0, answer="right")
    assert value(Exact(pattern=r"\d\d"), "71 72") == 1


def test_a_missing_column_fails_each_completion_and_raises_nothing() -> None:
    (failed,) = Exact(column="gold").grade(["?"], ["72"], {"answer": ["72"]})
    assert isinstance(failed, Failed)
    assert failed.kind == "exception"
    assert "gold" in failed.reason


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{5} then \boxed{6", None),  # the last one decides, closed or not
        (r"\boxed{\boxed{5}}", "5"),
        ("boxed{7}", "7"),
        (r"\boxed 5", None),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_extraction_refuses_contradictions_and_bad_patterns() -> None:
    with pytest.raises(ValueError, match="one of marker"):
        Extraction(marker="#", boxed=True)
    with pytest.raises(ValueError, match="not a regular expression"):
        Extraction(pattern="(")
    with pytest.raises(ValueError, match="in order"):
        Exact(wrong=0.0, floor=0.5)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        ("it is 70, no: 72.", "72"),
        ("$1,234.50 dollars", "2469/2"),
        ("-$5", "-5"),
        ("\u22123", "-3"),
        ("10-5", "5"),  # an operator, not a sign
        ("x = -5", "-5"),
        ("1,2,3", "3"),
        ("1,2345", "2345"),
        ("50%", "50"),
        ("25 m^2", "25"),  # an exponent is not a number
        ("25 km", "25"),
        ("2e3", "2000"),
        ("3/4", "3/4"),
        ("6/8", "3/4"),
        ("1/0", None),
        (".5", "1/2"),
        ("...5", "5"),
        ("5.", "5"),
        ("2^10", None),
        ("9**9", None),
        ("1e999999999", None),
        ("9" * 101, None),
        ("9" * 5000, None),
        ("nan", None),
        ("inf", None),
        ("-Infinity", None),
        ("٧٢", None),
        ("７２", None),  # full-width digits
        ("7２", None),
        ("H2O", None),
        ("", None),
    ],
)
def test_last_number(text: str, number: str | None) -> None:
    found = last_number(text)
    assert (None if found is None else str(found)) == number


def test_numeric_is_exact_unless_given_a_tolerance() -> None:
    assert value(Numeric(), "72.0") == 1
    assert value(Numeric(), str(2**53), answer=str(2**53 + 1)) == 0
    assert [value(Numeric(absolute=0.01), t) for t in ("71.99", "72.01", "72.0100001")] == [1, 1, 0]
    assert value(Numeric(relative=0.25), "54") == 1
    assert value(Numeric(relative=0.25), "53.99") == 0
    assert value(Numeric(relative=0.25), "-72") == 0


def test_numeric_separates_wrong_from_unreadable_and_votes_in_canonical_form() -> None:
    grader = Numeric(marker="####", floor=-1.0)
    assert [value(grader, t) for t in ("#### 72", "#### 71", "#### many", "72", "")] == [1, 0, -1, -1, -1]
    assert one(grader, "#### 1,072.50", "1072.5") == Scored(1.0, answer="2145/2")
    # every guess at once is one guess: the last
    assert value(Numeric(), " ".join(str(n) for n in range(200))) == 0
    failed = one(grader, "#### 72", answer="none")
    assert isinstance(failed, Failed)
    assert "holds no number" in failed.reason


def test_numeric_reads_the_reward_of_rise() -> None:
    """SPECS A.3: the last box, commas stripped; right 1, readable 0, unreadable -1."""
    grader = Numeric(boxed=True, floor=-1.0)
    texts = (r"\boxed{1,000}", r"\boxed{1000} no \boxed{999}", r"\boxed{?}", "1000")
    assert [value(grader, t, "1000") for t in texts] == [1, 0, -1, -1]


def test_pattern_matches_all_or_some() -> None:
    strict = Pattern(r"(?s)<think>.+</think>\n<answer>.+</answer>", floor=-0.5)
    assert value(strict, " <think>a\nb</think>\n<answer>5</answer>\n") == 1
    assert value(strict, "<think></think>\n<answer>5</answer>") == -0.5
    assert value(strict, "x <think>a</think>\n<answer>5</answer>") == -0.5
    assert [value(Pattern("[0-9]", match="search"), t) for t in ("a1", "a")] == [1, 0]
    with pytest.raises(ValueError, match="not a regular expression"):
        Pattern("[")


def test_length_falls_linearly_over_the_cache() -> None:
    """DAPO's shape, by hand: maximum 10, cache 4: free to 6, then 1/4 a unit."""
    soft = Length(maximum=10, cache=4)
    assert [value(soft, "x" * n) for n in (0, 6, 7, 8, 10, 11, 99)] == [0, 0, -0.25, -0.5, -1, -1, -1]
    assert [value(Length(maximum=10), "x" * n) for n in (10, 11)] == [0, -1]
    words = Length(maximum=3, minimum=2, unit="words", penalty=2.0)
    assert [value(words, t) for t in ("a", "a  b\n", "a b c", "a b c d")] == [-2, 0, 0, -2]
    assert words.floor == -2
    with pytest.raises(ValueError, match="cache"):
        Length(maximum=3, minimum=2, cache=2)


@pytest.fixture(scope="module")
def math() -> Math:
    return Math(floor=-1.0)


@pytest.mark.parametrize(
    ("answer", "completion", "expected"),
    [
        ("1/2", r"\frac12", 1),
        (r"$\frac{3}{4}$", "0.75", 1),
        ("x^2+2x+1", "(x+1)^2", 1),
        ("1000", "1,000", 1),
        ("5", "x=5", 1),
        ("5", r"\boxed{6} so \boxed{5}", 1),
        ("5", r"\boxed{5} so \boxed{6}", 0),
        ("5", r"\boxed{5}\boxed{6}", 0),
        ("5", r"\boxed{5", -1),
        ("5", "5, 6", 0),  # alternatives are a set
        ("5", "5 or 6", 0),
        ("5", r"5\lor 6", -1),
        ("5", "5=6", 0),
        ("(1,2)", "[1,2]", 0),
        ("0.333", "1/3", 0),
        ("blue", "eulb", 0),  # sympy: b·l·u·e
        ("blue", "Blue", 1),
        ("5", "nan", 0),
        ("5", r"\infty-\infty+5", 0),
        ("5", "٥", -1),
        ("5", "}5{", -1),
        ("5", r"5}+\boxed{5", -1),
        ("5", "", -1),
        ("5", "9^9^9", -1),
        ("5", "9**9**9", -1),
        ("5", "9^{999999}", -1),
        ("5", "200!", -1),
        ("45", r"\sum_{i=0}^{9}i", -1),
        ("5", "5" + " " * 300 + "+0", -1),  # too long to be read
    ],
)
def test_math(math: Math, answer: str, completion: str, expected: float) -> None:
    assert value(math, completion, answer) == expected


def test_math_fails_where_the_reference_is_unreadable(math: Math) -> None:
    outcomes = math.grade(["?"] * 3, ["5", "5", "5"], {"answer": ["5", "", "}{"]})
    assert outcomes[0] == Scored(1.0, answer="5")
    assert all(isinstance(o, Failed) and o.kind == "exception" for o in outcomes[1:])


def test_monsters_are_told_by_their_text_alone() -> None:
    assert not is_monster(r"x^{100}+3^2\cdot 99!")
    for text in (
        "9^9^9",
        "9**9**9",
        "((9^99)^99)^99",
        "9^{{{{5}}}}",
        r"9^\left(2\right)",
        "100!",
        "3!!",
        "1" * 41,
    ):
        assert is_monster(text), text
    assert has_huge_power("2**1001")
    assert not has_huge_power("2**1000")
