"""The documentation is complete and true where that can be checked: keys, defaults, verbs, links, examples."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hone.cli.main import verbs
from hone.core.config import read_toml
from hone.core.resolve import names, resolve
from hone.engines.base import Sampling
from hone.evaluate.model import EvalConfig, EvalRecipe
from hone.evaluate.votes import VoteConfig
from hone.models.config import LoraConfig, ModelConfig, ValueConfig
from hone.models.tiny import TinyConfig
from hone.training.build import fit_recipe_from, recipe_from, reward_recipe_from, rounds_recipe_from
from hone.training.feedback import FeedbackConfig
from hone.training.fit import DataConfig, FitRecipe, SftRecipe
from hone.training.preferences import PreferRecipe
from hone.training.recipe import BatchConfig, EngineConfig, OptimiserConfig, PtxConfig, Recipe, RunConfig
from hone.training.reward import NormaliseConfig, RewardRecipe, TinyRewardRecipe
from hone.training.rounds.base import Rounds

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
SECTIONS = {
    "model": ModelConfig,
    "model.lora": LoraConfig,
    "model.value": ValueConfig,
    "sampling": Sampling,
    "batch": BatchConfig,
    "engine": EngineConfig,
    "optimiser": OptimiserConfig,
    "run": RunConfig,
    "ptx": PtxConfig,
    "data": DataConfig,
    "tiny": TinyConfig,
    "eval": EvalConfig,
    "vote": VoteConfig,
}
REWARD_LOSSES = dict.fromkeys(("preference", "thumbs", "regression"), "reward-models.md")
FIT_KEYS = {"data", "tiny", "rows", "tokenizer", "vocabulary"}


def blocks(language: str) -> list[Any]:
    """(text, name) of every fenced block of a language in all pages."""
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def documented(page: str, heading: str) -> dict[str, str]:
    """Key to default in the table below a heading (down to the next heading)."""
    text = (DOCS / page).read_text().partition(heading + "\n")[2]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", re.split(r"^#", text, flags=re.M)[0], re.M))


def default(f: dataclasses.Field[Any]) -> str:
    """As the pages write it; "" where it cannot be said in TOML."""
    value = f.default
    if f.default_factory is not dataclasses.MISSING:
        value = f.default_factory()
    elif value is dataclasses.MISSING:
        return "required"
    if value is None:
        return "none"
    try:
        return f"`{json.dumps(value)}`"
    except TypeError:
        return ""


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_a_section_stands_in_its_table_with_its_default(section: str) -> None:
    table = documented("recipes.md", f"### `[{section}]`")
    expected = {f.name: default(f) for f in dataclasses.fields(SECTIONS[section]) if f.name not in ("lora", "value")}
    assert table == expected


def test_no_section_is_forgotten() -> None:
    page = (DOCS / "recipes.md").read_text()
    for section in (Recipe, FitRecipe, EvalRecipe):
        for f in dataclasses.fields(section):
            assert f"`[{f.name}]`" in page or f"`{f.name}`" in page, f"{section.__name__}.{f.name}"
    plain = {f.name: default(f) for f in dataclasses.fields(FitRecipe) if f.name not in {*SECTIONS, "algorithm"}}
    assert documented("recipes.md", "## `hone pretrain` and `hone sft`") == plain
    words = " ".join(page.split())
    for recipe, rate in ((FitRecipe, "2e-3"), (SftRecipe, "1e-5")):
        written = recipe(DataConfig(source="x"))
        optimiser, run = written.optimiser, written.run
        assert optimiser.lr == float(rate)
        assert f'`lr = {rate}`, `warmup = {optimiser.warmup}`, `schedule = "{optimiser.schedule}"`' in words
        assert f'`out = "{run.out}"`, `steps = {run.steps}`, `save_every = {run.save_every}`' in words


def test_every_key_of_a_reward_models_recipe_is_documented() -> None:
    for section, cls in (("data", FeedbackConfig), ("normalise", NormaliseConfig)):
        table = documented("reward-models.md", f"### `[{section}]`")
        assert table == {f.name: default(f) for f in dataclasses.fields(cls)}
    plain = {f.name: default(f) for f in dataclasses.fields(RewardRecipe)}
    named = {"algorithm", "data", "model", "normalise", "optimiser", "run", "tiny"}
    assert documented("reward-models.md", "## Keys") == {k: v for k, v in plain.items() if k not in named}
    words = " ".join((DOCS / "reward-models.md").read_text().split())
    first, tiny = RewardRecipe(FeedbackConfig("x")), TinyRewardRecipe(FeedbackConfig("x"))
    assert f"`lr = 1e-5`, `warmup = {first.optimiser.warmup}`, `schedule = " in words
    assert (first.optimiser.lr, tiny.optimiser.lr, tiny.optimiser.warmup) == (1e-5, 1e-3, 20)
    assert f'`out = "{first.run.out}"`, `steps = {first.run.steps}`, `save_every = {first.run.save_every}`' in words


def test_the_keys_of_prefer() -> None:
    page = (DOCS / "recipes.md").read_text()
    expected = {f.name: default(f) for f in dataclasses.fields(PreferRecipe)}
    table = documented("recipes.md", "## `hone prefer`")
    assert table == {k: v for k, v in expected.items() if k not in ("algorithm", "optimiser", "run")}
    made = PreferRecipe(FeedbackConfig("x"), ModelConfig("x"))
    words = " ".join(page.partition("## `hone prefer`")[2].split())
    optimiser, run = made.optimiser, made.run
    assert f'`lr = 1e-6`, `warmup = {optimiser.warmup}`, `schedule = "{optimiser.schedule}"`' in words
    assert optimiser.lr == 1e-6
    assert f'`out = "{run.out}"`, `steps = {run.steps}`, `save_every = {run.save_every}`' in words


@pytest.mark.parametrize(
    ("package", "page"), [("hone.envs.tasks", "tasks.md"), ("hone.envs.graders", "graders.md"), ("hone.algorithms", "")]
)
def test_every_task_grader_and_algorithm_has_its_keys_explained(package: str, page: str) -> None:
    for name in names(package):
        if name == "nll":  # the loss of supervised training, which takes no keys
            continue
        text = (DOCS / (page or REWARD_LOSSES.get(name, f"algorithms/{name}.md"))).read_text()
        assert page == "" or f"`{name}`" in text
        for f in dataclasses.fields(resolve(name, package, "part")):
            assert f"`{f.name}`" in text, f"{name}.{f.name}"


def test_every_key_of_rounds_stands_on_their_page_with_its_default() -> None:
    shared = {f.name: default(f) for f in dataclasses.fields(Rounds)}
    assert documented("rounds.md", "## Keys") == {"name": "required", **shared}
    for name in names("hone.training.rounds"):
        kind = resolve(name, "hone.training.rounds", "rounds")
        (heading,) = re.findall(rf"^## `{name}`.*$", (DOCS / "rounds.md").read_text(), re.M)
        own = {f.name: default(f) for f in dataclasses.fields(kind) if f.name not in {*shared, *kind.inner}}
        assert documented("rounds.md", heading) == own


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_every_verb_is_in_the_readme(readme: str) -> None:
    text = (ROOT / readme).read_text()
    assert [verb for verb in verbs() if f"hone {verb}" not in text] == []


def test_every_flag_of_the_page_is_documented_with_its_default() -> None:
    from hone.cli.ui import Args

    text = (DOCS / "ui.md").read_text()
    for f in dataclasses.fields(Args):
        flag = f"--{f.name.replace('_', '-')}"
        row = re.search(rf"^\| `{flag}` \| `([^`]*)` \|", text, re.M)
        assert f"`{flag}" in text or f"{flag} " in text, flag
        assert row is None or row[1] == str(f.default) or f.name in ("runs", "port"), flag


def test_every_command_line_in_the_pages_names_a_verb() -> None:
    for page in PAGES:
        text = page.read_text()
        code = [*re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S), *re.findall(r"`([^`\n]+)`", text)]
        code += re.findall(r"^    (.*)$", text, re.M)
        for verb in re.findall(r"(?:^|# +)hone ([a-z]+)", "\n".join(code), re.M):
            assert verb in verbs(), f"{page.name}: hone {verb}"


def anchors(page: Path) -> set[str]:
    """The anchors that headings get: lower case, punctuation dropped, blanks as dashes."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != DOCS / "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_toml_example_builds(text: str) -> None:
    """Examples that show one section are completed with a model, a task and an algorithm."""
    values = tomllib.loads(text)
    if "rounds" in values:
        rounds_recipe_from(values)
    elif values.get("algorithm", {}).get("name") in REWARD_LOSSES:
        reward_recipe_from(values)
    elif FIT_KEYS & values.keys():
        fit_recipe_from({"data": {"source": "x.jsonl"}, **values})
    else:
        rest = {"model": {"path": "x"}, "task": {"name": "addition"}, "algorithm": {"name": "grpo"}}
        recipe_from({**rest, **values}).check()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_builds_and_is_in_the_docs(path: Path) -> None:
    values = read_toml(path)
    if "rounds" in values:
        rounds_recipe_from(values)
    elif values.get("algorithm", {}).get("name") in REWARD_LOSSES:
        reward_recipe_from(values)
    elif "data" in values:
        fit_recipe_from(values)
    else:
        recipe_from(values).check()
    assert f"(../recipes/{path.name})" in (DOCS / "recipes.md").read_text()


@pytest.mark.parametrize("text", blocks("python"))
def test_every_python_example_is_python(text: str) -> None:
    compile(text, "example", "exec")


def test_the_two_readmes_give_the_same_commands() -> None:
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh.md"))

    def commands(text: str) -> list[str]:
        lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)).splitlines()
        return [line.partition("#")[0].strip() if '"#' not in line else line.strip() for line in lines]

    assert commands(english) == commands(chinese)
    assert "(README.zh.md)" in english
    assert "(README.md)" in chinese
    assert len(english.splitlines()) < 150
