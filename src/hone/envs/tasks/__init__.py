"""Tasks: one frozen dataclass per file, found by its name (``addition`` is :class:`addition.Addition`)."""
