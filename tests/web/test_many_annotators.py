"""Many people label over HTTP while the server is killed and started again: every acknowledged label is there, once."""

from __future__ import annotations

import random
import resource
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from webserver import Person, patiently, serving, two_models, write_answers

from hone.core.feedback import Comparison
from hone.data.feedback.store import FeedbackStore


def label_all(folder: Path, database: str, people: int, labels: int, kills: int) -> None:
    """Everyone answers every question; the kills are spread evenly over the labels. Says how far it is at each."""
    write_answers(folder / "answers.jsonl", two_models(labels))
    pressed: dict[str, dict[str, str]] = {f"person {i}": {} for i in range(people)}
    failures: list[BaseException] = []
    began = time.monotonic()

    def work(name: str) -> None:
        person, rng, mine = Person(server.port, name), random.Random(name), pressed[name]
        try:
            while len(mine) < labels and not failures:
                fields = patiently(person.question, rng, 600)
                fields["choice"] = rng.choice(["first", "second", "tie"])
                post = partial(person.served, "/label/compare", fields)
                patiently(post, rng, 600)
                mine[fields["item"]] = fields["choice"]  # acknowledged
                if rng.random() < 0.2:  # a double click, or a tab that was left open
                    patiently(post, rng, 600)
        except BaseException as error:
            failures.append(error)
        finally:
            person.close()

    with serving(folder, "--db", database, "--answers", "answers.jsonl") as server:
        threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in pressed]
        for thread in threads:
            thread.start()
        for kill in range(kills):
            while (done := sum(map(len, pressed.values()))) < people * labels * (kill + 1) // (kills + 1):
                assert not failures, failures
                time.sleep(0.05)
            print(f"{done:,} of {people * labels:,} labels after {time.monotonic() - began:,.0f} s: killed", flush=True)
            server.stop()
            server.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        server.stop()
        server.start()  # what a restart shows is what is stored
        for name in pressed:
            person = Person(server.port, name)
            assert f'<b id="done">{labels}</b> of {labels}' in person.get("/label/compare")[2]
            person.close()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    server_s, people_s = (u.ru_utime + u.ru_stime for u in used)
    print(
        f"all after {time.monotonic() - began:,.0f} s; processor: {server_s:,.0f} s of servers, {people_s:,.0f} s of us"
    )

    store = FeedbackStore(database)
    entries = store.entries(undone=True)
    store.close()
    assert len(entries) == people * labels == len({e.id for e in entries})
    found: dict[str, dict[str, str]] = {name: {} for name in pressed}
    for entry in entries:
        assert isinstance(entry.label, Comparison) and sorted(entry.shown) == [0, 1]
        left = "first" if entry.shown[0] == 0 else "second"  # where the chosen answer stood
        found[entry.label.annotator][entry.item] = "tie" if entry.label.tie else left
    assert found == pressed  # what was pressed is what is stored


def test_eight_people_two_hundred_labels_each_and_three_kills(tmp_path: Path, database: str) -> None:
    label_all(tmp_path, database, people=8, labels=200, kills=3)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_sixty_four_people_five_thousand_labels_each(tmp_path: Path) -> None:
    label_all(tmp_path, str(tmp_path / "feedback.db"), people=64, labels=5_000, kills=20)
