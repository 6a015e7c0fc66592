"""Lays out a new vendor: its five files, its line in the registry, and tests that say what to write next.

`make vendor NAME=acme`, or `python -m tests.skeleton acme`. The files are in `files/`, for a vendor called Acme.
"""

import keyword
import re
import subprocess
import sys
from pathlib import Path

from adapters import registry
from tests.house.tree import words
from tests.house.what_stands_where import NAMES_THAT_SAY_NOTHING

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"
REGISTRY = "adapters/registry.py"
NAME = re.compile(r"[a-z][a-z0-9]{1,19}")


class Refused(Exception):
    """The vendor can't be called so."""


def check(name: str, root: Path) -> None:
    """Raise where a vendor can't have that id."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in NAMES_THAT_SAY_NOTHING:
        raise Refused(
            f"{name!r} is no id: lower-case letters and digits, from 2 to 20, a letter first; no word of Python's"
        )
    taken = [
        path for path in (f"adapters/{name}", f"adapters/{name}.py", f"tests/vendors/{name}") if (root / path).exists()
    ]
    if taken or name in registry.adapters():
        raise Refused(f"{name!r} is taken: {', '.join(taken) or 'an installed package brings it'}")
    # The rule that gateway/ names no vendor could not tell it from an ordinary word.
    said = [file for file in sorted((root / "gateway").rglob("*.py")) if name in words(file.read_text())]
    if said:
        raise Refused(f"{name!r} is a word that gateway/ uses: {said[0].relative_to(root)}")


def lay_out(name: str, root: Path) -> list[str]:
    """Write the files; return their paths."""
    made = []
    for template in sorted(file for file in FILES.rglob("*") if file.suffix in {".py", ".md"}):
        path = str(template.relative_to(FILES)).replace("acme", name)
        text = template.read_text().replace("acme", name).replace("Acme", name.capitalize())
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        made.append(path)
    file = root / REGISTRY
    line = f'    "{name}": "adapters.{name}.adapter:{name.capitalize()}Adapter",\n'
    before, brace, after = file.read_text().partition("BUILT_IN = {")
    inside, end, rest = after.partition("\n}")
    file.write_text(f"{before}{brace}{inside}\n{line}{end[1:]}{rest}")
    # Names are of any length, and stand where the alphabet puts them.
    python = [str(root / path) for path in made if path.endswith(".py")]
    for command in (["check", "--select", "I", "--fix-only"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", *python], cwd=root, check=True)
    return [*made, REGISTRY]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Return the exit code."""
    try:
        (name,) = arguments or [""]
        check(name, root)
    except (Refused, ValueError) as error:
        sys.stderr.write(f"vendor: {error}\n")
        return 1
    for path in lay_out(name, root):
        sys.stdout.write(f"vendor: {path}\n")
    sys.stdout.write(
        f"vendor: now adapters/README.md, step by step: make test ARGS='-x tests/vendors/{name}' says the next\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
