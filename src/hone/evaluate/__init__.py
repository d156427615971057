"""How good a policy is: estimates with intervals, from trajectories or run files."""
