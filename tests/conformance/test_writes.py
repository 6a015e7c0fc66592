"""What every vendor's bad days come to when something was to be changed, and that nothing is done a second time."""

from contextlib import nullcontext
from typing import Any, NamedTuple

import grpc
import pytest

from audiencegateway.v1.export_jobs_pb2 import ExportJob

from .calls import READS, WRITES, call, verb_of
from .client import refusal
from .conftest import NEVER_S, Vendor

C = grpc.StatusCode
FOR_EVER = 0
ONCE = ("CreateDestination", "CreateSubscription", "CreateExportJob")
"""What would make a second thing if it were done twice."""
EITHER = ("CancelExportJob",)
"""A vendor's cancel may do more than cancel when it is sent again."""
MARK = "X-Sent-Once"
"""On what the adapter says must not be sent twice: it goes over connections of its own."""
REFUSED = {(C.INVALID_ARGUMENT, "REJECTED_BY_VENDOR"), (C.FAILED_PRECONDITION, "EXPORT_JOB_NOT_CANCELLABLE")}
"""A cancel that is refused may be told as what it means."""
LOST = {(C.UNKNOWN, "OUTCOME_UNKNOWN"), (C.OK, "OUTCOME_UNKNOWN")}
"""Of a write that must not be sent twice; OK where there is a job to name, which then says so."""
GONE = {(C.UNAVAILABLE, "VENDOR_UNAVAILABLE")}
BY_OPERATION = {C.ALREADY_EXISTS, C.FAILED_PRECONDITION, C.ABORTED}
"""A conflict is what the operation makes of it."""
LATE = {(C.DEADLINE_EXCEEDED, "VENDOR_TIMEOUT")}
LOOKED_AGAIN = {rpc: 2 if rpc == "CancelExportJob" else 1 for rpc in WRITES}
"""How often a refused or lost request may be sent at most: a job that still runs may be cancelled anew."""


class Ended(NamedTuple):
    """What a write came to, and what of it reached the vendor."""

    code: grpc.StatusCode
    reason: str
    sent: list[int | None]
    """The vendor's answers to the request that does it; none where the connection broke."""
    once: bool
    """Whether the adapter says that it must not be sent twice."""

    @property
    def told(self) -> tuple[grpc.StatusCode, str]:
        return self.code, self.reason


async def _written(vendor: Vendor, rpc: str, **fault: Any) -> Ended:
    """Let a write meet *fault* at the request that does it; what only reads is left as it is."""
    vendor.can(verb_of(rpc))
    request = WRITES[rpc](vendor)
    vendor.opened.transport.fresh.headers[MARK] = "1"
    await call(vendor, rpc, request)
    (done,) = (entry for entry in vendor.requests("POST", "PUT", "PATCH", "DELETE") if entry["accepted"])
    vendor.simulator.reset()
    vendor.simulator.set_switches(**vendor.simulator.suite.get("switches", {}))
    # The reset took the token with it, and one that is just renewed would not be renewed again.
    await call(vendor, "CheckConnection", READS["CheckConnection"](vendor))
    vendor.time.passed_s += 5
    vendor.simulator.journal.clear()
    vendor.simulator.fault(method=done["method"], path=done["path"], **fault)
    code, reason = C.OK, ""
    try:
        with vendor.impatience() if "delay_s" in fault else nullcontext():
            answer = await call(vendor, rpc, WRITES[rpc](vendor), timeout=10)
        lost = isinstance(answer, ExportJob) and answer.state == ExportJob.OUTCOME_UNKNOWN
        reason = "OUTCOME_UNKNOWN" if lost else ""
    except grpc.aio.AioRpcError as error:
        code, reason = error.code(), refusal(error).reason
    sent = [entry["status"] for entry in vendor.requests(done["method"]) if entry["path"] == done["path"]]
    return Ended(code, reason, sent, once=MARK in done["headers"])


@pytest.mark.parametrize("rpc", WRITES)
@pytest.mark.parametrize("status", [400, 422])
async def test_a_write_that_is_refused_says_so_and_is_sent_once(vendor: Vendor, rpc: str, status: int) -> None:
    ended = await _written(vendor, rpc, status=status, count=FOR_EVER)

    assert ended.told in REFUSED
    assert 1 <= len(ended.sent) <= LOOKED_AGAIN[rpc]


@pytest.mark.parametrize("rpc", WRITES)
@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "VENDOR_CREDENTIALS_REJECTED"), (403, "VENDOR_PERMISSION_MISSING")],
)
async def test_a_write_that_is_not_allowed_is_the_operators_to_mend(
    vendor: Vendor, rpc: str, status: int, reason: str
) -> None:
    ended = await _written(vendor, rpc, status=status, count=FOR_EVER)

    assert ended.told == (C.FAILED_PRECONDITION, reason)
    assert 1 <= len(ended.sent) <= 1 + (status == 401 and "logins" in vendor.simulator.suite)


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_conflict_is_named_by_what_was_to_be_done(vendor: Vendor, rpc: str) -> None:
    ended = await _written(vendor, rpc, status=409, count=FOR_EVER)

    assert ended.code in BY_OPERATION
    assert ended.reason
    assert 1 <= len(ended.sent) <= LOOKED_AGAIN[rpc]


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_body_that_is_too_large_for_the_vendor_is_the_callers(vendor: Vendor, rpc: str) -> None:
    ended = await _written(vendor, rpc, status=413, count=FOR_EVER)

    assert ended.told == (C.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
    assert len(ended.sent) == 1


@pytest.mark.parametrize("rpc", WRITES)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_write_whose_end_nobody_knows_says_so_and_a_harmless_one_is_sent_again(
    vendor: Vendor, rpc: str, status: int
) -> None:
    ended = await _written(vendor, rpc, status=status, count=FOR_EVER)

    assert ended.told in (LOST if ended.once else GONE)
    assert len(ended.sent) in ({1, LOOKED_AGAIN[rpc]} if ended.once else {3})


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_write_that_is_not_answered_in_time_says_so_and_a_harmless_one_is_sent_again(
    vendor: Vendor, rpc: str
) -> None:
    ended = await _written(vendor, rpc, delay_s=NEVER_S, count=FOR_EVER)

    assert ended.told in (LOST if ended.once else LATE)
    assert len(ended.sent) in ({1, LOOKED_AGAIN[rpc]} if ended.once else {2, 3})


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_write_may_be_sent_twice_if_that_does_the_same_as_once(vendor: Vendor, rpc: str) -> None:
    ended = await _written(vendor, rpc, status=503)

    assert rpc in EITHER or ended.once == (rpc in ONCE)
    # A cancel may be followed by a look, and by another cancel of what still runs.
    assert ended.told in (LOST if rpc in ONCE else {(C.OK, "")})


@pytest.mark.parametrize("rpc", ONCE)
@pytest.mark.parametrize("drop", ["before", "after", "truncate"])
async def test_nothing_is_made_twice_when_the_connection_breaks(vendor: Vendor, rpc: str, drop: str) -> None:
    ended = await _written(vendor, rpc, drop=drop)

    # A job whose start was not answered may have been found again by now.
    assert ended.told in LOST | {(C.OK, "")}
    assert len(ended.sent) == 1


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_write_that_was_changed_meanwhile_is_read_again_by_the_caller(vendor: Vendor, rpc: str) -> None:
    ended = await _written(vendor, rpc, status=412, count=FOR_EVER)

    assert ended.told == (C.ABORTED, "ETAG_MISMATCH")
    assert 1 <= len(ended.sent) <= LOOKED_AGAIN[rpc]


@pytest.mark.parametrize("rpc", WRITES)
@pytest.mark.parametrize("status", [425, 429])
async def test_a_write_that_comes_too_soon_for_ever_is_certainly_not_done(
    vendor: Vendor, rpc: str, status: int
) -> None:
    ended = await _written(vendor, rpc, status=status, count=FOR_EVER)

    assert ended.told == (C.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED")
    # As often as there is time for the wait that the vendor's own error may name.
    assert 1 <= len(ended.sent) <= 3
    assert set(ended.sent) == {status}


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_write_that_comes_too_soon_is_sent_again_and_accepted_once(vendor: Vendor, rpc: str) -> None:
    ended = await _written(vendor, rpc, status=429, headers={"Retry-After": "2"})

    assert ended.told == (C.OK, "")
    assert ended.sent[:-1] == [429]
    assert max(vendor.waits_s) >= 2


@pytest.mark.parametrize("rpc", WRITES)
async def test_a_write_with_a_token_that_has_ended_is_sent_again_with_a_new_one(vendor: Vendor, rpc: str) -> None:
    if "logins" not in vendor.simulator.suite:
        pytest.skip(f"{vendor.id} has no logins: its token is fixed")
    ended = await _written(vendor, rpc, status=401)

    assert ended.told == (C.OK, "")
    assert len(ended.sent) == 2
    assert ended.sent[0] == 401


@pytest.mark.parametrize("rpc", WRITES)
@pytest.mark.parametrize("body", ["<html>hello</html>", '{"half": [', "[1, 2]"])
async def test_a_write_whose_answer_is_not_as_documented_is_told_and_never_sent_again(
    vendor: Vendor, rpc: str, body: str
) -> None:
    ended = await _written(vendor, rpc, body=body, count=FOR_EVER)

    assert ended.told in {(C.INTERNAL, "VENDOR_PROTOCOL"), *LOST, (C.OK, "")}
    assert len(ended.sent) == 1
