"""The rounds loop, and one kind of rounds per file: collect, fit, repeat."""
