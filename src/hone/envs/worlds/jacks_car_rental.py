"""Jack's car rental (Sutton and Barto, example 4.2), with exact Poisson demand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from hone.envs.worlds.base import Cell, World

CAPACITY = 20
MOST_MOVED = 5
RENT, MOVE_COST = 10.0, 2.0
REQUESTS, RETURNS = (3.0, 4.0), (3.0, 2.0)


class JacksCarRental(World):
    """Two lots of up to 20 cars; overnight up to 5 cars are moved at 2 each, by day each rental pays 10.

    The state is ``21·first + second``, cars in the evening; action k moves k − 5 cars from the first lot to
    the second (fewer where there are fewer; beyond the capacity cars leave the business). By day Poisson(3)
    and (4) requests are served from the cars that are there; Poisson(3) and (2) cars come back and can be
    rented the NEXT day. Demand is cut by the capacity only, not at some number of requests. It never ends.

    Attributes:
        transition_SAS: [S, A, S] probabilities.
        reward_SA: [S, A] expected rewards.
        allowed_SA: [S, A] the moves for which there are cars.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        size = CAPACITY + 1
        super().__init__(size * size, 2 * MOST_MOVED + 1, render_mode)
        self.action_names = tuple(f"move {k}" for k in range(-MOST_MOVED, MOST_MOVED + 1))
        self.initial_state_distrib = np.zeros(size * size)
        self.initial_state_distrib[size * 10 + 10] = 1.0
        lots = [_lot(request, back) for request, back in zip(REQUESTS, RETURNS, strict=True)]
        first, second = np.divmod(np.arange(size * size), size)
        moved_SA = np.clip(np.arange(-MOST_MOVED, MOST_MOVED + 1), -second[:, None], first[:, None])
        self.allowed_SA = moved_SA == np.arange(-MOST_MOVED, MOST_MOVED + 1)
        morning = [
            np.minimum(first[:, None] - moved_SA, CAPACITY),
            np.minimum(second[:, None] + moved_SA, CAPACITY),
        ]
        self.reward_SA = -MOVE_COST * np.abs(moved_SA) + sum(
            RENT * rented[cars] for (_, rented), cars in zip(lots, morning, strict=True)
        )
        by_lot = [evening[cars] for (evening, _), cars in zip(lots, morning, strict=True)]
        joint = by_lot[0][..., :, None] * by_lot[1][..., None, :]
        self.transition_SAS = joint.reshape(size * size, 2 * MOST_MOVED + 1, size * size)

    def advance(self, state: int, action: int) -> tuple[int, float, bool]:
        """One night and one day."""
        cars = list(divmod(state, CAPACITY + 1))
        moved = int(np.clip(action - MOST_MOVED, -cars[1], cars[0]))
        reward = -MOVE_COST * abs(moved)
        for lot, change in enumerate((-moved, moved)):
            available = min(cars[lot] + change, CAPACITY)
            rented = min(available, int(self.np_random.poisson(REQUESTS[lot])))
            reward += RENT * rented
            cars[lot] = min(available - rented + int(self.np_random.poisson(RETURNS[lot])), CAPACITY)
        return cars[0] * (CAPACITY + 1) + cars[1], reward, False

    def picture(self) -> tuple[list[str], Cell | None]:
        """Two rows of parking places, the taken ones filled."""
        cars = divmod(self.state, CAPACITY + 1)
        lots = ["*" * n + "." * (CAPACITY - n) for n in cars]
        return [lots[0], " " * CAPACITY, lots[1]], None


def _lot(requests: float, returns: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By cars in the morning: [21, 21] distribution of cars in the evening, and [21] expected rentals."""
    size = CAPACITY + 1
    count = np.arange(size)
    evening, rented = np.zeros((size, size)), np.zeros(size)
    for cars in range(size):
        served = poisson.pmf(count[: cars + 1], requests)
        served[cars] = poisson.sf(cars - 1, requests)
        rented[cars] = served @ count[: cars + 1]
        for number, probability in enumerate(served):
            left = cars - number
            back = poisson.pmf(count[: size - left], returns)
            back[-1] = poisson.sf(CAPACITY - left - 1, returns)
            evening[cars, left:] += probability * back
    return evening, rented
