"""Bandit agents, each over thousands of runs at once."""

from hone.tabular.bandits.base import Agent, Estimates, Player
from hone.tabular.bandits.greedy import EpsilonGreedy, Greedy, Optimistic, Random, Sweep
from hone.tabular.bandits.knowing import Knowing
from hone.tabular.bandits.linucb import LinUCB, WithoutContext
from hone.tabular.bandits.play import History, play, play_contextual
from hone.tabular.bandits.softmax import Boltzmann, GradientBandit
from hone.tabular.bandits.thompson import ThompsonBeta, ThompsonGaussian
from hone.tabular.bandits.ucb import UCB

__all__ = [
    "UCB",
    "Agent",
    "Boltzmann",
    "EpsilonGreedy",
    "Estimates",
    "GradientBandit",
    "Greedy",
    "History",
    "Knowing",
    "LinUCB",
    "Optimistic",
    "Player",
    "Random",
    "Sweep",
    "ThompsonBeta",
    "ThompsonGaussian",
    "WithoutContext",
    "play",
    "play_contextual",
]
