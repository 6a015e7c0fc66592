"""Resource names, both directions, and ids of several vendor parts.

The escaping is frozen with v1: a name handed out once must be understood for ever, by any replica.
"""

import re
from functools import lru_cache

from adapters.errors import InvalidRequest, Violation

PATTERNS = {
    "Connection": ("connections",),
    "Destination": ("connections", "destinations"),
    "Subscription": ("connections", "destinations", "subscriptions"),
    "ExportJob": ("connections", "exportJobs"),
    "ExportJobRevision": ("connections", "exportJobs", "revisions"),
}
NOT_FOUND_REASONS = {
    "Connection": "CONNECTION_NOT_FOUND",
    "Destination": "DESTINATION_NOT_FOUND",
    "Subscription": "SUBSCRIPTION_NOT_FOUND",
    "ExportJob": "EXPORT_JOB_NOT_FOUND",
    "ExportJobRevision": "REVISION_NOT_FOUND",
}
KINDS = {collections: kind for kind, collections in PATTERNS.items()}
MAX_NAME_CHARS = 4096

_ID = re.compile(r"[A-Za-z0-9._~-]{1,1536}", re.ASCII)
_CONNECTION_ID = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_UNSAFE = re.compile(rb"[^A-Za-z0-9.-]")
_ESCAPE = re.compile(rb"_(_|[0-9A-F]{2})?")
_DOTS = ("-", ".", "..")


def connection(connection_id: str) -> str:
    """Return `connections/{connection}`."""
    return f"connections/{connection_id}"


def destination(connection_id: str, destination_id: str) -> str:
    """Return the full name of a destination."""
    return f"connections/{connection_id}/destinations/{destination_id}"


def subscription(connection_id: str, destination_id: str, subscription_id: str) -> str:
    """Return the full name of a subscription."""
    return f"connections/{connection_id}/destinations/{destination_id}/subscriptions/{subscription_id}"


def export_job(connection_id: str, export_job_id: str) -> str:
    """Return the full name of an export job."""
    return f"connections/{connection_id}/exportJobs/{export_job_id}"


def revision(connection_id: str, export_job_id: str, revision_id: str) -> str:
    """Return the full name of a revision of an export job."""
    return f"connections/{connection_id}/exportJobs/{export_job_id}/revisions/{revision_id}"


def is_connection_id(text: str) -> bool:
    """Tell whether *text* can be a connection id: a lower-case letter, then letters, digits and hyphens; at most 63."""
    return _CONNECTION_ID.fullmatch(text) is not None


def kind(name: str) -> str:
    """Return the kind of a full name that this module made."""
    return KINDS[tuple(name.split("/")[::2])]


def parse(name: str, expected: str, field: str = "name") -> tuple[str, ...]:
    """Split a full name of the *expected* kind into its ids; *field* is where in the request it stands.

    Raises:
        InvalidRequest: INVALID_RESOURCE_NAME, where it is not such a name.
    """
    ids = _ids(name, expected) if len(name) <= MAX_NAME_CHARS else ()
    if not ids:
        raise invalid_name(name, expected, field)
    return ids


def invalid_name(name: str, expected: str, field: str = "name") -> InvalidRequest:
    """Return the error for something that is not a name of the *expected* kind."""
    pattern = "/".join(f"{collection}/{{{collection[:-1]}}}" for collection in PATTERNS[expected])
    shown = name if len(name) <= 128 else f"{name[:125]}..."  # noqa: PLR2004 - enough to recognize it by
    message = f"{shown!a} is not a name of the form {pattern}"
    violation = Violation(field, message, "INVALID_RESOURCE_NAME")
    return InvalidRequest(
        message, reason="INVALID_RESOURCE_NAME", metadata={"resource": ascii(shown)[1:-1]}, violations=[violation]
    )


@lru_cache(maxsize=1024)
def _ids(name: str, expected: str) -> tuple[str, ...]:
    """Return the ids in a name, none where it is not of the *expected* kind; a call asks more than once."""
    collections = PATTERNS[expected]
    parts = name.split("/")
    if len(parts) != 2 * len(collections) or tuple(parts[::2]) != collections:
        return ()
    ids = tuple(parts[1::2])
    return ids if is_connection_id(ids[0]) and all(_ID.fullmatch(id_) and id_ not in _DOTS for id_ in ids[1:]) else ()


def join_id(*parts: str) -> str:
    """Return the resource id of a vendor's id, or of several in order."""
    return "~".join(_escape(part) for part in parts)


def split_id(resource_id: str, count: int, expected: str = "ExportJob", field: str = "name") -> tuple[str, ...]:
    """Return the *count* vendor ids that `join_id` joined; *field* is where in the request they stand.

    Without it they are of the name that the request is about, whose field the gateway knows.

    Raises:
        InvalidRequest: INVALID_RESOURCE_NAME, where `join_id` can't have made it.
    """
    parts = tuple(_unescape(part) for part in resource_id.split("~")) if resource_id.isascii() else ()
    if len(parts) != count or join_id(*parts) != resource_id or not all(parts):
        raise invalid_name(resource_id, expected, field)
    return parts


def _escape(part: str) -> str:
    if part in _DOTS:
        return f"_{ord(part[0]):02X}{part[1:]}"
    raw = part.encode()
    if not _UNSAFE.search(raw):
        return part
    return _UNSAFE.sub(lambda match: b"__" if match[0] == b"_" else b"_%02X" % match[0][0], raw).decode()


def _unescape(part: str) -> str:
    if "_" not in part:
        return part
    raw = _ESCAPE.sub(
        lambda match: b"_" if match[1] == b"_" else bytes([int(match[1], 16)]) if match[1] else b"\xff",
        part.encode(),
    )
    # What is not UTF-8 becomes something that escapes to another text: the caller compares.
    return raw.decode(errors="replace")
