"""Markov decision processes as arrays: the one model that every planner reads.

Suffixes: S states, A actions. Arrays over both are stored action by action (``_AS``), because the maximum over
actions is then a maximum over whole rows; what a user gives and gets is ``_SA``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from hone.core.errors import HoneError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROW_TOLERANCE = 1e-8
"""Largest distance of a row of probabilities from 1."""


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite Markov decision process; make it with :meth:`build`, which validates.

    Attributes:
        transition: [A·S, S] probabilities, CSR or dense; row ``a·S + s``. Rows of terminal states and of
            actions that are not allowed are zero, so a Bellman backup gives terminal states the value 0
            without a special case.
        reward_AS: expected reward of taking the action in the state; 0 where the row is zero.
        terminal_S: states in which nothing happens any more.
        allowed_AS: which actions a state has; all of them in a terminal state, where they do nothing.
    """

    transition: Any
    reward_AS: Floats
    terminal_S: Bools
    allowed_AS: Bools

    @property
    def states(self) -> int:
        """S."""
        return int(self.reward_AS.shape[1])

    @property
    def actions(self) -> int:
        """A."""
        return int(self.reward_AS.shape[0])

    @classmethod
    def build(
        cls,
        transitions: Any,
        rewards: ArrayLike,
        terminal: ArrayLike | None = None,
        allowed: ArrayLike | None = None,
    ) -> MDP:
        """A validated model.

        Args:
            transitions: an array [S, A, S] (kept dense), or A sparse matrices [S, S] (kept sparse).
            rewards: [S, A] expected rewards, or [S, A, S] rewards per next state (dense transitions only).
            terminal: [S] mask; what rows and rewards of such a state hold is ignored.
            allowed: [S, A] mask of the actions each state has (default: all).

        Raises:
            HoneError: shapes that do not fit, a value that is not finite, a negative probability, a row that
                does not sum to 1 (named by state and action), a state that is not terminal and has no action.
        """
        transition, actions, states = _stack(transitions)
        reward = np.asarray(rewards, dtype=float)
        if reward.ndim == 3 and not sparse.issparse(transition) and reward.shape == (states, actions, states):
            reward = np.einsum("ast,sat->sa", transition.reshape(actions, states, states), reward)
        if reward.shape != (states, actions):
            raise HoneError(
                "the rewards do not fit the transitions",
                got=f"{reward.shape}",
                expected=f"{(states, actions)}",
            )
        terminal_S = _mask(terminal, (states,), False, "terminal")
        allowed_AS = np.ascontiguousarray(_mask(allowed, (states, actions), True, "allowed").T)
        used = allowed_AS & ~terminal_S
        _validate(transition, reward.T, used, terminal_S)
        if sparse.issparse(transition):
            transition = sparse.csr_array(sparse.diags_array(used.ravel().astype(float)) @ transition)
            transition.eliminate_zeros()
            if max(transition.nnz, *transition.shape) < 2**31:  # a sweep is bound by memory: halve the indices
                narrow = (transition.data, transition.indices.astype(np.int32), transition.indptr.astype(np.int32))
                transition = sparse.csr_array(narrow, shape=transition.shape)
        else:
            transition = transition * used.ravel()[:, None]
        reward_AS = np.where(used, reward.T, 0.0)
        return cls(transition, np.ascontiguousarray(reward_AS), terminal_S, allowed_AS | terminal_S)

    def backup(self, value_S: Floats, gamma: float) -> Floats:
        """[A, S] look-ahead ``r(s,a) + γ Σ_t p(t|s,a) v(t)``; −∞ for actions that are not allowed."""
        q_AS: Floats = (self.transition @ value_S).reshape(self.actions, self.states)
        q_AS *= gamma
        q_AS += self.reward_AS
        if not self.allowed_AS.all():
            q_AS[~self.allowed_AS] = -np.inf
        return q_AS

    def q_values(self, value_S: ArrayLike, gamma: float) -> Floats:
        """[S, A] action values of the state values, as :meth:`backup`."""
        return self.backup(np.asarray(value_S, dtype=float), gamma).T

    def residual(self, value_S: ArrayLike, gamma: float) -> float:
        """Bellman residual ``max_s |max_a q(s,a) − v(s)|``: 0 for the optimal values only."""
        value_S = np.asarray(value_S, dtype=float)
        return float(np.abs(self.backup(value_S, gamma).max(axis=0) - value_S).max())

    def under(self, policy: ArrayLike) -> tuple[Any, Floats]:
        """Transitions [S, S] and expected rewards [S] of following a policy.

        Args:
            policy: [S] actions, or [S, A] probabilities.

        Raises:
            HoneError: the policy does not fit, is not a distribution, or takes an action that is not allowed.
        """
        chosen = np.asarray(policy)
        if chosen.shape == (self.states,) and np.issubdtype(chosen.dtype, np.integer):
            if chosen.min(initial=0) < 0 or chosen.max(initial=0) >= self.actions:
                raise HoneError("the policy takes an unknown action", expected=f"0 to {self.actions - 1}")
            state = np.arange(self.states)
            self._check_allowed(~self.allowed_AS[chosen, state])
            return self.transition[chosen * self.states + state], self.reward_AS[chosen, state]
        if chosen.shape != (self.states, self.actions):
            raise HoneError(
                "the policy does not fit the model",
                got=f"{chosen.dtype} of shape {chosen.shape}",
                expected=f"({self.states},) actions or {(self.states, self.actions)} probabilities",
            )
        wrong = np.abs(chosen.sum(1) - 1) > ROW_TOLERANCE
        if wrong.any() or chosen.min() < 0:
            state_ = int(np.argmax(wrong | (chosen.min(1) < 0)))
            raise HoneError("the policy is not a distribution", where=f"state {state_}", got=f"{chosen[state_]}")
        self._check_allowed(((chosen.T > 0) & ~self.allowed_AS).any(0))
        columns = np.arange(self.states)
        mix = sparse.csr_array(
            (chosen.T.ravel(), (np.tile(columns, self.actions), np.arange(self.actions * self.states))),
            shape=(self.states, self.actions * self.states),
        )
        return mix @ self.transition, np.einsum("as,sa->s", self.reward_AS, chosen)

    def _check_allowed(self, refused_S: Any) -> None:
        if refused_S.any():
            raise HoneError("the policy takes an action that is not allowed", where=f"state {int(refused_S.argmax())}")


def _stack(transitions: Any) -> tuple[Any, int, int]:
    """The transitions as [A·S, S] with A and S."""
    if isinstance(transitions, Sequence) and transitions and all(sparse.issparse(t) for t in transitions):
        states = transitions[0].shape[0]
        if any(t.shape != (states, states) for t in transitions):
            raise HoneError(
                "the transition matrices differ in shape",
                got=", ".join(str(t.shape) for t in transitions),
                expected="one [S, S] matrix per action",
            )
        return sparse.csr_array(sparse.vstack(transitions), dtype=float), len(transitions), states
    dense = np.asarray(transitions, dtype=float)
    if dense.ndim != 3 or dense.shape[0] != dense.shape[2] or 0 in dense.shape:
        raise HoneError(
            "the transitions have the wrong shape",
            got=f"{dense.shape}",
            expected="an array [S, A, S], or a list of A sparse matrices [S, S]",
        )
    states, actions, _ = dense.shape
    return dense.transpose(1, 0, 2).reshape(actions * states, states), actions, states


def _mask(given: ArrayLike | None, shape: tuple[int, ...], default: bool, name: str) -> Bools:
    mask = np.full(shape, default) if given is None else np.asarray(given, dtype=bool)
    if mask.shape != shape:
        raise HoneError(f"the {name} mask has the wrong shape", got=f"{mask.shape}", expected=f"{shape}")
    return mask


def _validate(transition: Any, reward_AS: Floats, used_AS: Bools, terminal_S: Bools) -> None:
    """Refuse rows that are not distributions, rewards that are not finite and states without an action."""
    states = len(terminal_S)

    def refuse(what: str, bad: Bools, got: Floats, expected: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            where = f"state {row % states}, action {row // states}"
            raise HoneError(what, where=where, got=f"{got[row]:.12g}", expected=expected)

    used = used_AS.ravel()
    total = np.asarray(transition.sum(axis=1)).ravel()
    least = transition.min(axis=1)
    least = (least.toarray() if sparse.issparse(least) else np.asarray(least)).ravel()
    refuse("a probability is not a number between 0 and 1", used & ~(least >= 0), least, "0 or more")
    refuse("the probabilities do not sum to 1", used & ~(np.abs(total - 1) <= ROW_TOLERANCE), total, "1")
    reward = reward_AS.ravel()
    refuse("a reward is not finite", used & ~np.isfinite(reward), reward, "a finite number")
    idle = ~terminal_S & ~used_AS.any(axis=0)
    if idle.any():
        raise HoneError(
            "a state has no action",
            where=f"state {int(idle.argmax())}",
            do="mark it terminal or allow it an action",
        )
