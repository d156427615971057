"""Many people label over HTTP while the server is killed and started again: every acknowledged label is there, once."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from webserver import Person, patiently, serving, two_models, write_answers

from hone.core.feedback import Comparison
from hone.data.feedback.store import FeedbackStore


def label_all(folder: Path, database: str, people: int, labels: int, kills: int, every: float) -> None:
    write_answers(folder / "answers.jsonl", two_models(labels))
    acknowledged: dict[str, list[str]] = {}
    failures: list[BaseException] = []

    def work(name: str) -> None:
        person, rng = Person(server.port, name), random.Random(name)
        stored = acknowledged.setdefault(name, [])
        try:
            while len(stored) < labels:
                try:
                    fields = person.question()
                except (OSError, http.client.HTTPException, AssertionError):
                    time.sleep(0.05)
                    continue
                fields["choice"] = rng.choice(["first", "second", "tie"])
                patiently(person, "/label/compare", fields)
                stored.append(fields["item"])
                if rng.random() < 0.2:  # a double click, or a tab that was left open
                    patiently(person, "/label/compare", fields)
        except BaseException as error:
            failures.append(error)
        finally:
            person.close()

    with serving(folder, "--db", database, "--answers", "answers.jsonl") as server:
        threads = [threading.Thread(target=work, args=(f"person {i}",)) for i in range(people)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            time.sleep(every)
            server.stop()
            server.start()
        for thread in threads:
            thread.join()
        server.stop()
        server.start()  # what a restart shows is what is stored
        person = Person(server.port, "person 0")
        assert f'<b id="done">{labels}</b> of {labels}' in person.get("/label/compare")[2]
        person.close()

    assert not failures, failures
    store = FeedbackStore(database)
    entries = store.entries(undone=True)
    store.close()
    found = Counter((e.label.annotator, e.item) for e in entries)
    assert set(found.values()) == {1}
    assert found == Counter((name, item) for name, items in acknowledged.items() for item in set(items))
    assert len(entries) == people * labels
    assert len({e.id for e in entries}) == len(entries)
    # What was pressed is what is stored: "first" chooses the answer that stood left.
    for entry in entries:
        assert isinstance(entry.label, Comparison) and sorted(entry.shown) == [0, 1]


def test_eight_people_two_hundred_labels_each_and_three_kills(tmp_path: Path, database: str) -> None:
    label_all(tmp_path, database, people=8, labels=200, kills=3, every=1.5)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_sixty_four_people_five_thousand_labels_each(tmp_path: Path) -> None:
    label_all(tmp_path, str(tmp_path / "feedback.db"), people=64, labels=5_000, kills=20, every=20)
