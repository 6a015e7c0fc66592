"""What is wrong with a request: gathered first, so that one answer can tell all of it."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adapters.errors import InvalidRequest, Violation

MAX_VIOLATIONS = 20
"""More are counted only: an error has to fit into gRPC trailers."""


class Finding(NamedTuple):
    """A violation, and what the error says beside it if it is the first."""

    violation: Violation
    metadata: Mapping[str, str]


def finding(field: str, description: str, reason: str = "INVALID_FIELD", /, **metadata: str) -> Finding:
    """Return what is wrong with one field."""
    return Finding(Violation(field, description, reason), metadata)


def too_much(field: str, value: int, limit: int, unit: str) -> Finding:
    """Return what is wrong with a field that holds *value* units, where at most *limit* are taken."""
    text = f"has {value} {unit}, at most {limit} are taken"
    return finding(field, text, "LIMIT_EXCEEDED", limit=str(limit), value=str(value))


def keyed(at: str, key: str) -> str:
    """Return the path of a member of the map or Struct that stands *at* a path."""
    return f"{at}[{json.dumps(key[:64])}]"


def refusal(found: Sequence[Finding]) -> InvalidRequest:
    """Return the error for all that was *found*; its reason and metadata are those of the first."""
    (first, metadata), listed = found[0], found[:MAX_VIOLATIONS]
    message = f"{first.field}: {first.description}"
    if len(found) > 1:
        unlisted = f", {len(found) - len(listed)} of them not listed" if len(found) > len(listed) else ""
        message += f" ({len(found)} violations{unlisted})"
    violations = [violation for violation, _ in listed]
    return InvalidRequest(message, reason=first.reason, metadata=metadata, violations=violations)
