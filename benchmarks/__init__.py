"""Measurements that are no tests: speed beside other libraries, bandits, planning and learning in tables."""
