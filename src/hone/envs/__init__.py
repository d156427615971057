"""Environments with a text face, and the classical worlds.

Importing this package, or any module of it, registers the worlds: ``gymnasium.make("hone/Cliff-v0")``.
"""

from hone.envs import worlds as worlds
