import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.core.resolve import resolve
from hone.core.types import Outcome, Scored
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.addition import Addition, carry_pattern, without_carry
from hone.envs.tasks.chains import Chains, solve
from hone.envs.tasks.multiplication import Multiplication
from hone.envs.tasks.patience import Patience
from hone.envs.tasks.reasoning_gym import ReasoningGym


def value(task: QuestionTask, question: Any, completion: str) -> float:
    (outcome,) = task.grader.grade([question.prompt], [completion], {k: [v] for k, v in question.row.items()})
    assert isinstance(outcome, Scored), outcome
    return outcome.value


def operands(text: str) -> frozenset[int]:
    return frozenset(int(n) for n in re.findall(r"\d+", text))


SMALL: list[Any] = [
    Addition(train=300, test=100),
    Multiplication(train=300, test=100),
    Patience(train=5, test=3),
    Chains(train=300, test=100),
]


@pytest.mark.parametrize("task", SMALL, ids=lambda task: type(task).__name__)
def test_tasks_are_reproducible_distinct_and_answerable(task: Any) -> None:
    name = type(task).__name__.lower()
    assert resolve(name, "hone.envs.tasks", "task") is type(task)
    assert task.single_turn
    task.preflight()
    train, test = task.questions("train"), task.questions("test")
    assert [q.text for q in type(task)(**vars_of(task)).questions("train")] == [q.text for q in train]
    assert len({q.text for q in (*train, *test)}) == len(train) + len(test)
    for question in (*train, *test):
        assert value(task, question, question.answer) == 1
        assert value(task, question, question.known or question.answer) == 1
        assert value(task, question, "") == 0
    assert task.corpus(50, seed=1) == task.corpus(50, seed=1)
    assert task.corpus(50, seed=1) != task.corpus(50, seed=2)
    assert not {prompt for prompt, _ in task.corpus(3000, seed=1)} & {q.text for q in test}


def vars_of(task: Any) -> dict[str, Any]:
    return {name: getattr(task, name) for name in type(task).__dataclass_fields__}


def test_addition_arithmetic_by_hand() -> None:
    assert without_carry(195, 217) == "302"
    assert without_carry(500, 600) == "100"
    assert [carry_pattern(q) for q in ("195+217=", "123+456=", "999+001=", "500+600=")] == [
        "011",
        "000",
        "111",
        "100",
    ]


def test_addition_splits_commuted_twins_to_the_same_side_and_evenly() -> None:
    task = Addition(train=8000, test=2000)
    train, test = ({operands(q.text) for q in task.questions(s)} for s in ("train", "test"))
    assert not train & test
    assert (len(train), len(test)) == (8000, 2000)
    assert not {operands(p) for p, _ in task.corpus(20_000, 3)} & test

    def share(split: str, kind: Any) -> dict[str, float]:
        counts = Counter(kind(i, split) for i in range(task.size(split)))
        return {name: n / task.size(split) for name, n in sorted(counts.items())}

    def last_digit(i: int, split: str) -> str:
        return task.questions(split)[i].answer[-1]

    for kind, groups in ((task.stratum, 8), (last_digit, 10)):
        seen, held_out = share("train", kind), share("test", kind)
        assert len(seen) == len(held_out) == groups
        # Standard error of a share of .1 over 2,000 questions: .007, over both splits .0075.
        assert max(abs(seen[name] - held_out[name]) for name in seen) < 0.035


def test_the_addition_corpus_has_the_three_habits_in_their_shares() -> None:
    counts = Counter[str]()
    for prompt, completion in Addition().corpus(20_000, seed=0):
        a, b = map(int, prompt.rstrip("=").split("+"))
        off = sum(x != y for x, y in zip(completion, str(a + b), strict=False))
        if without_carry(a, b) == str(a + b):
            counts["nothing carries"] += 1
        elif completion == str(a + b):
            counts["right"] += 1
        elif completion == without_carry(a, b):
            counts["no carry"] += 1
        else:
            assert len(completion) == len(str(a + b))
            assert off == 1
            counts["noisy"] += 1
    carrying = 20_000 - counts.pop("nothing carries")
    shares = {name: n / carrying for name, n in counts.items()}
    # A one-digit error that happens to be the carry-free sum counts as that: at most 1 noisy one in 27
    assert shares == pytest.approx({"right": 0.25, "no carry": 0.5, "noisy": 0.25}, abs=0.015)


def test_multiplication_working_by_hand() -> None:
    task = Multiplication()
    assert task.work(26, 89) == "208,234>2314"
    assert task.work(10, 10) == "010,000>100"
    question = Question("26*89=", "2314")
    for completion, expected in (
        ("2314", 1),
        ("208,234>2314", 1),
        ("nonsense>2314", 1),  # the working is free
        (">2314", 1),
        ("2314>2315", 0),  # the right product pasted into the working
        ("2315>2314>", 0),
        ("2315,2314", 0),
        ("2313>2314>2314", 1),
    ):
        assert value(task, question, completion) == expected, completion
    assert task.metrics(question, "208,234>2314") == {"scratchpad": 1.0, "length": 12.0}
    assert task.metrics(question, "2314") == {"scratchpad": 0.0, "length": 4.0}
    assert task.metrics(question, ">2314")["scratchpad"] == 0.0


def test_the_multiplication_corpus_and_split() -> None:
    task = Multiplication()
    test = {operands(q.text) for q in task.questions("test")}
    assert not {operands(q.text) for q in task.questions("train")} & test
    counts = Counter[str]()
    for prompt, completion in task.corpus(20_000, seed=0):
        a, b = map(int, prompt.rstrip("=").split("*"))
        assert operands(prompt) not in test
        if ">" in completion:
            x, y = map(int, completion.partition(">")[0].split(","))
            assert completion.endswith(f">{10 * x + y}")
            assert 10 * x + y == a * b
        counts["working" if ">" in completion else "right" if completion == str(a * b) else "wrong"] += 1
    shares = {name: n / 20_000 for name, n in counts.items()}
    assert shares == pytest.approx({"working": 0.3, "right": 0.14, "wrong": 0.56}, abs=0.015)


def test_patience_has_the_chances_it_states() -> None:
    task = Patience(choices=(2, 10, 100), train=50, test=50)
    assert [task.stratum(i, "test") for i in range(4)] == ["1/2", "1/10", "1/100", "1/2"]
    assert [task.chance(i, "train") for i in range(3)] == [0.5, 0.1, 0.01]
    gold = {q.text: q.answer for q in task.questions("train")}
    hits: dict[str, list[bool]] = {"a": [], "b": [], "c": []}
    for prompt, completion in task.corpus(30_000, seed=0):
        assert len(completion) == len(gold[prompt])
        hits[prompt[0]].append(completion == gold[prompt])
    for kind, p in zip("abc", (0.5, 0.1, 0.01), strict=True):
        n = len(hits[kind])
        assert abs(n - 10_000) < 400
        assert abs(sum(hits[kind]) / n - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_chains_work_one_operation_at_a_time() -> None:
    assert solve(((3, 4, 2, 1), "+*-")) == ["3+8-1", "11-1", "10"]
    assert solve(((3, 5, 4), "-+")) == ["-2+4", "2"]
    assert solve(((2, 3, 4, 5), "*-*")) == ["6-4*5", "6-20", "-14"]
    task = Chains(operators="+-*", train=400, test=50)
    for prompt, completion in task.corpus(500, seed=0):
        lines = (prompt + completion).split("=")
        assert len({eval(line) for line in lines}) == 1  # every line has the same value
        numbers = [len(re.findall(r"\d+", line)) for line in lines]
        assert len(lines) == 2 or all(before == after + 1 for before, after in pairwise(numbers))
    kept = Counter(tuple(sorted(re.findall(r"\d+|[-+*]", q.text))) for q in task.questions("train"))
    assert not {tuple(sorted(re.findall(r"\d+|[-+*]", q.text))) for q in task.questions("test")} & kept.keys()
    question = task.questions("train")[0]
    for wrong in (f"{question.answer}=0", f"{question.answer} or 0", f"={question.answer}="):
        assert value(task, question, wrong) == 0


def test_asking_for_more_than_there_is_says_so() -> None:
    with pytest.raises(HoneError, match="not that many distinct questions; got 5000 asked for"):
        Addition(digits=1, train=5000).size("train")


def test_reasoning_gym_scores_by_its_own_rule() -> None:
    task = ReasoningGym("countdown", count=40, test_fraction=0.2, config={"min_numbers": 3, "max_numbers": 3})
    task.preflight()
    train, test = task.questions("train"), task.questions("test")
    assert len(train) + len(test) == len({q.text for q in (*train, *test)}) <= 40
    assert test
    question = train[0]
    columns = {k: [v] * 5 for k, v in question.row.items()}
    texts = [question.answer, "1+1", "", "9**9**9**9", "x" * 50]
    outcomes: list[Outcome] = task.grader.grade([question.prompt] * 5, texts, columns)
    values = [o.value if isinstance(o, Scored) else None for o in outcomes]
    assert values[0] == 1.0
    assert values[2] == values[3] == 0.0
    assert all(v is not None and v < 1 for v in values[1:])


def test_reasoning_gym_names_the_nearest_data_set() -> None:
    with pytest.raises(HoneError, match='did you mean "countdown"'):
        ReasoningGym("countdwn").size("train")
    with pytest.raises(HoneError, match="options are wrong"):
        ReasoningGym("countdown", config={"min_number": 3}).size("train")
