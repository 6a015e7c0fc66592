"""House rules: what every file says of itself, and what none may say."""

import ast
import re
from collections.abc import Iterator
from itertools import takewhile

from tests.house.tree import Tree, imports, modules, rule

CARD = re.compile(
    r"\S.*\n\nDocs: +https?://.+ \(read \d{4}-\d\d-\d\d\)(?s:.*)^Auth: +\S(?s:.*)^Paging: +\S(?s:.*)^Limits: +\S",
    re.MULTILINE,
)


@rule
def modules_say_what_they_are(tree: Tree) -> Iterator[str]:
    """Every module has a docstring."""
    yield from (f"{path} has no docstring" for path, module in modules(tree, "") if not ast.get_docstring(module))


@rule
def public_things_are_documented(tree: Tree) -> Iterator[str]:
    """Every public function and class of gateway and adapters has a docstring."""
    for path, module in modules(tree, "gateway/", "adapters/"):
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not (
                node.name.startswith("_") or ast.get_docstring(node)
            ):
                yield f"{path}:{node.lineno} {node.name} has no docstring"


@rule
def adapters_carry_their_card(tree: Tree) -> Iterator[str]:
    """An adapter's docstring: a title, then Docs with an address and the day it was read, Auth, Paging, Limits."""
    for path, module in modules(tree, "adapters/"):
        if path.endswith("/adapter.py") and not CARD.match(ast.get_docstring(module) or ""):
            yield f"{path} has no card (Docs, Auth, Paging, Limits)"


@rule
def state_tables_name_their_source(tree: Tree) -> Iterator[str]:
    """Above a vendor's table of states stands the address it was taken from."""
    for path, module in modules(tree, "adapters/"):
        lines = tree[path].splitlines()
        for node in module.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            named = any(isinstance(target, ast.Name) and target.id.endswith("_STATES") for target in targets)
            if not named or not re.match(r"adapters/\w+/", path):
                continue
            above = "".join(takewhile(lambda line: line.startswith("#"), reversed(lines[: node.lineno - 1])))
            if "https://" not in above:
                yield f"{path}:{node.lineno} a table of states without its source above"


@rule
def makefile_documents_its_verbs(tree: Tree) -> Iterator[str]:
    """Every verb has its `##` line and is phony."""
    text = tree.get("Makefile", "")
    phony = set(" ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)).split())
    for verb, rest in re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", text, re.MULTILINE):
        if " ## " not in rest:
            yield f"Makefile: {verb} is not documented"
        if verb not in phony:
            yield f"Makefile: {verb} is not phony"


# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = ["/" + root + "/" for root in ("work", "root", "farm")]
REGISTRY_HOSTS = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian", "proxy." + "golang"]
PATCHES_AIOHTTP = re.compile(r"(^|\.)(setattr|patch|object)\(['\"]?aiohttp\b")
OUTERMOST = "gateway/interceptors/catch_all.py"


@rule
def no_file_names_a_host_or_a_machine(tree: Tree) -> Iterator[str]:
    """Neither a package registry's host nor a path of somebody's machine."""
    for path, text in tree.items():
        yield from (f"{path} says {mark}" for mark in MACHINE_PATHS + REGISTRY_HOSTS if mark in text)


@rule
def nothing_catches_everything(tree: Tree) -> Iterator[str]:
    """Only the outermost interceptor does, in one place."""
    for path, module in modules(tree, ""):
        broad = []
        for node in ast.walk(module):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "BaseException"
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                caught = " ".join(map(ast.unparse, node.args))
            else:
                continue
            if re.search(r"(?<![\w.])(builtins\.)?(Base)?Exception\b", caught):
                broad.append(node.lineno)
        yield from (f"{path}:{line} catches everything" for line in (broad[1:] if path == OUTERMOST else broad))


@rule
def tests_do_not_sleep(tree: Tree) -> Iterator[str]:
    """Clocks are injected; `asyncio.sleep(0)` only lets others run. The bench and the kill test have real processes."""
    for path, module in modules(tree, "tests/"):
        if re.match(r"tests/(bench|chaos)/(?!test_)", path):
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and re.search(r"\bsleep\((?!0\))", ast.unparse(node)):
                yield f"{path}:{node.lineno} sleeps"


@rule
def tests_leave_aiohttp_as_it_is(tree: Tree) -> Iterator[str]:
    """Requests go over loopback to a simulator; neither aiohttp nor anything in it is patched."""
    for path, module in modules(tree, "tests/"):
        yield from (f"{path}:{line} imports {name}" for line, name in imports(path, module) if "aioresponses" in name)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and PATCHES_AIOHTTP.search(ast.unparse(node)):
                yield f"{path}:{node.lineno} patches aiohttp"


@rule
def tests_assert(tree: Tree) -> Iterator[str]:
    """A test that can't fail is none: it asserts, or calls a function of its module that does."""
    for path, module in modules(tree, "tests/"):
        functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        asserting = {node.name for node in functions if re.search(r"\bassert|raises\b", ast.unparse(node))}
        for node in functions:
            called = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            if node.name.startswith("test_") and not asserting & {node.name, *called}:
                yield f"{path}:{node.lineno} {node.name} asserts nothing"
