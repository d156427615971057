"""One algorithm per file: a frozen dataclass that says what deserves credit and what the loss is."""
