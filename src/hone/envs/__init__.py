"""Environments with a text face."""
