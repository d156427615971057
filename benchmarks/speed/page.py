"""docs/speed.md from the results: tables between markers, nothing typed by hand; and the picture.

python -m benchmarks.speed.page        writes them again from benchmarks/results/speed.json
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import BENCHMARKS, ROOT
from benchmarks.speed.tables import markdown, table

PUBLISHED = BENCHMARKS / "results" / "speed.json"
PAGE = ROOT / "docs" / "speed.md"
PICTURE = ROOT / "docs" / "pictures" / "speed.png"


def main() -> None:
    publish(json.loads(PUBLISHED.read_text()))


def publish(result: Mapping[str, Any]) -> None:
    """Write every section's table into the page, and the picture beside it."""
    from benchmarks.speed.picture import draw

    sections = result["sections"]
    PAGE.write_text(fill(PAGE.read_text(), {name: _block(section) for name, section in sections.items()}))
    draw(sections, PICTURE)
    print(f"{_short(PAGE)}, {_short(PICTURE)}: written")


def fill(page: str, blocks: Mapping[str, str]) -> str:
    """Replace what stands between ``<!-- speed:NAME -->`` and ``<!-- end -->``; other markers stay as they are.

    Raises:
        ValueError: the page has no marker for a block.
    """
    for name, block in blocks.items():
        pattern = rf"(<!-- speed:{re.escape(name)} -->\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, lambda m, text=block: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} places for speed:{name}, expected one")
    return page


def _block(section: Mapping[str, Any]) -> str:
    return f"{about(section)}\n\n{markdown(table(section, section['clock']))}"


def about(section: Mapping[str, Any]) -> str:
    """What it was measured on, in one paragraph."""
    machine = section["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    beside = f" beside {peers}" if peers else ""
    threads = section["threads"]
    marks = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB",
        f"{threads} thread{'s' if threads > 1 else ''} unless a row says otherwise",
        f"{'processor' if section['clock'] == 'cpu' else 'wall-clock'} time",
        f"hone {machine['commit']}{' with changes' if machine['changed'] else ''} ({versions}){beside}",
        f"{machine['date']}, load {machine['load']:.1f} at the start",
    ]
    if section["quick"]:
        marks.append("the quick version")
    return "; ".join(marks) + "."


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
