"""A worker process: ``python -m benchmarks.speed.worker JOB`` with the job's settings as JSON on the first line.

JOB is the name of a module of :mod:`benchmarks.speed.jobs`, whose ``run(channel, **settings)`` sets up, then passes
the channel's gate before every piece of work.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

from benchmarks.speed.channel import Channel, Stopped, private_output


def main() -> None:
    channel = Channel(sys.stdin, private_output())
    settings = json.loads(sys.stdin.readline())
    try:
        importlib.import_module(f"benchmarks.speed.jobs.{sys.argv[1]}").run(channel, **settings)
        channel.fail("the job ended by itself")
    except Stopped:
        pass
    except Exception as error:
        traceback.print_exc()
        channel.fail(f"{type(error).__name__}: {error}")
    sys.stderr.flush()
    os._exit(0)  # trainers leave threads behind; nobody waits for them


if __name__ == "__main__":
    main()
