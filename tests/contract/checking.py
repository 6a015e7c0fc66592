"""Holds a request, as a simulator journalled it, against a published document: openapi-core, and what it lets pass."""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from typing import Any

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.contract.documents import Document, Operation
from tests.contract.flaws import Finding, Repair

# Of HTTP, or of every client: no document lists them.
HEADERS_OF_ANY_REQUEST = {
    *("host", "accept", "accept-encoding", "user-agent", "connection"),
    *("content-type", "content-length", "authorization"),
}
HOST = "https://vendor.example"


class Request:
    """A journal's entry, as openapi-core wants to see it."""

    host_url = HOST

    def __init__(self, entry: Mapping[str, Any], path: str) -> None:
        headers = Headers(entry["headers"])
        self.method, self.path = entry["method"].lower(), path
        self.parameters = RequestParameters(query=ImmutableMultiDict(map(tuple, entry["query"])), header=headers)
        self.content_type = headers.get("Content-Type", "").lower()
        self.body = entry["body"].encode() or None


class Checker:
    """One document to hold requests against. What it does not mention is wrong, too."""

    def __init__(self, document: Document, repairs: Iterable[Repair] = ()) -> None:
        self.document = document
        tree = deepcopy(document.tree)
        # Which of the vendor's hosts is asked is for the settings; a simulator has none of them.
        tree["servers"] = [{"url": HOST}]
        for repair in repairs:
            for label, name in product(repair.operations, repair.parameters):
                _repair(document, tree, label, name, repair)
        bodies = [each.definition.get("requestBody", {}) for each in document.operations.values()]
        media_types = {name for body in bodies for name in body.get("content", {}) if name.endswith("+json")}
        config = Config(
            additional_properties_default_policy="forbid",
            extra_media_type_deserializers=dict.fromkeys(media_types, json.loads),
        )
        self._openapi = OpenAPI.from_dict(tree, config=config)

    def check(self, entry: Mapping[str, Any], path: str) -> Iterator[Finding]:
        """Yield what is wrong with a request, for a *path* as the document has them."""
        operation = self.document.find(entry["method"], path)
        if operation is None:
            yield _finding(f"{entry['method']} {path}", "Undocumented", "there is no such operation", entry)
            return
        for error in self._openapi.iter_request_errors(Request(entry, path)):
            for text in _reasons(error):
                yield _finding(operation.label, type(error).__name__, text, entry)
        for text in _unmentioned(operation, entry):
            yield _finding(operation.label, "Undocumented", text, entry)


def _repair(document: Document, tree: dict[str, Any], label: str, name: str, repair: Repair) -> None:
    method, path = label.split(" ")
    operation = tree["paths"][path][method.lower()]
    parameters = [document.parameter(each) for each in operation["parameters"]]
    (broken,) = (each for each in parameters if each["name"] == name)
    assert repair.wrong.items() <= broken.items(), f"{label}: nothing to repair in {name} ({repair.why})"
    operation["parameters"] = [{**each, **repair.right} if each is broken else each for each in parameters]


def _finding(operation: str, kind: str, text: str, entry: Mapping[str, Any]) -> Finding:
    seen = f"{entry['method']} {entry['path']}?{entry['query_string']}\n    {entry['headers']}\n    {entry['body']}"
    return Finding(operation, kind, (text,), seen)


def _reasons(error: Exception) -> Iterator[str]:
    """Yield what a schema says, with the place; else the error itself."""
    cause = error.__cause__
    if isinstance(cause, InvalidSchemaValue):
        for each in cause.schema_errors:
            yield f"{getattr(each, 'json_path', '$')}: {getattr(each, 'message', each)}"
    else:
        yield f"{error}: {cause}" if cause else str(error)


def _unmentioned(operation: Operation, entry: Mapping[str, Any]) -> Iterator[str]:
    queries = set(operation.queries())
    yield from (f"query {name}" for name, _ in entry["query"] if name not in queries)
    headers = {each["name"].lower() for each in operation.parameters("header")} | HEADERS_OF_ANY_REQUEST
    sent = {name.lower(): text for name, text in entry["headers"].items()}
    yield from (f"header {name}" for name in sent if name not in headers)
    if entry["body"] and "requestBody" not in operation.definition:
        yield "a body"
    wanted = [each.partition(";")[0].strip() for each in sent.get("accept", "*/*").split(",")]
    yield from (f"accepts {each}" for each in wanted if each not in {*operation.answers(), "*/*"})
