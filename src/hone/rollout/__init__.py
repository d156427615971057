"""Environment × engine → trajectories → batch."""
