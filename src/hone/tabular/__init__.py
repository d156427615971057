"""Agents and planners in tables: bandits, dynamic programming, temporal differences, Dyna."""
