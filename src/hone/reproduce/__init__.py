"""Experiments with numbers beside their targets."""
