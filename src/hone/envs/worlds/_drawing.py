"""Small pictures of worlds made of cells, in plain numpy: no window, no font, no plotting library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLOURS = {
    ".": (246, 244, 238),
    "#": (64, 71, 84),
    "S": (206, 224, 243),
    "G": (126, 196, 140),
    "C": (226, 139, 118),
    "A": (247, 214, 138),
    "B": (247, 231, 186),
    "a": (252, 240, 210),
    "b": (252, 245, 228),
    "*": (91, 143, 199),
    " ": (255, 255, 255),
}
"""Red, green, blue of each kind of cell; ``*`` is a unit of something counted, a blank is nothing."""
_AGENT = (238, 146, 42)
_LINE = (214, 210, 200)
_SIDE = 48
_SCALE = 3


def draw(kinds: Sequence[str], agent: tuple[int, int] | None, side: int = _SIDE) -> NDArray[np.uint8]:
    """[rows·side, columns·side, 3] bytes: coloured cells, thin lines between them, a disc for the agent.

    Drawn three times as large and averaged, so that edges are smooth.
    """
    large = side * _SCALE
    colour = np.array([[COLOURS[kind] for kind in row] for row in kinds], dtype=np.float32)
    image = colour.repeat(large, axis=0).repeat(large, axis=1)
    for axis in (0, 1):
        edges = np.arange(0, image.shape[axis], large)
        for shift in (0, 1, 2):
            index = np.minimum(edges + shift, image.shape[axis] - 1)
            image[(index, slice(None)) if axis == 0 else (slice(None), index)] = _LINE
    blank = np.array([[kind == " " for kind in row] for row in kinds]).repeat(large, axis=0).repeat(large, axis=1)
    image[blank] = COLOURS[" "]
    if agent is not None:
        y, x = np.mgrid[:large, :large] - (large - 1) / 2
        cell = image[agent[0] * large : (agent[0] + 1) * large, agent[1] * large : (agent[1] + 1) * large]
        cell[x**2 + y**2 < (0.32 * large) ** 2] = _AGENT
        cell[(x**2 + y**2 < (0.32 * large) ** 2) & (x**2 + y**2 > (0.27 * large) ** 2)] = (178, 98, 14)
    rows, columns = image.shape[0] // _SCALE, image.shape[1] // _SCALE
    averaged = image.reshape(rows, _SCALE, columns, _SCALE, 3).mean(axis=(1, 3))
    return np.asarray(averaged.round(), dtype=np.uint8)
