"""House rules: protos ← adapters ← gateway ← tests, and no vendor's name where it does not belong."""

import ast
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from tests.house.tree import Tree, imports, modules, parsed, rule, vendors, words


class Row(NamedTuple):
    """One row of the table 'Who may import whom'. The first row whose path matches a module holds for it."""

    path: str
    may: str  # beside the standard library; {v} is the module's vendor, {shared} what vendors share
    never: str = "$."


PB2 = r"audiencegateway\.v1\.\w+_pb2|google\.protobuf"
PB2_OF_A_SERVER = r"audiencegateway\.v1\.\w+_pb2(_grpc)?"
FOREIGN = r"(?!(adapters|gateway|tests|audiencegateway)\b)\w+"
PURE = "members|names|errors|secrets|states|wellknown"  # shared modules without I/O
SHARED = r"adapters\.({shared})"
GATEWAY = rf"gateway|{PB2_OF_A_SERVER}|{FOREIGN}|adapters\.(base|calls|errors|keys|names)"
CONFIGURED = "registry|http|policy|rates|shared_rates|transport|secrets"

IMPORT_TABLE = [
    Row(r"protos/gen/.*", r"google|grpc|audiencegateway"),
    Row(r"adapters/\w+/wire\.py", r"msgspec"),
    Row(r"adapters/(?P<v>\w+)/translate\.py", rf"adapters\.({{v}}\.wire|{PURE})|msgspec|{PB2}", r"asyncio|http"),
    Row(r"adapters/(?P<v>\w+)/adapter\.py", rf"adapters\.{{v}}\.(wire|translate)|{SHARED}|msgspec|{PB2}"),
    # An independent witness, written from the vendor's documentation: what it shares with the adapter proves nothing.
    Row(r"adapters/\w+/sandbox\.py", r"aiohttp\.web|adapters\.sandbox"),
    Row(r"adapters/\w+/.*", "$."),
    Row(r"adapters/sandbox\w*\.py", rf"adapters\.sandbox\w*|{FOREIGN}", r"grpc\w*|google"),
    Row(r"adapters/registry\.py", r"adapters"),
    Row(r"adapters/\w+\.py", rf"{SHARED}|{PB2}|{FOREIGN}", r"grpc\w*"),
    Row(r"gateway/(__main__|sandbox)\.py", rf"{GATEWAY}|adapters\.(registry|sandbox)", "aiohttp"),
    Row(r"gateway/(connections|settings|workers)\.py", rf"{GATEWAY}|adapters\.({CONFIGURED})", "aiohttp"),
    # For callers, who have no more than the stubs need.
    Row(r"gateway/client\.py", r"grpc|google\.protobuf"),
    Row(r"gateway/.*", GATEWAY, "aiohttp"),
]


@rule
def imports_go_one_way(tree: Tree) -> Iterator[str]:
    """The table 'Who may import whom'."""
    files = {match[1] for path in tree if (match := re.fullmatch(r"adapters/([a-z]\w*)\.py", path))}
    shared = "|".join(sorted(name for name in files if not name.startswith(("registry", "sandbox"))))
    for path in tree:
        rows = ((row, re.fullmatch(row.path, path)) for row in IMPORT_TABLE if path.endswith(".py"))
        row, match = next(((row, match) for row, match in rows if match), (None, None))
        if row is None or match is None:
            continue
        own = match.groupdict().get("v", "")
        may = re.compile(rf"({row.may.replace('{shared}', shared).replace('{v}', own)})(\.|$)")
        never = re.compile(rf"({row.never})(\.|$)")
        for line, name in imports(path, parsed(tree[path])):
            known = name.split(".")[0] in sys.stdlib_module_names or may.match(name)
            if not known or never.match(name):
                yield f"{path}:{line} may not import {name}"


@rule
def adapters_know_no_grpc(tree: Tree) -> Iterator[str]:
    """Grep for it in adapters finds nothing."""
    for path, text in tree.items():
        if path.startswith("adapters/") and "grpc" in text:
            yield f"{path} says grpc"


@rule
def gateway_knows_no_vendor(tree: Tree) -> Iterator[str]:
    """Grep for a vendor's name in gateway finds nothing, comments and documents included."""
    for path, text in tree.items():
        if path.startswith("gateway/"):
            yield from (f"{path} names {vendor}" for vendor in sorted(vendors(tree) & words(path + "\n" + text)))


@rule
def vendors_are_listed_in_the_registry_alone(tree: Tree) -> Iterator[str]:
    """No other shared module, and no conformance test, holds a vendor's id as a string."""
    for path, module in modules(tree, "adapters/", "tests/conformance/"):
        if path == "adapters/registry.py" or re.match(r"adapters/\w+/", path):
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and node.value in vendors(tree):
                yield f"{path}:{node.lineno} lists {node.value}"


@rule
def nothing_branches_on_a_vendor(tree: Tree) -> Iterator[str]:
    """No `if vendor == "…"` outside the vendor's folder; an assertion may say what a vendor is."""
    for path, module in modules(tree, ""):
        if re.match(r"adapters/\w+/", path):
            continue
        asserted = {id(inner) for node in ast.walk(module) if isinstance(node, ast.Assert) for inner in ast.walk(node)}
        for node in ast.walk(module):
            sides: list[ast.AST] = []
            if isinstance(node, ast.Compare) and id(node) not in asserted:
                sides = [node.left, *node.comparators]
            elif isinstance(node, ast.Match):
                sides = [node.subject, *(case.pattern for case in node.cases)]
            names = {ast.unparse(side).split(".")[-1] for side in sides if isinstance(side, ast.Name | ast.Attribute)}
            literal = any(
                isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value
                for side in sides
                for inner in ast.walk(side)
            )
            if literal and names & {"vendor", "vendor_id", "vendor_name"}:
                yield f"{path}:{getattr(node, 'lineno', 0)} branches on a vendor"
