"""The local web page: labelling, the arena, the runs."""
