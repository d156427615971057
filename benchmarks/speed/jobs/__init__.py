"""What the workers do: one file per kind of work and side. Those for the peers import nothing of hone."""
