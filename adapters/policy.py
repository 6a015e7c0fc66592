"""The numbers of one connection: how much at once, how often again, and when not at all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a connection goes about its vendor. Every number may be set for each connection; these are the defaults."""

    concurrency: int = 16
    """HTTP calls under way at once, at least 1."""
    polling_concurrency: int = 4
    """HTTP calls of pollers, who look how followed jobs are; at least 1. Apart, so that waits never starve writes."""
    download_concurrency: int = 8
    """Downloads under way at once, at least 1. Apart: they last as long as their readers like."""
    queue: int = 64
    """Calls that may wait for a place, of each of the three kinds; one more is refused. 0: none waits."""
    queue_share: float = 0.25
    """How much of the time that a call has left it may wait for a place, above 0 up to 1."""

    attempts: int = 3
    """Of one call, the first included, at least 1."""
    backoff_base_s: float = 0.1
    """Before the second attempt at most, in seconds; doubles from attempt to attempt."""
    throttle_base_s: float = 1.0
    """The same after the vendor has asked for fewer calls."""
    backoff_max_s: float = 10.0
    """No wait is longer, but for what the vendor asks for."""
    retry_after_max_s: float = 3600.0
    """The longest wait that a vendor is believed, in seconds; a longer one is passed on as this."""

    retry_tokens: float = 10.0
    """What there is for attempts after the first, of all calls together; one that it is not enough for is not made."""
    retry_cost: float = 1.0
    """What such an attempt takes of it."""
    success_refund: float = 0.1
    """What a call that succeeds gives back."""

    breaker_failures: int = 5
    """So many attempts in a row fail, and the connection is suspended: no call is sent. At least 1."""
    breaker_share: float = 0.5
    """So much of the attempts of the last `breaker_window_s` fail, above 0 up to 1, and it is suspended."""
    breaker_calls: int = 20
    """Of how many attempts at least `breaker_share` is taken."""
    breaker_window_s: float = 10.0
    breaker_open_s: float = 5.0
    """From then on until one call is let through, in seconds; doubles each time that one fails."""
    breaker_open_max_s: float = 60.0
    """The longest of these."""
