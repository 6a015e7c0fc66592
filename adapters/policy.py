"""The numbers of one connection: how much at once, how often again, and when not at all."""

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Some = Annotated[int, Meta(ge=1)]
Number = Annotated[float, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
SomeSeconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Policy(msgspec.Struct, kw_only=True, frozen=True):
    """`[connections.policy]`: how a connection goes about its vendor, and the defaults."""

    concurrency: Some = 16
    """HTTP calls under way at once."""
    polling_concurrency: Some = 4
    """HTTP calls of pollers, who look how followed jobs are. Apart, so that waits never starve writes."""
    polling_interval_s: Seconds = 0.0
    """Between two looks at one followed job at least, in seconds; where the vendor's own least is more, that counts."""
    download_concurrency: Some = 8
    """Downloads under way at once. Apart: they last as long as their readers like."""
    queue: Count = 64
    """Calls that may wait for a place, of each of the three kinds; one more is refused. 0: none waits."""
    queue_share: Share = 0.25
    """How much of the time that a call has left it may wait for a place."""

    attempts: Some = 3
    """Of one call, the first included."""
    backoff_base_s: Seconds = 0.1
    """Before the second attempt at most, in seconds; doubles from attempt to attempt."""
    throttle_base_s: Seconds = 1.0
    """The same after the vendor has asked for fewer calls."""
    backoff_max_s: Seconds = 10.0
    """No wait is longer, but for what the vendor asks for."""
    retry_after_max_s: Seconds = 3600.0
    """The longest wait that a vendor is believed, in seconds; a longer one is passed on as this."""

    retry_tokens: Number = 10.0
    """What there is for attempts after the first, of all calls together; one that it is not enough for is not made."""
    retry_cost: Number = 1.0
    """What such an attempt takes of it."""
    success_refund: Number = 0.1
    """What a call that succeeds gives back."""

    breaker_failures: Some = 5
    """So many attempts in a row fail, and the connection is suspended: no call is sent."""
    breaker_share: Share = 0.5
    """So much of the attempts of the last `breaker_window_s` fail, and it is suspended."""
    breaker_calls: Some = 20
    """Of how many attempts at least `breaker_share` is taken."""
    breaker_window_s: SomeSeconds = 10.0
    """How far back attempts count for `breaker_share`, in seconds."""
    breaker_open_s: SomeSeconds = 5.0
    """From then on until one call is let through, in seconds; doubles each time that one fails."""
    breaker_open_max_s: SomeSeconds = 60.0
    """The longest of these."""
