"""When a call to a vendor is sent again, and after how long.

The class of a call is the adapter's to declare; the rest follows from what is certain about the failure.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum

from adapters.errors import OutcomeUnknown, RateLimited, TimedOut, Unavailable, VendorError, kind_of_status
from adapters.policy import Policy

_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]*)?")


class Retry(Enum):
    """What sending a call twice would do."""

    READ = "read"
    """Nothing."""
    IDEMPOTENT = "idempotent"
    """The same as sending it once."""
    ONCE = "once"
    """Something a second time: only sent again when it was certainly not accepted."""


class Loss(Enum):
    """How an attempt ended without an answer."""

    NOT_SENT = "not sent"
    """Refused, DNS, TLS, connect timeout: the vendor never saw the call."""
    TIMEOUT = "no answer in time"
    BROKEN = "connection broken"


LOSSES: dict[Loss, dict[Retry, type[VendorError]]] = {
    Loss.NOT_SENT: {Retry.READ: Unavailable, Retry.IDEMPOTENT: Unavailable, Retry.ONCE: Unavailable},
    Loss.TIMEOUT: {Retry.READ: TimedOut, Retry.IDEMPOTENT: TimedOut, Retry.ONCE: OutcomeUnknown},
    Loss.BROKEN: {Retry.READ: Unavailable, Retry.IDEMPOTENT: Unavailable, Retry.ONCE: OutcomeUnknown},
}


def kind_of_answer(status: int, retry: Retry) -> type[VendorError]:
    """Return the error for an HTTP status, given what the call was."""
    kind = kind_of_status(status)
    # Any of these can come from a proxy after the back end has accepted, a 503 too.
    return OutcomeUnknown if kind is Unavailable and retry is Retry.ONCE else kind


def again(error: VendorError, retry: Retry) -> bool:
    """Tell whether the call may be sent again after *error*."""
    if retry is Retry.ONCE:
        return isinstance(error, RateLimited) or (isinstance(error, Unavailable) and not error.fault.http_status)
    return isinstance(error, Unavailable | TimedOut | RateLimited)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the wait that `Retry-After` asks for, whether it gives seconds or a date; None where it says nothing."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else until_s(text, now_s)


def until_s(text: str, now_s: float) -> float | None:
    """Return the wait until a date as mails and HTTP headers have it, 0 for one that is past; None for what is none."""
    try:
        moment = parsedate_to_datetime(text)
        # A date is always in GMT, said or not.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def believed_s(wait_s: float | None, max_s: float) -> float | None:
    """Return the wait that a vendor asks for, as far as it is believed; None for what is no number."""
    return None if wait_s is None or math.isnan(wait_s) else min(max(0.0, wait_s), max_s)


class Budget:
    """What all calls of a connection have together for attempts after the first.

    So a vendor that fails all the time gets a tenth more calls, not twice as many more.
    """

    __slots__ = ("_policy", "tokens")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.tokens = policy.retry_tokens

    def spend(self) -> bool:
        """Take what one more attempt costs; say whether there was enough."""
        enough = self.tokens >= self._policy.retry_cost
        if enough:
            self.tokens -= self._policy.retry_cost
        return enough

    def refund(self) -> None:
        """Give back what a call is worth that succeeded."""
        self.tokens = min(self._policy.retry_tokens, self.tokens + self._policy.success_refund)


def delay_s(policy: Policy, error: VendorError, attempt: int, jitter: float) -> float:
    """Return the wait before the attempt after number *attempt* (from 1): full jitter over a doubling window.

    *jitter* is in [0, 1). What the vendor asked for is never undercut.
    """
    base_s = policy.throttle_base_s if isinstance(error, RateLimited) else policy.backoff_base_s
    window_s = min(policy.backoff_max_s, base_s * 2.0 ** (attempt - 1))
    return (error.retry_after_s or 0.0) + window_s * jitter
