"""Graders: one frozen dataclass per file, found by the file's name (``exact`` is :class:`exact.Exact`)."""
