"""Floor 3, engines: tokens in, tokens and log-probabilities out."""
