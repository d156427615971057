"""The nouns: types, batches, terms, configuration, errors, seeding."""
