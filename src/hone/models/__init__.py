"""Policies: loading, tiny ones from scratch, tokenizers, adapters, heads, chat rendering, scoring."""
