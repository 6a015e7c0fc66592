"""The guide to adding a vendor names what is there, and says of each built-in vendor what is done."""

import re
from pathlib import Path

from adapters import registry

ADAPTERS = Path(registry.__file__).parent
GUIDE = (ADAPTERS / "README.md").read_text()


def cells(title: str) -> list[list[str]]:
    """Return the rows of the tables below a title, heads included."""
    section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [row for row in rows if not row[0].startswith("---")]


def test_every_shared_module_has_its_line() -> None:
    named = [name for row in cells("What lives where") for name in re.findall(r"`(\w+\.py)`", row[0])]
    vendors = {"sandbox.py", "wire.py", "translate.py", "adapter.py"}

    assert vendors <= set(named)
    assert {file.name for file in ADAPTERS.glob("*.py")} - {"__init__.py"} == set(named) - vendors | {"sandbox.py"}


def test_every_built_in_vendor_has_its_column() -> None:
    head, *rows = cells("The checklist")

    assert registry.BUILT_IN.keys() <= {title.lower() for title in head}
    assert {len(row) for row in rows} == {len(head) + 1}
    assert all(re.match("✓|○|\u2013 \\w", cell) for row in rows for cell in row[1:])
