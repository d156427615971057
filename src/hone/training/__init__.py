"""The loops, the optimiser step, the run directory."""
