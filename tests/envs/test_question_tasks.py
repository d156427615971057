import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from hone.core.config import build
from hone.core.errors import HoneError
from hone.core.types import Failed, Scored
from hone.envs.base import step_each
from hone.envs.graders._extract import Extraction
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.graders.numeric import Numeric
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side
from hone.envs.tasks.questions import Questions

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


EXACT = Exact()


@dataclass(frozen=True)
class Sums(QuestionTask):
    grader: Grader = EXACT

    def build(self, split: str) -> Sequence[Question]:
        first = 0 if split == "train" else 50
        return [Question(f"{n}+1=", str(n + 1)) for n in range(first, first + 50)]

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        return {"length": float(len(answer))}


def test_an_episode_is_one_question() -> None:
    env = Sums().env("train")
    observation, info = env.reset(options={"episode": 41})
    assert (observation, info) == ("41+1=", {"episode": 41})
    assert env.step(" 42") == (
        "",
        1.0,
        True,
        False,
        {"outcome": Scored(1.0, answer="42"), "metrics": {"length": 3.0}},
    )
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("42")
    with pytest.raises(HoneError, match="0 to 49"):
        env.reset(options={"episode": 50})


def test_random_episodes_are_seeded() -> None:
    env = Sums().env("test")
    seen = [env.reset(seed=s)[0] for s in (0, 1, 2, 0)]
    assert seen[0] == seen[3]
    assert len(set(seen)) == 3
    assert all(50 <= int(text.split("+")[0]) < 100 for text in seen)


def test_gymnasiums_own_checker_passes() -> None:
    check_env(Sums().env("train"), skip_render_check=True)  # its complaints are warnings, which are errors here


def test_many_steps_at_once_equal_single_ones() -> None:
    task = Sums()

    def opened() -> list[Any]:
        envs = [task.env("train") for _ in range(4)]
        for i, env in enumerate(envs):
            env.reset(options={"episode": i})
        return envs

    actions = ["1", "2", "x", ""]
    together = task.step_many(opened(), actions)
    assert together == step_each(opened(), actions)
    assert [s.outcome.value for s in together if isinstance(s.outcome, Scored)] == [1, 1, 0, 0]


def test_a_failed_grade_is_a_nan_reward() -> None:
    env = Sums(Exact(column="gold")).env("train")
    env.reset(options={"episode": 0})
    _, reward, terminated, _, info = env.step("1")
    assert reward != reward
    assert terminated
    assert isinstance(info["outcome"], Failed)
    with pytest.raises(HoneError, match="Exact failed on a known answer"):
        Sums(Exact(column="gold")).preflight()


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


ROWS: list[dict[str, Any]] = [
    {"question": f"What is {n} + {n}?", "solution": f"Twice.\n#### {2 * n}", "level": n} for n in range(200)
]


def test_questions_from_a_file(tmp_path: Path) -> None:
    table = {
        "path": write(tmp_path / "q.jsonl", ROWS),
        "prompt": "question",
        "answer": "solution",
        "template": "Question ({level}): {prompt}\nAnswer:",
        "gold": {"marker": "####"},
        "limit": 150,
        "graders": [{"name": "numeric", "marker": "####", "floor": -1.0}],
    }
    task = build(Questions, table)
    task.preflight()
    assert task.size("train") == 150
    first = task.questions("train")[0]
    number = first.columns["level"]
    assert first.text == f"Question ({number}): What is {number} + {number}?\nAnswer:"
    assert first.answer == str(2 * number)
    assert first.row == {"solution": f"Twice.\n#### {2 * number}", "level": number, "answer": str(2 * number)}
    env = task.env("train")
    env.reset(options={"episode": 0})
    assert env.step(f"I think #### {2 * number}.0")[1] == 1
    assert task.questions("train") is task.questions("train")


def test_the_split_is_by_content(tmp_path: Path) -> None:
    twins = [{**row, "question": "  " + row["question"].upper()} for row in ROWS]
    task = Questions(write(tmp_path / "q.jsonl", ROWS + twins), "question", "solution", test_fraction=0.2)
    train = {" ".join(q.text.lower().split()) for q in task.questions("train")}
    test = {" ".join(q.text.lower().split()) for q in task.questions("test")}
    assert not train & test
    assert len(train | test) == 200
    assert task.size("train") == 2 * len(train)
    assert 20 <= len(test) <= 60  # 40 expected, standard deviation 5.7
    # A file in another order, or longer, has the same test questions.
    again = Questions(write(tmp_path / "r.jsonl", ROWS[::-1]), "question", "solution", test_fraction=0.2)
    assert {q.text.lower() for q in again.questions("test")} == test


def test_side_has_the_fraction_asked_for() -> None:
    count = sum(side(str(i), 0.1) == "test" for i in range(20_000))
    assert abs(count - 2000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5
    assert side("anything", 0.0) == "train"


def test_a_test_source_wins_over_training(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.jsonl", ROWS), write(tmp_path / "b.jsonl", ROWS[50:60])
    task = Questions(train, "question", "solution", test=test)
    assert (task.size("train"), task.size("test")) == (190, 10)
    with pytest.raises(HoneError, match='no such split; got "dev"'):
        task.size("dev")
    with pytest.raises(HoneError, match="the test split holds no question"):
        Questions(train, "question", "solution", test_fraction=0.0).size("test")


def test_conversations_stand_in_info(tmp_path: Path) -> None:
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
    path = write(tmp_path / "q.jsonl", [{"prompt": talk, "answer": 4}])
    task = Questions(path, test_fraction=0.0)
    env = task.env("train")
    observation, info = env.reset()
    assert observation == "Be brief.\n2+2?"
    assert info["messages"] == talk
    assert env.step("4")[1] == 1


def test_rewards_alone_need_no_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", [{"prompt": "Say hello", "tone": "warm"}])

    def reward(prompts: Any, completions: Any, tone: Any, **_: Any) -> list[float]:
        return [float(len(c)) if t == "warm" else 0.0 for c, t in zip(completions, tone, strict=True)]

    task = Questions(path, answer="", test_fraction=0.0, graders=(reward,))
    env = task.env("train")
    env.reset()
    assert env.step("hello")[1] == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"prompt": "quesion"},
            'no column "quesion"; at q.jsonl, record 1; got columns: question, solution, level',
        ),
        ({"gold": Extraction(marker="answer:")}, "no reference answer can be read; at q.jsonl, record 1"),
        ({"template": "{promt}"}, 'got {promt}; expected did you mean "prompt"?'),
        ({"template": "{prompt"}, "the template is faulty"),
        ({"prompt": "level"}, "neither text nor a conversation"),
    ],
)
def test_faults_in_the_data_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "q.jsonl", ROWS)
    task = Questions(**{"path": "q.jsonl", "prompt": "question", "answer": "solution", **changes})
    with pytest.raises(HoneError) as caught:
        task.preflight()
    assert said in str(caught.value)


@pytest.mark.skipif(not (DATA / "gsm8k-train.jsonl.gz").exists(), reason="GSM8K is not here")
def test_every_solution_of_gsm8k_is_right_and_its_neighbour_wrong() -> None:
    path = str(DATA / "gsm8k-train.jsonl.gz")
    grader = Numeric(marker="####", floor=-1.0)
    task = Questions(
        path,
        prompt="question",
        template="Question: {prompt}\nAnswer:",
        gold=Extraction(marker="####"),
        test=str(DATA / "gsm8k-test.jsonl.gz"),
        graders=(grader,),
    )
    assert (task.size("train"), task.size("test")) == (7473, 1319)
    with gzip.open(path, "rt") as file:
        solutions = [json.loads(line)["answer"] for line in file]
    questions = task.questions("train")
    columns = {"answer": [q.answer for q in questions]}
    prompts = [q.prompt for q in questions]

    def values(texts: Sequence[str]) -> set[float]:
        return {o.value if isinstance(o, Scored) else float("nan") for o in grader.grade(prompts, texts, columns)}

    assert values(solutions) == {1.0}
    assert values([f"{text}1" for text in solutions]) == {0.0}
    assert values([text.replace("#### ", "#### -1") for text in solutions]) == {0.0}
    assert values([text.replace("####", "So") for text in solutions]) == {-1.0}
    every_answer_at_once = "#### " + " ".join(map(str, range(1000)))
    for outcome, reference in zip(
        grader.grade(prompts[:300], [every_answer_at_once] * 300, columns), columns["answer"], strict=False
    ):
        assert outcome == Scored(float(reference == "999"), answer="999")
