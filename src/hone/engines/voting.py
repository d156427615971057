"""Self-consistency: several completions of every request, of which one of the majority is handed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from hone.core.seeding import key
from hone.core.types import Completion
from hone.engines.base import Engine, Request


class VotingEngine(Engine):
    """Draws ``votes`` completions wherever one is asked for, and elects one.

    The elected one is the first with the most frequent ballot (Wang et al. 2023, arXiv 2203.11171); between ballots as
    frequent, the one that was cast first wins. Its tokens and log-probabilities are those that were sampled, but what
    is elected does not follow the sampler's distribution.

    Args:
        engine: draws the completions.
        votes: how many for each request.
        ballot: what a completion votes for; None where it votes for nothing, which wins only if all do.
    """

    def __init__(self, engine: Engine, votes: int, ballot: Callable[[Completion], str | None]) -> None:
        self.engine, self.votes, self.ballot = engine, votes, ballot
        self._cast: dict[Hashable, dict[int, Completion]] = {}

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue every request ``votes`` times, each with noise of its own."""
        for request in requests:
            self._cast[request.id] = {}
        self.engine.submit(
            [
                replace(request, id=(request.id, vote), key=key(request.key, "vote", vote))
                for request in requests
                for vote in range(self.votes)
            ]
        )

    def collect(self) -> list[tuple[Hashable, Completion]]:
        """Run until all votes of at least one request are there; [] iff nothing is in flight."""
        elected: list[tuple[Hashable, Completion]] = []
        while not elected:
            finished = self.engine.collect()
            if not finished:
                return []
            for name, completion in finished:
                assert isinstance(name, tuple)
                cast = self._cast[name[0]]
                cast[name[1]] = completion
                if len(cast) == self.votes:
                    elected.append((name[0], self._elect(self._cast.pop(name[0]))))
        return elected

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Submit and collect these requests; completions in their order."""
        self.submit(requests)
        found: dict[Hashable, Completion] = {}
        while len(found) < len(requests):
            found |= dict(self.collect())
        return [found[request.id] for request in requests]

    def sync(self, policy_version: int) -> None:
        """The weights have changed."""
        self.engine.sync(policy_version)

    def _elect(self, cast: dict[int, Completion]) -> Completion:
        ballots = [self.ballot(cast[vote]) for vote in range(self.votes)]
        counted = Counter(ballot for ballot in ballots if ballot is not None)
        winner = counted.most_common(1)[0][0] if counted else None
        return cast[ballots.index(winner)]
