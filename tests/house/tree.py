"""What the rules of the house look at: a tree `{path: text}`, so that they can be shown a planted violation too."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache

Tree = dict[str, str]
Rule = Callable[[Tree], Iterator[str]]

RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Enter a rule in `RULES`: a function that yields one line for each violation."""
    RULES.append(function)
    return function


@cache
def parsed(text: str) -> ast.Module:
    """Parse one module."""
    return ast.parse(text)


def modules(tree: Tree, *rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the hand-written modules under the given rooms."""
    for path, text in tree.items():
        if path.endswith(".py") and path.startswith(rooms) and not path.startswith("protos/gen/"):
            yield path, parsed(text)


def vendors(tree: Tree) -> set[str]:
    """Return the vendors: the folders of adapters/ that hold an adapter.py."""
    return {path.split("/")[1] for path in tree if re.fullmatch(r"adapters/\w+/adapter\.py", path)}


def words(text: str) -> set[str]:
    """Return the words of a text in lower case, those inside of snake_case and CamelCase too."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}


def imports(path: str, module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each imported name in full, with its line: `from adapters import errors` is `adapters.errors`."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
