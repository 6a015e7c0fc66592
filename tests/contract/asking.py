"""Asks a simulator everything that a document allows, and some that it does not: schemathesis in its own process.

    python -m tests.contract.asking    an order as JSON on stdin, what came of it on stdout; see `exploring`

Hypothesis likes to try what it finds in the code around it. Here it finds this file only, so that the same is asked
whatever else changes.
"""

import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import schemathesis
from schemathesis import Response, engine
from schemathesis.core.failures import Failure
from schemathesis.engine import events
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode

Case = schemathesis.Case[Any]

SHOWN_CHARACTERS = 600
OF_THE_TOOL = {"User-Agent", "Accept-Encoding", "Connection", "Authorization", "X-Schemathesis-TestCaseId"}


def ask(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out an order; return the findings, the first of each, and how often each operation answered what."""
    found: dict[tuple[str, str, tuple[str, ...]], str] = {}
    statuses: dict[str, Counter[int]] = {}

    def after_call(_: Any, case: Case, response: Response) -> None:
        statuses.setdefault(case.operation.label, Counter())[response.status_code] += 1
        reset()

    def filter_failure(_: Any, failure: Failure, case: Case, response: Response) -> bool:
        operation, kind = failure.operation or case.operation.label, type(failure).__name__
        found.setdefault((operation, kind, tuple(_said(failure, response))), _seen(response))
        return False  # Then it goes on: what of it is an error is decided elsewhere.

    def reset() -> None:
        for path, body in (("reset", {}), ("switches", order["switches"])):
            request = urllib.request.Request(f"{order['control']}/{path}", data=json.dumps(body).encode())
            urllib.request.urlopen(request, timeout=10).close()

    config = schemathesis.Config.from_dict(order["config"])
    schema: schemathesis.BaseSchema = schemathesis.openapi.from_dict(order["document"], config=config)
    schema.hook(after_call)
    schema.hook(filter_failure)
    for label in order["skip"]:
        schema = schema.exclude(name=label)
    reset()
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            found[event.label, type(event.value).__name__, (str(event.value),)] = str(event.phase)
    return {"findings": [(*key, seen) for key, seen in found.items()], "statuses": statuses}


def _said(failure: Failure, response: Response) -> Iterator[str]:
    """Yield what is wrong: of a request that was refused, each reason that the simulator gave."""
    if isinstance(failure, RejectedPositiveData):
        messages = dict.fromkeys(_messages(json.loads(response.content or b"{}"))) or [failure.message]
        yield from (f"{response.status_code} {message}" for message in messages)
    elif isinstance(failure, UndefinedStatusCode):
        yield str(failure.status_code)
    else:
        yield failure.message.partition("\nInvalid component: ")[2] or failure.message


def _messages(node: object) -> Iterator[str]:
    """Yield the texts of an error, in whatever envelope."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in {"message", "detail"} and isinstance(value, str):
                yield from value.split("; ")
            else:
                yield from _messages(value)
    elif isinstance(node, list):
        for value in node:
            yield from _messages(value)


def _seen(response: Response) -> str:
    request = response.request
    headers = ", ".join(f"{name}: {text!r}" for name, text in request.headers.items() if name not in OF_THE_TOOL)
    body = request.body.decode(errors="replace") if isinstance(request.body, bytes) else ""
    answer = f"{response.status_code} {response.content.decode(errors='replace')}"
    lines = [f"{request.method} {request.url!s}", headers, body, answer]
    return "\n    ".join(line[:SHOWN_CHARACTERS] for line in lines if line)


if __name__ == "__main__":
    json.dump(ask(json.load(sys.stdin)), sys.stdout)
