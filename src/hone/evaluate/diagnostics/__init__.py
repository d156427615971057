"""What ails an agent: one diagnostic per file, found by its name."""
