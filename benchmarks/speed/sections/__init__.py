"""What is measured: one file per section, found by its name; each has ``TITLE``, ``PEERS`` and ``cases(plan)``."""
