"""One thread per test process: tests run beside each other, and threads that wait for a busy core only spin."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = ["desk", "databases"]
