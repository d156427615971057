"""Models answer prompts just now: once each, written down, called by their paths."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from desk import Hone
from webserver import Person, serving

from hone.core.errors import HoneError
from hone.engines.base import Sampling
from hone.web.answers import Generation, generate, model_names


def test_two_models_answer_every_prompt_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two/checkpoints/step-3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(base)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{a}="}) + "\n" for a in "abc"))
    out = tmp_path / "out.jsonl"
    models = ["one", "two/checkpoints/step-3"]
    wanted = Generation(models, str(prompts), out, samples=2, sampling=Sampling(max_tokens=4, min_tokens=2))
    groups = generate(wanted)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["prompt"], r["model"], r["checkpoint"], r["sample"]) for r in rows] == [
        (f"{a}=", model, checkpoint, sample)
        for model, checkpoint in (("one", ""), ("two", "step-3"))
        for a in "abc"
        for sample in (0, 1)
    ]
    # The noise belongs to the model, the prompt and the sample: equal weights give different answers.
    assert len({r["text"] for r in rows if r["prompt"] == "a="}) > 1
    assert {a.author for g in groups for a in g.answers} <= {"one", "two@step-3"}
    before = out.read_text()
    assert generate(wanted) == groups
    assert out.read_text() == before  # nothing is made twice
    out.write_text("".join(line + "\n" for line in before.splitlines()[:7]))  # interrupted
    generate(wanted)
    assert sorted(out.read_text().splitlines()) == sorted(before.splitlines())  # and the rest is the same
    out.write_text(before + before.splitlines()[0][:40])  # the power failed in the middle of a line
    assert generate(wanted) == groups and out.read_text() == before


def test_answers_made_otherwise_are_made_anew(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base, tmp_path / "one")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a="}\n{"prompt": "b="}\n')
    out = tmp_path / "out.jsonl"
    wanted = Generation(["one"], "prompts.jsonl", out, sampling=Sampling(max_tokens=4, min_tokens=3))
    short = Generation(["one"], "prompts.jsonl", out, sampling=Sampling(max_tokens=2, min_tokens=2))
    generate(wanted)
    found = generate(short)
    assert [len(g.answers) for g in found] == [1, 1]  # the longer answers are not among them
    assert len(out.read_text().splitlines()) == 4  # and still written down
    assert generate(short) == found and len(out.read_text().splitlines()) == 4
    more = Generation(["one"], "prompts.jsonl", out, seed=1, sampling=short.sampling)
    assert len(generate(more)) == 2 and generate(short) == found
    os.utime(tmp_path / "one" / "model.safetensors", ns=(1, 1))  # other weights under the same name
    generate(short)
    assert len(out.read_text().splitlines()) == 8
    for text in ('{"prompt": "p", "chosen": "a"}\n', "no JSON\n"):
        out.write_text(text)
        with pytest.raises(HoneError, match=r"no answers that models made.*--save"):
            generate(wanted)
        assert out.read_text() == text


def test_models_that_would_be_called_alike_keep_their_paths() -> None:
    assert model_names(["x/a/model", "y/a", "b"]) == {
        "x/a/model": ("x/a/model", ""),
        "y/a": ("y/a", ""),
        "b": ("b", ""),
    }


def test_from_the_command_line(desk: Path, hone: Hone) -> None:
    options = (
        "--models",
        "base",
        "--prompts",
        "questions.jsonl",
        "--samples",
        "2",
        "--max-tokens",
        "3",
        "--db",
        "f.db",
    )
    with serving(desk, *options) as server:
        person = Person(server.port, "ann")
        status, _, text = person.get("/label/thumb")
        assert status == 200 and '<article class="answer alone">' in text
        person.close()
    assert (desk / "f.answers.jsonl").exists()
    code, _, error = hone("ui", "--port", "0", *options[:4], "--temperature", "-1")
    assert code == 2 and "temperature" in error
    (desk / "texts.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(HoneError, match='no column "prompt"'):
        generate(Generation(["base"], "texts.jsonl", desk / "x.jsonl"))
