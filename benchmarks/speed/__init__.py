"""hone's speed beside that of transformers and TRL: ``python -m benchmarks.speed [SECTION ...]``."""
