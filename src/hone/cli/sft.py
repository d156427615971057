"""Fine-tune a model on prompts and completions.

usage: hone sft [RECIPE.toml] --model.path DIR --data.source FILE [--resume] [--section.key VALUE ...]

Files may hold the layouts of TRL: a column `text`, `prompt` and `completion`, or `messages`.
"""

from __future__ import annotations

from hone.cli._recipes import fit_command


def run(argv: list[str]) -> None:
    """Build the recipe, fine-tune, write the report."""
    fit_command("sft", __doc__ or "", argv)
