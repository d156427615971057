"""The greedy share of an agent that never knows is no number, and no check holds for it."""

import math

import matplotlib.pyplot as plt

from hone.evaluate.diagnostics.knowing_doing import DOES, KNOWS
from hone.evaluate.estimates import share
from hone.reproduce import knowing_doing
from hone.reproduce.base import Check


def test_an_agent_that_never_knows_is_reported_and_missed() -> None:
    nothing = {kind: share([]).plain() for kind in DOES}
    given = knowing_doing._given({"given_known": nothing}, "greedy")
    assert math.isnan(given)
    assert not Check("fall", 0.7 - given, 0.1, 0.0, at_least=True).holds
    confusion = {side: dict.fromkeys(DOES, 0.0) for side in KNOWS}
    seed = {name: {"given_known": nothing, "confusion": confusion} for name in knowing_doing.AGENTS}
    assert len(knowing_doing._pictures([seed])) == 5
    plt.close("all")
