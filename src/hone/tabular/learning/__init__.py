"""Learning from experience in tables: one runner, one rule per file, many independent learners at once.

Suffixes: N runs (independent learners), K the runs that take part in a step, S states, A actions.
"""
