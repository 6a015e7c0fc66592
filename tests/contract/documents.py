"""A vendor's published OpenAPI document: how it is read, and which of its operations a request is for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# What YAML 1.2 takes for more than text. PyYAML is of 1.1, where 1540974701302_96 is a number and 2018-01-01 a date.
PLAIN_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
}


class Yaml(yaml.CSafeLoader):
    """Reads YAML as version 1.2 has it."""


Yaml.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in PLAIN_SCALARS.items():
    # What is left empty begins with nothing.
    Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), [*_first, ""])


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    label: str
    """As in `GET /things/{thing_id}`."""
    shape: re.Pattern[str]
    """What a path is like."""
    definition: Mapping[str, Any]

    def parameters(self, place: str) -> Iterator[Mapping[str, Any]]:
        """Yield those that are documented to be in the *place*: path, query or header."""
        yield from (each for each in self.definition.get("parameters", ()) if each["in"] == place)

    def queries(self) -> Iterator[str]:
        """Yield the documented names in a query, as they are sent."""
        for parameter in self.parameters("query"):
            members = parameter["schema"].get("properties", {}) if parameter.get("style") == "deepObject" else {}
            yield from (f"{parameter['name']}[{member}]" for member in members)
            if not members:
                yield parameter["name"]

    def answers(self) -> set[str]:
        """Return the documented media types of answers that tell of success."""
        good = [answer for code, answer in self.definition["responses"].items() if code.startswith("2")]
        return {media_type for answer in good for media_type in answer.get("content", {})}


class Document:
    """One document, references and all."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree

    @classmethod
    def read(cls, file: Path) -> "Document":
        """Read a file of YAML or JSON."""
        return cls(_named(yaml.load(file.read_bytes(), Yaml)))

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """Every operation, by label; on paths with parameters last, as they match what other paths are, too."""
        found = {}
        for path, item in sorted(self.tree["paths"].items(), key=lambda pair: pair[0].count("{")):
            shape = re.compile("".join(_shape(part) for part in re.split(r"(\{[^}]+\})", path)))
            shared = item.get("parameters", [])
            for method in (each for each in METHODS if each in item):
                parameters = [self.parameter(each) for each in [*item[method].get("parameters", []), *shared]]
                label = f"{method.upper()} {path}"
                found[label] = Operation(label, shape, {**item[method], "parameters": parameters})
        return found

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that a request for the *path*, as it is sent, is for."""
        for operation in self.operations.values():
            if operation.label.startswith(f"{method} ") and operation.shape.fullmatch(path):
                return operation
        return None

    @cached_property
    def servers(self) -> set[str]:
        """Every address that is documented, with all values of its variables."""
        found = set()
        for server in self.tree["servers"]:
            variables = server.get("variables", {})
            choices = [
                [(name, value) for value in each.get("enum", [each["default"]])] for name, each in variables.items()
            ]
            for chosen in product(*choices):
                url = server["url"]
                for name, value in chosen:
                    url = url.replace(f"{{{name}}}", value)
                found.add(f"https:{url}" if url.startswith("//") else url)
        return found

    def parameter(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a parameter, and the schema in it, without references."""
        parameter = self._resolved(node)
        return {**parameter, "schema": self._resolved(parameter.get("schema", {}))}

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in node:
            return node
        target: Any = self.tree
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[unquote(part).replace("~1", "/").replace("~0", "~")]
        return self._resolved(target)


def _named(node: Any) -> Any:
    """Return YAML as JSON has it, where names are texts, also those of statuses."""
    if isinstance(node, dict):
        return {str(name): _named(value) for name, value in node.items()}
    return [_named(value) for value in node] if isinstance(node, list) else node


def _shape(part: str) -> str:
    return "[^/]+" if part.startswith("{") else re.escape(part)
