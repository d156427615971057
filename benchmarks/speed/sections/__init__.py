"""What is measured: one file per section, found by its name.

Each has ``TITLE``, ``PEERS`` (the labels that ratios are taken against) and ``cases(plan)``, or where turns are not
all there is to it ``run(plan, say)``, which returns what :func:`benchmarks.speed.harness.run_case` does, as a list.
``ALONE = True`` says that nobody but hone is measured.
"""
