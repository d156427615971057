"""What can happen after each action, as arrays: from Gymnasium's tables to planners and simulators.

Suffixes: S states, A actions, B branches (most outcomes that any one action has; shorter lists are padded with
probability 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from scipy import sparse

from hone.core.errors import HoneError
from hone.tabular.mdp import MDP, ROW_TOLERANCE, Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A sample model: for row ``s·A + a`` the possible next states with probability, reward and end.

    Attributes:
        probability: [S·A, B]; rows sum to 1.
        next_state: [S·A, B].
        reward: [S·A, B].
        terminated: [S·A, B], the episode ends with this outcome.
        start_S: [S] distribution of the first state.
        actions: A.
    """

    probability: Floats
    next_state: Ints
    reward: Floats
    terminated: Bools
    start_S: Floats
    actions: int

    @property
    def states(self) -> int:
        """S."""
        return len(self.start_S)

    @classmethod
    def of(cls, env: gymnasium.Env[Any, Any]) -> Outcomes:
        """The table of a Gymnasium environment.

        Read from ``P[state][action] = [(probability, next state, reward, terminated), ...]`` and
        ``initial_state_distrib`` (Gymnasium's toy-text convention), else from the arrays ``transition_SAS``
        [S,A,S], ``reward_SA`` [S,A] and ``initial_state_distrib`` (a model that never ends).

        Raises:
            HoneError: spaces that are not discrete, or an environment that shows no table.
        """
        check_discrete(env)
        plain = env.unwrapped
        if hasattr(plain, "P"):
            return cls.from_table(plain.P, getattr(plain, "initial_state_distrib", None))
        if hasattr(plain, "transition_SAS"):
            mdp = MDP.build(plain.transition_SAS, plain.reward_SA)  # type: ignore[attr-defined]
            return cls.from_mdp(mdp, getattr(plain, "initial_state_distrib", None))
        raise HoneError(
            "the environment shows no table of its transitions",
            got=type(plain).__name__,
            expected="an attribute P as Gymnasium's toy-text environments have, or transition_SAS",
            do="learn from it (GymnasiumEnvironments) instead of planning in it",
        )

    @classmethod
    def from_table(
        cls, table: Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]], start: Any = None
    ) -> Outcomes:
        """Outcomes from a toy-text table; ``start`` defaults to the states at which nothing ends, all alike.

        Raises:
            HoneError: a row is not a distribution over the states (named by state and action), or the start is not.
        """
        states, actions = len(table), len(table[0])
        branches = max(len(outcomes) for row in table.values() for outcomes in row.values())
        shape = (states * actions, branches)
        probability, reward = np.zeros(shape), np.zeros(shape)
        following, terminated = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        for state, row in table.items():
            for action, outcomes in row.items():
                for branch, (p, target, gain, end) in enumerate(outcomes):
                    place = (state * actions + action, branch)
                    probability[place], following[place], reward[place] = p, target, gain
                    terminated[place] = end
        _check_rows(probability, following, states, actions)
        passed = np.ones(states, dtype=bool)
        passed[following[terminated]] = False
        return cls(probability, following, reward, terminated, _start(start, passed), actions)

    @classmethod
    def from_mdp(cls, mdp: MDP, start: Any = None) -> Outcomes:
        """Outcomes whose rewards are the model's expected ones; actions not allowed leave the state as it is.

        An episode ends when a terminal state is entered.
        """
        states, actions = mdp.states, mdp.actions
        rows = sparse.csr_array(mdp.transition)
        order = np.arange(actions * states).reshape(actions, states).T.ravel()
        rows = sparse.csr_array(rows[order])
        count = np.diff(rows.indptr)
        shape = (states * actions, max(1, int(count.max())))
        filled = np.arange(shape[1]) < count[:, None]
        probability = np.zeros(shape)
        following = np.repeat(np.arange(states), actions)[:, None] * np.ones(shape[1], dtype=np.int64)
        probability[filled], following[filled] = rows.data, rows.indices
        probability[count == 0, 0] = 1
        reward = np.broadcast_to(mdp.reward_AS.T.reshape(-1, 1), shape).copy()
        return cls(probability, following, reward, mdp.terminal_S[following], _start(start, ~mdp.terminal_S), actions)

    def mdp(self) -> MDP:
        """The model for planners, sparse, with expected rewards.

        A state that is entered only by outcomes that end the episode becomes terminal. Where such a state is
        also entered without an end (Taxi), the ending outcomes lead to one extra terminal state, number S,
        instead.

        Raises:
            HoneError: a row is not a distribution.
        """
        states, actions = self.states, self.actions
        possible = self.probability > 0
        ends, passes = np.zeros(states, dtype=bool), np.zeros(states, dtype=bool)
        ends[self.next_state[possible & self.terminated]] = True
        passes[self.next_state[possible & ~self.terminated]] = True
        passes |= self.start_S > 0
        target = np.where(self.terminated & passes[self.next_state], states, self.next_state)
        extra = bool((ends & passes).any())
        size = states + extra
        row = np.arange(states * actions).repeat(self.probability.shape[1])
        matrices = []
        for action in range(actions):
            mine = (row % actions) == action
            entries = (self.probability.ravel()[mine], (row[mine] // actions, target.ravel()[mine]))
            matrices.append(sparse.csr_array(entries, shape=(size, size)))
        reward_SA = np.zeros((size, actions))
        reward_SA[:states] = (self.probability * self.reward).sum(1).reshape(states, actions)
        terminal_S = np.zeros(size, dtype=bool)
        terminal_S[:states] = ends & ~passes
        terminal_S[states:] = True
        return MDP.build(matrices, reward_SA, terminal_S)


def mdp_of(env: gymnasium.Env[Any, Any]) -> MDP:
    """The explicit model of a discrete Gymnasium environment that shows its table (see :meth:`Outcomes.of`).

    Beside ``transition_SAS`` and ``reward_SA`` a mask ``allowed_SA`` is read where there is one.

    Raises:
        HoneError: as :meth:`Outcomes.of` and :meth:`MDP.build`.
    """
    plain = env.unwrapped
    if hasattr(plain, "transition_SAS") and not hasattr(plain, "P"):
        check_discrete(env)
        allowed = getattr(plain, "allowed_SA", None)
        return MDP.build(plain.transition_SAS, plain.reward_SA, allowed=allowed)  # type: ignore[attr-defined]
    return Outcomes.of(env).mdp()


def check_discrete(env: gymnasium.Env[Any, Any]) -> tuple[int, int]:
    """Numbers of states and actions of an environment whose spaces are ``Discrete`` and start at 0.

    Raises:
        HoneError: another space; both are named.
    """
    spaces = (env.observation_space, env.action_space)
    sizes = [int(s.n) for s in spaces if isinstance(s, gymnasium.spaces.Discrete) and s.start == 0]
    if len(sizes) != 2:
        raise HoneError(
            "tables need discrete states and actions",
            where=type(env.unwrapped).__name__,
            got=f"observations {_plain(spaces[0])}, actions {_plain(spaces[1])}",
            expected="Discrete(n) for both",
            do="choose a toy-text environment, or discretise this one with a wrapper",
        )
    return sizes[0], sizes[1]


def shows_table(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether :meth:`Outcomes.of` finds a table in a discrete environment."""
    return hasattr(env.unwrapped, "P") or hasattr(env.unwrapped, "transition_SAS")


def _plain(space: Any) -> str:
    """A space in one line, its blanks folded."""
    return " ".join(str(space).split())


def _check_rows(probability: Floats, next_state: Ints, states: int, actions: int) -> None:
    """Refuse rows that are not distributions over the states."""
    total = probability.sum(axis=1)
    faults = (
        ("a probability is not a number between 0 and 1", ~(probability.min(axis=1) >= 0), probability.min(axis=1)),
        ("the probabilities do not sum to 1", ~(np.abs(total - 1) <= ROW_TOLERANCE), total),
        (
            "a next state does not exist",
            ((next_state < 0) | (next_state >= states)).any(axis=1),
            next_state.max(axis=1),
        ),
    )
    for what, bad, got in faults:
        if bad.any():
            row = int(bad.argmax())
            raise HoneError(what, where=f"state {row // actions}, action {row % actions}", got=f"{got[row]:.12g}")


def _start(start: Any, default: Bools) -> Floats:
    """The given distribution, checked; without one all states of ``default`` alike."""
    states = len(default)
    start_S = default / max(1, default.sum()) if start is None else np.asarray(start, dtype=float)
    if start_S.shape != (states,) or abs(start_S.sum() - 1) > 1e-6 or start_S.min() < 0:
        raise HoneError("the start distribution does not fit", got=f"{start_S.shape}", expected=f"({states},), sum 1")
    return np.asarray(start_S / start_S.sum())
