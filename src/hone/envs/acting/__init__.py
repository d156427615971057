"""Numeric environments as text, for language models that act: what is shown, how an action is read, what helps."""
