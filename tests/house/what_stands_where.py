"""House rules: the rooms, the five files of a vendor, and names of files."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.house.tree import Tree, modules, rule, vendors

TOP_LEVEL = {
    *("pyproject.toml", "requirements.lock", "Makefile", "README.md"),
    *("protos", "gateway", "adapters", "tests", "deploy"),
}
VENDOR_FILES = {"adapter.py", "translate.py", "wire.py", "sandbox.py", "README.md"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


@rule
def top_level_is_swept(tree: Tree) -> Iterator[str]:
    """Only the rooms, the files that name the project, and dotfiles."""
    first = {path.split("/")[0] for path in tree}
    yield from (f"{name} does not belong at the top" for name in sorted(first - TOP_LEVEL) if name[0] != ".")


@rule
def vendors_have_the_same_five_files(tree: Tree) -> Iterator[str]:
    """Nothing is missing, and nothing is added."""
    for vendor in sorted(vendors(tree)):
        there = {path.removeprefix(f"adapters/{vendor}/") for path in tree if path.startswith(f"adapters/{vendor}/")}
        yield from (f"adapters/{vendor} lacks {name}" for name in sorted(VENDOR_FILES - there))
        yield from (f"adapters/{vendor} has {name} too" for name in sorted(there - VENDOR_FILES - {"__init__.py"}))


@rule
def services_stand_beside_their_protos(tree: Tree) -> Iterator[str]:
    """One file in gateway/services for each .proto file with a service, of the same stem."""
    python = {PurePosixPath(path).stem for path in tree if re.fullmatch(r"gateway/services/[a-z]\w*\.py", path)}
    protos = {
        PurePosixPath(path).stem
        for path, text in tree.items()
        if path.startswith("protos/audiencegateway/") and re.search(r"^service ", text, re.MULTILINE)
    }
    if python:  # a tree without services has nothing to compare
        yield from (f"gateway/services/{stem}.py or its service is missing" for stem in sorted(python ^ protos))


@rule
def modules_have_telling_names(tree: Tree) -> Iterator[str]:
    """No utils, no helpers."""
    for path, _ in modules(tree, ""):
        if set(re.split(r"[/_]", path.removesuffix(".py"))) & NAMES_THAT_SAY_NOTHING:
            yield f"{path} has a name that says nothing"
