"""The table of bad weather: what the vendor does, and what a caller is told, by what sending the call twice would do.

Typed out from the contract's table of errors, not taken from the code that it judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import grpc

from adapters.retry import Retry

START_S = 1_790_000_000.0
"""When everything here happens, epoch seconds; the simulators' clocks stand still."""


class Outcome(NamedTuple):
    """What a caller is told."""

    code: grpc.StatusCode
    reason: str


OK = Outcome(grpc.StatusCode.OK, "")
UNAVAILABLE = Outcome(grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE")
TIMED_OUT = Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "VENDOR_TIMEOUT")
UNKNOWN = Outcome(grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN")
NAMED = Outcome(grpc.StatusCode.OK, "OUTCOME_UNKNOWN")
"""Instead of the last, where there is a job to name: it is answered, in a state of this name."""
STARTS = frozenset({"CreateExportJob", "IngestAudienceMembers", "UploadAudienceMembers"})
"""What makes a job, which has a name before its vendor's is known."""
RATE_LIMITED = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED")
NOT_AS_DOCUMENTED = Outcome(grpc.StatusCode.INTERNAL, "VENDOR_PROTOCOL")
NOT_OFFERED = Outcome(grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED_BY_VENDOR")
CALLERS_DEADLINE = Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "")

By = Mapping[Retry, Outcome]


def _by(read: Outcome, idempotent: Outcome, once: Outcome) -> By:
    return MappingProxyType({Retry.READ: read, Retry.IDEMPOTENT: idempotent, Retry.ONCE: once})


NEVER_THERE = _by(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
"""Nothing was sent, so that anything may be sent again."""
LOST = _by(UNAVAILABLE, UNAVAILABLE, UNKNOWN)
"""It was sent, and what became of it nobody tells."""
LATE = _by(TIMED_OUT, TIMED_OUT, UNKNOWN)
TOO_MANY = _by(RATE_LIMITED, RATE_LIMITED, RATE_LIMITED)
"""It was certainly not done."""
ODD = _by(NOT_AS_DOCUMENTED, NOT_AS_DOCUMENTED, UNKNOWN)
"""The vendor said yes, or where to look, and nobody understands to what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """One kind of bad weather."""

    told: By
    fault: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the simulator's `Fault`; empty where nobody is there to have one."""
    line: str = ""
    """What is wrong on the way to the vendor; see `lines.LINES`."""
    passes: bool = False
    """Whether one attempt more, once it has passed, must do."""
    body: bool = False
    """Whether the answer's body alone is odd: where nobody needs it, nobody minds."""
    retry_after_s: float = 0.0
    """The wait that the caller must be told at least."""
    own_words: bool = False
    """Whether it comes in every form that the vendor's simulator has a switch for."""
    pages: bool = False
    """Whether it is about lists alone."""
    slow: bool = False
    """Whether it takes the time that the connection has."""

    @property
    def lets_through(self) -> bool:
        """Whether the vendor does what it is asked, and only the answer suffers."""
        return bool(self.fault) and not {"status", "body"} & self.fault.keys() and self.fault.get("drop") != "before"


def _too_many(**headers: str) -> dict[str, Any]:
    return {"status": 429, "body": {}, "headers": {name.replace("_", "-"): text for name, text in headers.items()}}


_IN_7_S = format_datetime(datetime.fromtimestamp(START_S + 7, UTC), usegmt=True)
_PAGE = "<html><body>Welcome, please sign in</body></html>"

WEATHERS: Mapping[str, Weather] = {
    "refused": Weather(told=NEVER_THERE, line="refused"),
    "TLS failure": Weather(told=NEVER_THERE, line="untrusted"),
    "DNS failure": Weather(told=NEVER_THERE, line="nameless"),
    "connect timeout": Weather(told=NEVER_THERE, line="full", slow=True),
    "reset before the request is read": Weather(told=LOST, fault={"drop": "before"}, passes=True),
    "reset after the write took effect": Weather(told=LOST, fault={"drop": "after"}, passes=True),
    "silent vendor": Weather(told=LATE, fault={"status": 200, "delay_s": 3600}, slow=True),
    "slow body": Weather(told=LATE, fault={"trickle_s": 0.2}, slow=True, body=True),
    "429 with seconds": Weather(told=TOO_MANY, fault=_too_many(Retry_After="7"), passes=True, retry_after_s=7),
    "429 with a date": Weather(told=TOO_MANY, fault=_too_many(Retry_After=_IN_7_S), passes=True),
    "429 in the vendor's own words": Weather(told=TOO_MANY, fault={"status": 429}, passes=True, own_words=True),
    "429 without a word": Weather(told=TOO_MANY, fault=_too_many(), passes=True),
    "429 for a day": Weather(told=TOO_MANY, fault=_too_many(Retry_After="86400"), retry_after_s=3600),
    "500": Weather(told=LOST, fault={"status": 500}, passes=True),
    "502": Weather(told=LOST, fault={"status": 502}, passes=True),
    "503": Weather(told=LOST, fault={"status": 503}, passes=True),
    "504": Weather(told=LOST, fault={"status": 504}, passes=True),
    "HTML with 200": Weather(told=ODD, fault={"body": _PAGE, "headers": {"Content-Type": "text/html"}}, body=True),
    "half of a JSON": Weather(told=ODD, fault={"body": '{"half": ['}, body=True),
    "wrong types": Weather(told=ODD, fault={"wrong_types": True}, body=True),
    "a page that repeats": Weather(told=ODD, fault={"stuck": True}, pages=True),
    "50 MB": Weather(told=ODD, fault={"body": " " * 65536, "times": 800}, body=True),
    "a redirect": Weather(told=ODD, fault={"status": 307, "headers": {"Location": "/elsewhere"}}),
}
