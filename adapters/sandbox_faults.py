"""The bad weather of a simulator: which requests it hits, and what becomes of their answers."""

import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Literal

from adapters.sandbox_http import ApiError, Call, Reply, error_reply, json_bytes


@dataclass
class Fault:
    """What happens to the next `count` requests that match, instead of or besides the answer.

    With a `status` or a `body` (or nothing but a match) the request is answered so and not handled; with only what
    stands below `body` it is handled, and its answer changed. Faults queue: the oldest that matches is used.
    """

    path: str
    """A glob over the whole path and over the path below the simulator's prefixes, as received, without the query."""
    method: str | None = None
    """Any, if absent."""
    count: int = 1
    """0: for ever."""
    status: int | None = None
    """Default 200 with a body, else 503; without a body an error is the vendor's own envelope."""
    body: Any = None
    """A string is sent as it is, any other value as JSON. Content-Type is JSON unless `headers` say otherwise."""
    times: int = 1
    """How often a `body` is sent in one answer, one right after the other: for answers larger than memory."""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    trickle_s: float = 0.0
    """The answer's body goes byte by byte, each so many seconds after the one before."""
    wrong_types: bool = False
    """Every text and number in the answer's JSON is a list instead."""
    stuck: bool = False
    """The first request is handled; all others get the same answer and are not: a list whose first page never ends."""
    drop: Literal["before", "after", "truncate"] | None = None
    """`before`: the connection closes, nothing is applied. `after`: the write is applied, the connection closes.
    `truncate`: the answer's headers and half of its body, then the connection closes."""
    first: Reply | None = field(default=None, init=False)
    """What the others get, where it is `stuck`."""

    def matches(self, call: Call, prefixes: Iterable[str]) -> bool:
        """Say whether the request is one of those meant."""
        below = [call.path.removeprefix(prefix) for prefix in prefixes if call.path.startswith(prefix)]
        return self.method in (None, call.method) and any(fnmatchcase(path, self.path) for path in (call.path, *below))

    def answers(self) -> bool:
        """Say whether the request is answered by the fault and not handled."""
        changes = self.headers or self.delay_s or self.drop or self.trickle_s or self.wrong_types or self.stuck
        return self.status is not None or self.body is not None or self.first is not None or not changes

    def reply(self, error: Callable[[int], ApiError]) -> Reply:
        """Make the answer; *error* is the vendor's envelope for a status."""
        if self.first is not None:
            return replace(self.first, headers=dict(self.first.headers))
        if self.body is None:
            status = self.status or 503
            # A redirect or an empty success is no error, so there is no envelope.
            return error_reply(error(status)) if status >= HTTPStatus.BAD_REQUEST else Reply(status=status)
        body = self.body.encode() if isinstance(self.body, str) else json_bytes(self.body)
        reply = Reply(body, self.status or 200, {"Content-Type": "application/json"})
        return reply if self.times == 1 else replace(reply, **_repeated(body, self.times))

    def changed(self, reply: Reply) -> Reply:
        """Return *reply* as the fault leaves it; how it is sent is not done here."""
        names = {name.lower() for name in self.headers}
        reply.headers = {k: v for k, v in reply.headers.items() if k.lower() not in names} | self.headers
        if self.wrong_types and isinstance(reply.body, bytes) and reply.body:
            with contextlib.suppress(ValueError):  # what is no JSON has no types
                reply.body = json_bytes(_untyped(json.loads(reply.body)))
        if self.stuck and self.first is None:
            self.first = replace(reply, headers=dict(reply.headers))
        return reply


def _repeated(body: bytes, times: int) -> dict[str, Any]:
    return {"body": itertools.repeat(body, times), "length": len(body) * times}


def _untyped(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _untyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untyped(item) for item in value]
    return value if value is None or isinstance(value, bool) else [[value]]


def is_seconds(value: object) -> bool:
    """Say whether *value*, out of JSON, is a duration."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_headers(value: object) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        and isinstance(text, str)
        and text.isprintable()
        # The framing is the simulator's: `drop` is the way to break it.
        and name.lower() not in {"content-length", "transfer-encoding"}
        for name, text in value.items()
    )


DROPS = ("before", "after", "truncate")
FAULT_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "path": (lambda v: isinstance(v, str) and v != "", "a glob over the path, such as */destinations*"),
    "method": (lambda v: isinstance(v, str) and v.isalpha() and v.isupper(), "a method in upper case"),
    "count": (_is_whole, "a whole number from 0; 0 is for ever"),
    "status": (lambda v: _is_whole(v) and 200 <= v <= 599, "200 to 599"),  # noqa: PLR2004 - the final statuses
    "headers": (_are_headers, "an object of texts, without Content-Length and Transfer-Encoding"),
    "body": (lambda _: True, "text, or any JSON"),
    "times": (lambda v: _is_whole(v) and v > 0, "a whole number from 1"),
    "delay_s": (is_seconds, "seconds from 0"),
    "trickle_s": (is_seconds, "seconds from 0"),
    "wrong_types": (lambda v: isinstance(v, bool), "true or false"),
    "stuck": (lambda v: isinstance(v, bool), "true or false"),
    "drop": (lambda v: v in DROPS, " or ".join(DROPS)),
}


def make_fault(keys: Mapping[str, Any]) -> Fault:
    """Check *keys* and make the fault; null is as good as absent. Raises: ValueError."""
    for name, value in {"path": None, **keys}.items():
        if name not in FAULT_KEYS:
            raise ValueError(f"no key {name!r} in a fault; there are {', '.join(FAULT_KEYS)}")
        valid, wanted = FAULT_KEYS[name]
        if not valid(value) and (value is not None or name == "path"):
            raise ValueError(f"{name} must be {wanted}")
    return Fault(**{name: value for name, value in keys.items() if value is not None})
