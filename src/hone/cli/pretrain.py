"""Pretrain a tiny language model from scratch on text, JSONL or a generated corpus.

usage: hone pretrain [RECIPE.toml] [--resume] [--section.key VALUE ...]

for example   hone pretrain --data.source corpus.txt --data.train-on all --run.out runs/base
or            hone pretrain --data.task.name addition --run.steps 1500
"""

from __future__ import annotations

from hone.cli._recipes import fit_command


def run(argv: list[str]) -> None:
    """Build the recipe, pretrain, write the report."""
    fit_command("pretrain", __doc__ or "", argv)
