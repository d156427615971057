"""A real browser: headless Chromium of the system, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webserver import Server, serving, two_models, write_answers

from hone.core.feedback import Comparison, Demonstration, Rating
from hone.data.feedback.store import FeedbackStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")
NASTY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.getuid() == 0 else []
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    write_answers(tmp_path / "answers.jsonl", two_models(12))
    with serving(tmp_path, "--answers", "answers.jsonl", "--db", "f.db") as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page on which Ann has said who she is; any error of a script or a refused resource fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    found = context.new_page()
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    # A refused connection or post is told by the page itself.
    found.on("console", lambda m: faults.append(m.text) if m.type == "error" and "resource" not in m.text else None)
    found.goto(server.url)
    found.fill("input[name=name]", "Ann")
    found.keyboard.press("Enter")
    found.wait_for_selector("#done")
    yield found
    context.close()
    assert faults == []


def press(page: Page, key: str) -> None:
    """Press a key and wait for the next question."""
    before = page.inner_text("#done")
    page.keyboard.press(key)
    page.wait_for_function("text => document.querySelector('#done').innerText !== text", arg=before)


def left(page: Page) -> str:
    return "good" if "good answer" in page.inner_text(".answer >> nth=0") else "bad"


def labels(server: Server) -> list[object]:
    store = FeedbackStore(server.folder / "f.db")
    found: list[object] = list(store.labels())
    store.close()
    return found


def test_ten_pairs_by_keyboard_then_the_arena_changes(page: Page, server: Server) -> None:
    arena = page.context.new_page()
    arena.goto(server.url + "arena")
    assert "Nobody has compared" in arena.inner_text("main")
    for i in range(10):
        assert page.inner_text("#done") == str(i)
        press(page, "a" if left(page) == "good" else "ArrowRight")
    page.reload()
    assert page.inner_text("#done") == "10"
    found = labels(server)
    assert len(found) == 10
    assert all(isinstance(x, Comparison) and x.chosen.model == "good" and not x.tie for x in found)
    # The page that was open all the time follows by itself.
    arena.wait_for_function("() => document.querySelector('#battles').innerText.startsWith('10 battles')")
    rows = arena.locator(".ratings tbody tr").all_inner_texts()
    assert rows[0].startswith("good@step-2") and "100 %" in rows[0] and rows[1].startswith("bad")
    assert arena.locator(".matrix tbody td").all_inner_texts()[1].split() == ["100", "%", "10"]
    before = rows[0]
    press(page, "t")
    arena.wait_for_function("() => document.querySelector('#battles').innerText.startsWith('11 battles')")
    assert arena.locator(".ratings tbody tr").all_inner_texts()[0] != before
    press(page, "u")  # takes the tie back
    assert page.inner_text("#done") == "10" and "taken back" in page.inner_text(".said")
    press(page, "s")
    press(page, "b")
    assert "That was all" in page.inner_text("main")


def test_a_double_press_stores_one_label(page: Page, server: Server) -> None:
    page.evaluate("() => { const b = document.querySelector('[data-key~=a]'); b.click(); b.click(); }")
    page.wait_for_function("() => document.querySelector('#done').innerText === '1'")
    page.go_back()
    page.wait_for_load_state()
    assert len(labels(server)) == 1


def test_an_answer_given_while_the_server_is_away_arrives(page: Page, server: Server) -> None:
    page.goto(server.url + "label/write")
    server.stop()
    page.fill("textarea", "written while nobody listened")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#away")
    server.start()
    page.wait_for_function("() => document.querySelector('#done').innerText === '1'")
    (written,) = labels(server)
    assert isinstance(written, Demonstration) and written.answer.text == "written while nobody listened"


def test_a_draft_survives_a_closed_tab_and_goes_when_it_is_stored(page: Page, server: Server) -> None:
    page.goto(server.url + "label/write")
    page.fill("textarea", "half an ans")
    other = page.context.new_page()
    page.goto(server.url + "arena")
    other.goto(server.url + "label/write")
    assert other.input_value("textarea") == "half an ans"
    other.fill("textarea", "half an answer")
    press(other, "Control+Enter")
    assert other.input_value("textarea") == ""
    assert other.evaluate("() => localStorage.length") == 0


def test_a_refused_post_shows_why(page: Page, server: Server) -> None:
    page.evaluate("() => { document.querySelector('input[name=item]').value = 'unknown' }")
    page.keyboard.press("a")
    page.wait_for_selector("text=not asked here any more")
    assert labels(server) == []


def test_thumbs_by_key_and_a_correction_by_hand(page: Page, server: Server) -> None:
    page.goto(server.url + "label/thumb")
    press(page, "y")
    press(page, "n")
    assert [x.thumb for x in labels(server) if isinstance(x, Rating)] == [True, False]
    page.click("text=correct it")
    assert page.input_value("textarea") != ""
    page.fill("textarea", "typed: a y n s u b do nothing here")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-key~=y]")
    (written,) = [x for x in labels(server) if isinstance(x, Demonstration)]
    assert written.answer.text == "typed: a y n s u b do nothing here"
    assert written.corrected is not None and written.answer.model == "Ann"


def test_ranking_by_numbers_and_clicks(browser: Browser, tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "answers": [{"text": f"{t} {i}", "model": t} for t in "xyz"]} for i in range(2)]
    write_answers(tmp_path / "answers.jsonl", rows)
    with serving(tmp_path, "--answers", "answers.jsonl", "--db", "f.db") as server:
        page = browser.new_page()
        page.goto(server.url + "name?then=/label/rank")
        page.fill("input[name=name]", "Ann")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-rank].live")
        texts = page.locator(".answer .text").all_inner_texts()
        page.keyboard.press("3")
        page.keyboard.press("1")
        page.keyboard.press("Backspace")
        page.wait_for_function("() => !document.querySelector('.ranked')")
        page.keyboard.press("2")
        page.click(".answer >> nth=2")
        page.keyboard.press("1")
        press(page, "Enter")
        store = FeedbackStore(tmp_path / "f.db")
        (found,) = store.labels()
        store.close()
        expected = {texts[1].split()[0]: 1, texts[2].split()[0]: 2, texts[0].split()[0]: 3}
        assert {a.model: r for a, r in zip(found.answers, found.ranks, strict=True)} == expected  # type: ignore[union-attr]
        page.close()


def test_markup_in_an_answer_is_text(browser: Browser, tmp_path: Path) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": NASTY}],
            "answers": [{"text": NASTY, "model": NASTY}, {"text": "x", "model": "m"}],
        }
    ]
    write_answers(tmp_path / "answers.jsonl", rows)
    run = tmp_path / "runs" / "one" / "rollouts"
    run.mkdir(parents=True)
    (run.parent / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5}\n')
    line = {"step": 1, "group": 0, "prompt": NASTY, "reward": 1.0, "turns": [{"text": NASTY}]}
    (run / "step-1.jsonl").write_text(json.dumps(line) + "\n")
    with serving(tmp_path, "--answers", "answers.jsonl", "--db", "f.db") as server:
        page = browser.new_page()
        page.goto(server.url)
        page.fill("input[name=name]", NASTY[:50])
        page.keyboard.press("Enter")
        page.wait_for_selector("#done")
        assert NASTY in page.locator(".answer .text").all_inner_texts()
        assert page.locator("section.prompt .text").inner_text() == NASTY
        press(page, "a")
        for path in ("arena", "people", "runs", "runs/one", "label/thumb", "label/write"):
            page.goto(server.url + path)
            assert page.title().endswith("hone") or page.title() == "one"
            assert page.locator("main img, main script").count() == 0
        page.goto(server.url + "runs/one")
        assert NASTY in page.inner_text(".tokens")
        # Even markup that got in by a mistake could run nothing.
        page.evaluate("html => { document.querySelector('main').innerHTML = html }", NASTY)
        page.wait_for_timeout(200)
        assert page.title() == "one"
        page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_pages_fit_a_phone_and_a_desk(browser: Browser, server: Server, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740})
    page = context.new_page()
    page.goto(server.url)
    page.fill("input[name=name]", "Ann")
    page.click("text=Begin")
    page.wait_for_selector("#done")
    for path in ("label/compare", "label/thumb", "label/write", "arena", "people", "runs"):
        page.goto(server.url + path)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, path
    page.goto(server.url + "label/compare")
    buttons = [page.locator(f"[data-key~={key}]").bounding_box() for key in ("a", "t", "b")]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width for box in buttons)
    assert all(box is not None and box["y"] + box["height"] <= 740 and box["height"] >= 40 for box in buttons)
    context.close()
