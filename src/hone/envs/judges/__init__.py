"""Who compares answers where people do not: one judge per file."""
