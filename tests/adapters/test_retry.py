"""When a call is sent again, and after how long."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import errors
from adapters.errors import Fault, RateLimited, Unavailable, VendorError
from adapters.policy import Policy
from adapters.retry import LOSSES, Budget, Loss, Retry, again, believed_s, delay_s, kind_of_answer

ATTEMPTS = st.integers(1, 40)
JITTERS = st.floats(0, 1, exclude_max=True)


def test_the_window_doubles_up_to_its_cap() -> None:
    policy = Policy(backoff_base_s=0.1, backoff_max_s=10.0)
    windows = [delay_s(policy, Unavailable("x"), attempt, 1.0) for attempt in range(1, 10)]
    assert windows == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])


def test_a_throttled_call_waits_ten_times_as_long() -> None:
    windows = [delay_s(Policy(), RateLimited("x"), attempt, 1.0) for attempt in range(1, 7)]
    assert windows == pytest.approx([1.0, 2.0, 4.0, 8.0, 10.0, 10.0])


def test_jitter_is_full() -> None:
    assert delay_s(Policy(), Unavailable("x"), 3, 0.0) == 0.0
    assert delay_s(Policy(), Unavailable("x"), 3, 0.5) == pytest.approx(0.2)


@given(ATTEMPTS, JITTERS, st.floats(0, 1e6), st.sampled_from([Unavailable, RateLimited]))
def test_what_the_vendor_asked_for_is_never_undercut(
    attempt: int, jitter: float, asked_s: float, kind: type[VendorError]
) -> None:
    wait_s = delay_s(Policy(), kind("x", fault=Fault(retry_after_s=asked_s)), attempt, jitter)
    assert asked_s <= wait_s <= asked_s + 10.0


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(1, 1e6))
def test_a_wait_is_believed_within_bounds(asked_s: float, max_s: float) -> None:
    wait_s = believed_s(asked_s, max_s)
    if math.isnan(asked_s):
        assert wait_s is None
    else:
        assert wait_s == sorted([0.0, asked_s, max_s])[1]


def test_no_wait_stays_none() -> None:
    assert believed_s(None, 1.0) is None


@given(st.lists(st.booleans()), st.floats(0.5, 20), st.floats(0.1, 3), st.floats(0, 1))
def test_no_more_is_spent_than_there_was_and_was_given_back(
    steps: list[bool], tokens: float, cost: float, refund: float
) -> None:
    budget = Budget(Policy(retry_tokens=tokens, retry_cost=cost, success_refund=refund))
    spent = given_back = 0
    for succeeded in steps:
        if succeeded:
            budget.refund()
            given_back += 1
        else:
            enough = budget.tokens >= cost
            assert budget.spend() is enough
            spent += enough
        assert 0 <= budget.tokens <= tokens
    assert spent * cost <= tokens + given_back * refund + 1e-6


def test_ten_attempts_more_then_one_in_ten_calls() -> None:
    budget = Budget(Policy())
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(11):
        budget.refund()
    assert [budget.spend() for _ in range(2)] == [True, False]


@given(st.integers(400, 599), st.sampled_from(Retry))
def test_a_status_that_a_second_sending_might_double_is_never_sent_again(status: int, retry: Retry) -> None:
    error = kind_of_answer(status, retry)("x", fault=Fault(http_status=status))
    if again(error, retry):
        assert status in {408, 425, 429} or status >= 500
        assert retry is not Retry.ONCE or status in {425, 429}


# Typed from the design: reads and idempotent writes again after 408, 425, 429 and 5xx but 501; the rest never.
AGAIN = {
    Retry.READ: {408, 425, 429, *range(500, 600)} - {501},
    Retry.IDEMPOTENT: {408, 425, 429, *range(500, 600)} - {501},
    Retry.ONCE: {425, 429},
}


@pytest.mark.parametrize("retry", Retry)
def test_exactly_these_statuses_are_sent_again(retry: Retry) -> None:
    sent_again = {
        status
        for status in range(300, 600)
        if again(kind_of_answer(status, retry)("x", fault=Fault(http_status=status)), retry)
    }
    assert sent_again == AGAIN[retry]


# Typed from the contract's error table.
LOST = {
    (Loss.NOT_SENT, Retry.READ): (errors.Unavailable, True),
    (Loss.NOT_SENT, Retry.IDEMPOTENT): (errors.Unavailable, True),
    (Loss.NOT_SENT, Retry.ONCE): (errors.Unavailable, True),
    (Loss.TIMEOUT, Retry.READ): (errors.TimedOut, True),
    (Loss.TIMEOUT, Retry.IDEMPOTENT): (errors.TimedOut, True),
    (Loss.TIMEOUT, Retry.ONCE): (errors.OutcomeUnknown, False),
    (Loss.BROKEN, Retry.READ): (errors.Unavailable, True),
    (Loss.BROKEN, Retry.IDEMPOTENT): (errors.Unavailable, True),
    (Loss.BROKEN, Retry.ONCE): (errors.OutcomeUnknown, False),
}


@pytest.mark.parametrize(("loss", "retry"), LOST)
def test_a_lost_answer_is_named_by_what_is_certain(loss: Loss, retry: Retry) -> None:
    kind, sent_again = LOST[loss, retry]
    assert LOSSES[loss][retry] is kind
    assert again(kind("x"), retry) is sent_again


def test_a_failing_vendor_that_did_answer_is_no_proof_that_it_did_not_accept() -> None:
    assert not again(Unavailable("x", fault=Fault(http_status=503)), Retry.ONCE)


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize(
    "kind",
    [
        errors.Rejected,
        errors.CredentialsRejected,
        errors.PermissionMissing,
        errors.NotFound,
        errors.Conflict,
        errors.VendorEtagMismatch,
        errors.TooLarge,
        errors.OutcomeUnknown,
        errors.DownloadInterrupted,
        errors.ProtocolViolation,
    ],
)
def test_what_would_be_answered_alike_is_never_sent_again(kind: type[VendorError], retry: Retry) -> None:
    assert not again(kind("x"), retry)
