"""House rules: an exception to a tool has a reason, and a dependency its pin."""

import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from itertools import chain

from tests.house.tree import Tree, modules, rule

WITH_REASON = [
    ("noqa", re.compile(r"noqa: [A-Z]+\d+\b(, ?[A-Z]+\d+\b)*\W+(?![A-Z]+\d+\b)\w..")),
    ("type: ignore", re.compile(r"type: ignore\[[a-z, -]+\]\s+# \S+")),
    ("pragma: no cover", re.compile(r"pragma: no cover\W+\w..")),
]
IGNORES = re.compile(r'\s+"([A-Z]+\d*"|ignore)|(ignore|"[^"]+") = \["|filterwarnings = .*"ignore|(extend-)?exclude = ')


@rule
def exceptions_to_a_tool_have_a_reason(tree: Tree) -> Iterator[str]:
    """In the code and in pyproject.toml: a code, and why."""
    for path, _ in modules(tree, ""):
        for token in tokenize.generate_tokens(io.StringIO(tree[path]).readline):
            for mark, pattern in WITH_REASON:
                if token.type == tokenize.COMMENT and mark in token.string and not pattern.search(token.string):
                    yield f"{path}:{token.start[0]} {mark} without a code and a reason"
    section, above = "", ""
    for number, line in enumerate(tree.get("pyproject.toml", "").splitlines(), 1):
        section = line.strip("[]") if line.startswith("[") else section
        tool = section.startswith(("tool.ruff", "tool.mypy", "tool.pytest", "tool.coverage"))
        if tool and IGNORES.match(line) and "# " not in line:
            yield f"pyproject.toml:{number} ignores without a reason"
        if re.match(r"ignore_\w+ = true|follow_imports = ", line) and "#" not in above + line:
            yield f"pyproject.toml:{number} ignores without a reason"
        above = "" if line.startswith("[") else above + line


@rule
def lock_is_whole_and_names_no_place(tree: Tree) -> Iterator[str]:
    """Every dependency is pinned with hashes; no host, no path, no option."""
    project = tomllib.loads(tree.get("pyproject.toml", "")).get("project", {})
    lock = tree.get("requirements.lock", "")
    pins = dict(re.findall(r"^([\w-]+)==.*((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)*)", lock, re.MULTILINE))
    wanted = chain(project.get("dependencies", []), *project.get("optional-dependencies", {}).values())
    for name in sorted({re.split(r"[^\w-]", want)[0].lower() for want in wanted} - pins.keys()):
        yield f"requirements.lock lacks {name}: make lock"
    yield from (f"requirements.lock: {name} has no hash" for name, hashes in pins.items() if not hashes)
    for number, line in enumerate(lock.splitlines(), 1):
        if re.search(r"://|@ |file:|^-", line):
            yield f"requirements.lock:{number} names a place"
