"""The server over HTTP: what is stored, what is refused, and that nothing entered is lost."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Hone
from webserver import Person, Server, form_of, serving, two_models, write_answers

from hone.core.feedback import Comparison, Demonstration, Label, Ranking, Rating, Skip
from hone.data.feedback.store import FeedbackStore

NASTY = "<script>document.title='owned'</script><img src=x onerror=alert(1)> & \"quotes\" {{ 7*7 }}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http")
    rows = two_models(40)
    rows += [{"prompt": NASTY, "answers": [{"text": NASTY, "model": NASTY}, {"text": "x", "model": "m"}, "y", "z"]}]
    write_answers(folder / "answers.jsonl", rows)
    run = folder / "runs" / "one" / "two"
    (run / "rollouts").mkdir(parents=True)
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": 0.25}\n{"step": 2, "reward": 0.5}\n')
    line = {"step": 2, "group": 0, "prompt": NASTY, "reward": 1.0, "turns": [{"text": NASTY}]}
    (run / "rollouts" / "step-2.jsonl").write_text(json.dumps(line) + "\n")
    with serving(folder, "--answers", "answers.jsonl", "--db", "f.db") as found:
        yield found


def stored(server: Server, name: str) -> list[Label]:
    store = FeedbackStore(server.folder / "f.db")
    found = [label for label in store.labels() if label.annotator == name]
    store.close()
    return found


@pytest.fixture
def ann(server: Server, request: pytest.FixtureRequest) -> Iterator[Person]:
    person = Person(server.port, f"Änn {request.node.name}"[:60])
    yield person
    person.close()


def test_nobody_labels_without_a_name(server: Server) -> None:
    nobody = Person(server.port)
    status, headers, _ = nobody.get("/label/compare")
    assert (status, headers["location"]) == (303, "/name?then=%2Flabel%2Fcompare")
    status, headers, _ = nobody.post("/name", {"name": "  Jo\n ", "then": "/label/compare"})
    assert (status, headers["location"]) == (303, "/label/compare")
    assert headers["set-cookie"].startswith("hone_annotator=Jo;") and "HttpOnly" in headers["set-cookie"]
    assert nobody.post("/name", {"name": "x", "then": "//evil.example"})[1]["location"] == "/"
    assert nobody.post("/label/compare", {"choice": "first"})[0] == 400
    nobody.close()


def test_the_side_that_was_pressed_is_the_side_that_is_stored(server: Server, ann: Person) -> None:
    for choice in ("first", "second", "first", "second", "tie"):
        text = ann.get("/label/compare")[2]
        fields = form_of(text)
        left = text.partition("<b>A</b>")[2].partition('<div class="text">')[2].partition("</div>")[0]
        assert ann.post("/label/compare", {**fields, "choice": choice})[0] == 303
        label = stored(server, ann.name)[-1]
        assert isinstance(label, Comparison)
        if choice == "tie":
            assert label.tie
        else:
            shown = "good" if left.startswith("good") else "bad"
            expected = shown if choice == "first" else {"good": "bad", "bad": "good"}[shown]
            assert (label.chosen.model, label.tie) == (expected, False)


def test_thumbs_rankings_skips_and_written_answers(server: Server, ann: Person) -> None:
    fields = ann.question("thumb")
    ann.post("/label/thumb", {**fields, "choice": "up"})
    fields = ann.question("rank")
    order = [int(i) for i in fields["order"].split(",")]
    ann.post("/label/rank", {**fields, **{f"rank_{i}": str(place + 1) for place, i in enumerate(order)}})
    fields = ann.question("write")
    ann.post("/label/write", {**fields, "text": " my answer\r\nin two lines "})
    fields = ann.question("compare")
    ann.post("/label/compare", {**fields, "choice": "skip"})
    rating, ranking, demonstration, skip = stored(server, ann.name)
    assert isinstance(rating, Rating) and rating.thumb is True
    assert isinstance(ranking, Ranking) and [ranking.ranks[i] for i in order] == [1, 2, 3, 4]
    assert isinstance(demonstration, Demonstration)
    assert demonstration.record()["completion"] == "my answer\nin two lines"
    assert isinstance(skip, Skip) and len(skip.answers) == 2
    assert '<b id="done">1</b> of' in ann.get("/label/compare")[2]


def test_a_corrected_answer_leads_back_to_its_question(server: Server, ann: Person) -> None:
    fields = ann.question("compare")
    page = ann.get(f"/label/write?item={fields['item']}&answer=0")[2]
    assert "good answer" in page.partition("<textarea")[2]
    written = {**form_of(page), "text": "a better answer"}
    status, headers, _ = ann.post("/label/write", written)
    assert (status, headers["location"]) == (303, f"/label/compare?item={fields['item']}")
    (found,) = stored(server, ann.name)
    assert isinstance(found, Demonstration) and found.corrected is not None
    assert (found.corrected.model, found.answer.model) == ("good", ann.name)
    same = {**written, "submission": "another-one", "text": " good answer " + str(found.prompt).split()[1]}
    status, _, text = ann.post("/label/write", same)
    assert status == 400 and "the same answer" in text


def test_a_double_click_and_a_second_tab_store_once(server: Server, ann: Person) -> None:
    first, second = ann.question(), ann.question()
    assert first["item"] == second["item"] and first["submission"] != second["submission"]
    other = Person(server.port, ann.name)
    replies = []
    threads = [
        threading.Thread(target=lambda p=p, f=f: replies.append(p.post("/label/compare", f)[0]))
        for p, f in ((ann, {**first, "choice": "first"}), (other, {**first, "choice": "first"}))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status, headers, _ = other.post("/label/compare", {**second, "choice": "second"})
    assert (replies, status, headers["location"]) == ([303, 303], 303, "/label/compare?note=already")
    assert "the first answer counts" in other.get("/label/compare?note=already")[2]
    (label,) = stored(server, ann.name)
    assert isinstance(label, Comparison)
    other.close()


def test_an_undo_that_arrives_twice_takes_back_one_label(server: Server, ann: Person) -> None:
    for choice in ("first", "second"):
        ann.post("/label/compare", {**ann.question(), "choice": choice})
    page = ann.get("/label/compare")[2]
    last = re.findall(r'name="last" value="([^"]+)"', page)
    assert len(last) == 1
    ann.post("/undo", {"last": last[0]})
    ann.post("/undo", {"last": last[0]})
    assert len(stored(server, ann.name)) == 1


def test_a_post_that_comes_again_after_its_undo_leaves_the_question_open(server: Server, ann: Person) -> None:
    """A reply was lost, the label was taken back in another tab, and the first tab sends again."""
    fields = {**ann.question(), "choice": "first"}
    ann.post("/label/compare", fields)
    ann.post("/undo", {})
    status, headers, _ = ann.post("/label/compare", fields)
    assert (status, headers["location"]) == (303, "/label/compare?note=undone")
    assert stored(server, ann.name) == []
    page = ann.get("/label/compare")[2]
    assert '<b id="done">0</b>' in page and form_of(page)["item"] == fields["item"]
    ann.post("/label/compare", {**ann.question(), "choice": "second"})
    assert len(stored(server, ann.name)) == 1


def test_a_second_text_for_the_same_place_is_kept_too(server: Server, ann: Person) -> None:
    fields = {**ann.question(), "answer": "0"}
    for number, text in enumerate(("a first correction", "a better one", "a better one")):
        form = {**fields, "submission": f"submission-{number}", "text": text}
        assert "already" not in ann.post("/label/write", form)[1]["location"] or number == 2
        ann.post("/label/write", form)  # once more, as after a lost reply
    texts = [label.answer.text for label in stored(server, ann.name) if isinstance(label, Demonstration)]
    assert texts == ["a first correction", "a better one"]


@pytest.mark.parametrize("header", [{"Host": "["}, {"Origin": "http://["}])
def test_an_address_that_is_none_is_refused(server: Server, header: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest("POST", "/undo", skip_host="Host" in header)
    for name, value in {**header, "Content-Length": "0"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status in (403, 421)
    connection.close()


def test_undo_asks_the_same_again(server: Server, ann: Person) -> None:
    fields = ann.question()
    ann.post("/label/compare", {**fields, "choice": "first"})
    status, headers, _ = ann.post("/undo", {})
    assert (status, headers["location"]) == (303, f"/label/compare?item={fields['item']}&note=undone")
    assert stored(server, ann.name) == []
    again = form_of(ann.get(headers["location"])[2])
    assert again["item"] == fields["item"] and again["order"] == fields["order"]
    assert ann.post("/label/compare", {**again, "choice": "tie"})[0] == 303
    assert [type(label) for label in stored(server, ann.name)] == [Comparison]
    new = Person(server.port, "somebody new")
    assert new.post("/undo", {})[1]["location"] == "/"
    new.close()


def test_two_people_at_once_have_their_own_progress(server: Server, ann: Person) -> None:
    bob = Person(server.port, ann.name + " Bob")
    for person, count in ((ann, 3), (bob, 1)):
        for _ in range(count):
            person.post("/label/compare", {**person.question(), "choice": "first"})
    assert '<b id="done">3</b>' in ann.get("/label/compare")[2]
    assert '<b id="done">1</b>' in bob.get("/label/compare")[2]
    people = bob.get("/people")[2]
    assert ann.name in people and bob.name in people and "Krippendorff" in people
    bob.close()


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/label/compare", {"choice": "both"}, "no answer to the question"),
        ("/label/compare", {"choice": "first", "order": "0,0"}, "no answer to the question"),
        ("/label/thumb", {"choice": "up"}, "no answer to the question"),
        ("/label/write", {"text": " \n "}, "an answer is empty"),
        ("/label/compare", {"choice": "first", "item": "unknown"}, "not asked here any more"),
        ("/label/compare", {"choice": "first", "submission": "x"}, "not asked here any more"),
        ("/label/guess", {}, "no such page"),
    ],
)
def test_bad_posts_are_one_clear_page(
    server: Server, ann: Person, path: str, fields: dict[str, str], said: str
) -> None:
    status, _, text = ann.post(path, {**ann.question(), **fields})
    assert status == 400 and said in text and "Traceback" not in text
    assert stored(server, ann.name) == []


def test_a_ranking_with_a_rank_missing(server: Server, ann: Person) -> None:
    status, _, text = ann.post("/label/rank", {**ann.question("rank"), "rank_0": "1", "rank_1": "9"})
    assert status == 400 and "not every answer has a rank" in text


def test_an_oversized_post_is_refused_and_the_server_goes_on(server: Server, ann: Person) -> None:
    status, _, text = ann.post("/label/write", {**ann.question("write"), "text": "x" * 2_000_000})
    assert status == 413 and "too large" in text and "Nothing was stored" in text
    assert ann.post("/label/write", b"", **{"Content-Length": "99999999999"})[0] == 413
    other = Person(server.port, ann.name)
    fields = other.question("write")
    assert other.post("/label/write", {**fields, "text": "x" * 100_000})[0] == 303
    assert len(stored(server, ann.name)) == 1
    other.close()


def test_a_post_from_another_page_is_refused(server: Server, ann: Person) -> None:
    fields = {**ann.question(), "choice": "first"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        status, _, text = ann.post("/label/compare", fields, **headers)
        assert status == 403 and "not come from our own page" in text
    assert stored(server, ann.name) == []
    assert ann.post("/label/compare", fields, Origin=f"http://127.0.0.1:{server.port}")[0] == 303


def test_a_foreign_name_for_this_address_is_refused(server: Server) -> None:
    """A page that made its own name resolve to 127.0.0.1 must not read what is here."""
    stranger = Person(server.port, "x")
    assert stranger.get("/label/compare", Host="evil.example")[0] == 421
    assert stranger.get("/label/compare", Host=f"localhost:{server.port}")[0] == 200
    assert stranger.get("/label/compare", Host="[::1]:80")[0] == 200
    stranger.close()


def test_what_models_wrote_is_text_everywhere(server: Server, ann: Person) -> None:
    ann.post("/name", {"name": NASTY})
    pages = ["/arena", "/people", "/runs", "/runs/one/two", f"/name?then={NASTY.replace(' ', '+')}"]
    for question in range(4):
        pages += [f"/label/{('compare', 'rank', 'thumb', 'write')[question]}"]
    nasty = Person(server.port, NASTY[:60])
    for _ in range(130):  # until the nasty prompt has come up
        fields = nasty.question()
        if not fields:
            break
        text = nasty.get("/label/compare")[2]
        assert "<script>document" not in text and "onerror=alert" not in text.replace("onerror=alert(1)&gt;", "")
        nasty.post("/label/compare", {**fields, "choice": "first"})
    for path in pages:
        status, headers, text = nasty.get(path)
        assert status == 200, path
        assert "<script>document" not in text and "<img" not in text, path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert "&lt;script&gt;document" in nasty.get("/runs/one/two")[2]
    assert "&lt;script&gt;document" in nasty.get("/arena")[2]
    nasty.close()


def test_an_arena_of_one_battle(tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", two_models(1))
    with serving(tmp_path, "--answers", "answers.jsonl", "--db", "f.db") as server:
        ann = Person(server.port, "ann")
        ann.post("/label/compare", {**ann.question(), "choice": "first"})
        text = ann.get("/arena")[2]
        assert "1 battle between 2 players" in text and text.count("too few to tell") == 4
        ann.close()


def test_runs_are_looked_up_never_joined_to_a_path(server: Server, ann: Person) -> None:
    assert "one/two" in ann.get("/runs")[2]
    assert ann.get("/runs/one/two")[0] == 200
    for path in ("/runs/../../etc", "/runs/%2e%2e/%2e%2e/etc", "/runs//etc/passwd", "/static/../desk.py"):
        assert ann.get(path)[0] in (400, 404)
    assert ann.get("/nowhere")[0] == 404


def test_a_run_is_shown_as_it_goes_on(server: Server, ann: Person) -> None:
    assert "step 2" in ann.get("/runs/one/two")[2]
    with (server.folder / "runs" / "one" / "two" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "reward": 0.75}\n')
    until = time.monotonic() + 30  # a page that took long to make is shown a little longer
    while "step 3" not in (text := ann.get("/runs/one/two")[2]):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert "0.75" in text


def test_a_locked_database_keeps_what_was_entered(tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", two_models(3))
    with serving(tmp_path, "--answers", "answers.jsonl", "--db", "f.db", "--wait", "0.3") as server:
        ann = Person(server.port, "ann")
        fields = {**ann.question("write"), "text": "a long text <b>"}
        holder = sqlite3.connect(tmp_path / "f.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        status, _, text = ann.post("/label/write", fields)
        assert status == 503 and "locked by another program" in text and "a long text &lt;b&gt;</textarea>" in text
        assert form_of(text) == {k: v for k, v in fields.items() if k != "text"}
        holder.execute("ROLLBACK")
        holder.close()
        assert ann.post("/label/write", {**form_of(text), "text": "a long text <b>"})[0] == 303
        ann.close()
    store = FeedbackStore(tmp_path / "f.db")
    (found,) = store.labels()
    assert isinstance(found, Demonstration) and found.answer.text == "a long text <b>"
    store.close()


def test_ctrl_c_ends_it_without_a_failure(tmp_path: Path) -> None:
    with serving(tmp_path, "--db", "f.db") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_another_address_needs_the_token(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", "--db", "f.db") as server:
        token = server.url.partition("?token=")[2]
        assert len(token) >= 32
        stranger = Person(server.port, "x")
        for path in ("/", "/arena", "/static/hone.js", "/?token=", f"/?token={token[:-1]}", f"/?token={token}x"):
            assert stranger.get(path)[0] == 401, path
        assert stranger.get("/", Cookie="hone_token=wrong")[0] == 401
        assert stranger.post("/name", {"name": "x"})[0] == 401
        status, headers, text = stranger.get(f"/arena?token={token}")
        assert status == 200 and token not in text
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        friend = Person(server.port, headers={"Cookie": cookie.partition(";")[0]})
        assert friend.get("/arena")[0] == 200
        stranger.close()
        friend.close()


def test_what_ui_refuses_to_start_with(hone: Hone, desk: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert hone("ui", "--port", port) == (
            2,
            "",
            f"hone: the port is in use; at 127.0.0.1:{port}; do: give another with --port\n",
        )
    write_answers(desk / "empty.jsonl", [{"prompt": "p", "answers": [""]}])
    (desk / "text.db").write_text("no database " * 100)
    for words, said in (
        (["--token", "short"], "no token"),
        (["--host", "203.0.113.1"], "cannot listen"),
        (["--models", "base"], "both are needed"),
        (["--answers", "empty.jsonl"], "an answer is empty; at empty.jsonl, record 1"),
        (["--answers", "nothing.jsonl"], "cannot be read"),
        (["--db", "text.db"], "no SQLite database"),
        (["--db", "sqlite://"], "names no file"),
        (["--db", "postgresql://host:port/x"], "no database URL"),
        (["--port", "99999"], "no such port"),
        (["--port", "-1"], "no such port"),
        (["--overlap", "2"], "overlap"),
        (["--rollouts", "."], "not a run"),
    ):
        code, _, error = hone("ui", "--port", "0", *words)
        assert code == 2 and said in error and error.count("\n") == 1, (words, error)
