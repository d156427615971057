"""What the next state is worth: the one line in which the classical methods differ, one per file."""
