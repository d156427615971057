"""Play a world, a bandit or tic-tac-toe in the terminal, or watch; whoever knows says what it would do.

usage: hone play cliff        keys: w a s d or the arrows move, Enter takes the suggestion, q leaves
       hone play tictactoe [--agent perfect] [--task.opponent noisy] [--watch]
       hone play bandit --model runs/agent --task.face.style compact --sampling.max-tokens 1 --watch
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import tyro

from hone.cli._recipes import help_table, split_flags
from hone.cli._worlds import layout_of, make_env

KEYS = {"w": 0, "d": 1, "s": 2, "a": 3, "\x1b[A": 0, "\x1b[C": 1, "\x1b[B": 2, "\x1b[D": 3}
"""Keys of up, right, down, left."""
QUIT = ("q", "\x03", "\x04")
TASKS = "hone.envs.tasks"


@dataclass(frozen=True)
class Args:
    """Walk a classical world in the terminal; the optimal policy says what it would do.

    Attributes:
        name: a world of hone (cliff, windy, gambler, ...) or a Gymnasium toy-text id (FrozenLake-v1,
            Taxi-v4).
        gamma: discount of the optimal policy that is suggested.
        hints: show the suggestion.
        seed: of the world's chance.
        limit: leave after so many steps.
    """

    name: Annotated[str, tyro.conf.Positional]
    gamma: float = 0.99
    hints: bool = True
    seed: int = 0
    limit: int = 1_000


class Game(Protocol):
    """Something that is played in turns; a table-top face of an environment.

    Attributes:
        over: the episode has ended.
        help: one line on the keys.
        keys: an entry is a single key.
        advice: what stands before a suggestion that is shown; "" where :meth:`show` has it.
    """

    over: bool
    help: str
    keys: bool
    advice: str

    def show(self) -> str:
        """What the player sees."""

    def suggestion(self) -> str:
        """What a good player would enter now; "" if nobody knows."""

    def act(self, entered: str) -> str:
        """Take an entry (a key, a word, a line) and say what came of it.

        Raises:
            ValueError: it means nothing here.
        """

    def result(self) -> str:
        """One sentence at the end."""


class WorldGame:
    """A discrete Gymnasium environment, with the optimal policy of its model."""

    advice = "the optimum would go"

    def __init__(self, name: str, gamma: float, seed: int) -> None:
        from hone.tabular.outcomes import mdp_of
        from hone.tabular.planning import modified_policy_iteration

        self.env = make_env(name, "ansi")
        found = modified_policy_iteration(mdp_of(self.env), gamma)
        self.policy_S, self.value_S = found.policy_S, found.value_S
        layout = layout_of(self.env)
        self.moves = layout.order if layout else None
        self.keys = self.moves is not None
        count = int(self.env.action_space.n)  # type: ignore[attr-defined]
        names = getattr(self.env.unwrapped, "action_names", None) or tuple(str(k) for k in range(count))
        if self.moves:
            names = tuple(("up", "right", "down", "left")[self.moves.index(k)] for k in range(count))
        self.names: tuple[str, ...] = tuple(names)
        self.help = "w a s d or arrows move" if self.moves else f"0 to {count - 1} acts, then Enter"
        state, _ = self.env.reset(seed=seed)
        self.state, self.total, self.steps, self.over = int(state), 0.0, 0, False

    def show(self) -> str:
        """The world as text."""
        picture = self.env.render()
        return f"{picture}state {self.state}, return {self.total:g} after {self.steps} steps"

    def suggestion(self) -> str:
        """The optimal action's name."""
        return self.names[int(self.policy_S[self.state])]

    def act(self, entered: str) -> str:
        """Step the environment."""
        action = self._action(entered)
        state, reward, terminated, truncated, _ = self.env.step(action)
        self.state, self.total, self.steps = int(state), self.total + float(reward), self.steps + 1
        self.over = bool(terminated or truncated)
        return f"{self.names[action]}: reward {float(reward):g}"

    def result(self) -> str:
        """Return and length."""
        ended = "ended" if self.over else "left"
        return f"{ended} after {self.steps} steps with return {self.total:g}"

    def _action(self, entered: str) -> int:
        if self.moves and entered in KEYS:
            return self.moves[KEYS[entered]]
        if entered in self.names:
            return self.names.index(entered)
        if entered.isdecimal() and int(entered) < len(self.names):
            return int(entered)
        raise ValueError(f'"{entered}" means nothing here: {self.help}, Enter takes the suggestion, q leaves')


def run(argv: list[str]) -> None:
    """Play until the episode ends or the player leaves; entries may be piped in, as words or lines."""
    if argv and argv[0] in _tasks():
        _play_task(argv)
        return
    args = tyro.cli(Args, args=argv, prog="hone play", description=_about())
    play(WorldGame(args.name, args.gamma, args.seed), args.hints, args.limit)


def play(game: Game, hints: bool, limit: int, entries: Iterator[str] | None = None) -> None:
    """The loop: show, ask, act; ends with one line.

    Args:
        game: what is played.
        hints: show suggestions.
        limit: leave after so many entries.
        entries: instead of the terminal's.
    """
    entries = entries or (_keys() if game.keys and sys.stdin.isatty() else _words())
    print(f"{game.help}; Enter takes the suggestion, q leaves\n")
    for _ in range(limit):
        hint = game.suggestion() if hints else ""
        print(game.show() + (f"; {game.advice} {hint}" if hint and game.advice else ""), flush=True)
        entered = next(entries, "q")
        if entered in QUIT:
            break
        try:
            print(game.act(entered or game.suggestion()) + "\n")
        except ValueError as error:
            print(f"{error}\n")
        if game.over:
            print(game.show())
            break
    print(game.result())


def _tasks() -> list[str]:
    """Tasks of acting agents, by their names."""
    from hone.core.resolve import names, resolve
    from hone.envs.acting.task import ActingTask

    found = {name: resolve(name, TASKS, "task") for name in names(TASKS)}
    return [name for name, task in found.items() if isinstance(task, type) and issubclass(task, ActingTask)]


def _about() -> str:
    told = (Args.__doc__ or "").partition("Attributes:")[0].strip()
    return f"{told} Also {', '.join(_tasks())}: hone play NAME --help says what these take."


def _play_task(argv: list[str]) -> None:
    """A person plays, or watches."""
    from hone.cli._agents import BASELINES, game_of
    from hone.core.config import document
    from hone.core.errors import HoneError
    from hone.core.resolve import resolve

    (name, *more), settings, given = split_flags(argv, frozenset({"help", "watch", "no_hints"}))
    if more:
        raise HoneError("hone play takes one name", got=" ".join((name, *more)))
    if "help" in given:
        agents = ", ".join(BASELINES.get(name, ())) or "none for this task"
        keys = [
            ("agent", "", f"who advises: {agents}"),
            ("model", "", "a model directory that advises instead; --sampling.KEY says how its thoughts are drawn"),
            ("watch", "", "the adviser plays"),
            ("pause", "0.0", "seconds between its actions"),
            ("no-hints", "", "do not show its probabilities"),
            ("episode", "0", "of the test split"),
            ("seed", "0", "of luck"),
            ("limit", "1000", "leave after so many entries"),
            *document(resolve(name, TASKS, "task"), "task."),
        ]
        print(help_table(f"usage: hone play {name} [--agent NAME | --model DIR] [--watch] [--task.KEY VALUE]", keys))
        return
    seed, episode, limit = (
        _integer(settings, key, value) for key, value in (("seed", 0), ("episode", 0), ("limit", 1000))
    )
    pause = float(settings.pop("pause", "0"))
    hints = "no_hints" not in given
    game = game_of(name, settings, hints, seed, episode)
    if "watch" in given and game.adviser is None:
        raise HoneError("there is nobody to watch", do="give --model DIR")
    play(game, hints, limit, _watched(pause) if "watch" in given else None)


def _integer(settings: dict[str, str], key: str, default: int) -> int:
    from hone.core.errors import HoneError

    text = settings.pop(key, str(default))
    if not text.isdecimal():
        raise HoneError("a setting has the wrong value", where=f"--{key}", got=text, expected="an integer from 0")
    return int(text)


def _watched(pause: float) -> Iterator[str]:
    """Enter, again and again."""
    import time

    while True:
        time.sleep(pause)
        yield ""


def _words() -> Iterator[str]:
    """Entries from lines: each word is one, an empty line is Enter."""
    for line in sys.stdin:
        yield from line.split() or [""]


def _keys() -> Iterator[str]:
    """Single key presses of a terminal."""
    try:
        import termios
        import tty
    except ImportError:  # not on this system: lines do
        yield from _words()
        return
    terminal = sys.stdin.fileno()
    before: list[Any] = termios.tcgetattr(terminal)
    while True:
        tty.setcbreak(terminal)
        try:
            key = sys.stdin.read(1)
            if key == "\x1b":
                key += sys.stdin.read(2)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        if not key:
            return
        yield "" if key in "\r\n" else key
