"""Rates: no more calls in a time than a class allows, quiet when the vendor wants it, and a cap after it refused."""

from collections.abc import Coroutine, Generator, Mapping
from email.utils import formatdate
from types import coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RateLimited
from adapters.rates import BOTH, MIN_CAP_PER_S, READS, RECOVERY_S, WRITES, Rate, Rates, TakeShared

CALLS, PERIODS_S, GAPS_S = st.integers(1, 6), st.integers(1, 90), st.lists(st.integers(0, 40), max_size=60)
NOW_S = 1_700_000_000.0


@coroutine
def suspended() -> Generator[None, None, None]:
    yield


class Clock:
    """Time that a test moves, and those who sleep meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        ends_at = self.now + delay_s
        while self.now < ends_at:
            await suspended()


class Waiting:
    """A call that asks for its turn, step by step."""

    def __init__(self, turns: Rates, kind: str = READS, left_s: float = 1000.0) -> None:
        self._steps: Coroutine[Any, Any, float | None] = turns.turn(kind, left_s)

    def through(self) -> bool:
        """Let it go on; tell whether it has its turn."""
        try:
            self._steps.send(None)
        except StopIteration:
            return True
        return False

    def leave(self) -> None:
        self._steps.close()


def rates(clock: Clock, configured: Mapping[str, Rate] | None = None, *, shared: TakeShared | None = None) -> Rates:
    return Rates(configured, max_quiet_s=600.0, clock=clock, sleep=clock.sleep, shared=shared)


def refused(turns: Rates, kind: str = READS, left_s: float = 0.0) -> float:
    """Take a turn at once, and return the wait that is named where there is none."""
    try:
        assert Waiting(turns, kind, left_s).through()
    except RateLimited as error:
        return error.retry_after_s or 0.0
    return 0.0


def taken(turns: Rates, kind: str = READS, headers: Mapping[str, str] | None = None) -> None:
    turns.succeeded(kind, headers or {}, NOW_S)


def test_a_turn_that_a_newcomer_has_let_pass_is_no_loss() -> None:
    clock = Clock()
    turns = rates(clock)
    turns.refused(READS, 5.0)
    first, *others = calls = [Waiting(turns) for _ in range(3)]
    assert not any(call.through() for call in calls)
    clock.now += 5.0
    assert first.through()
    turns.refused(READS, 3.0)
    # The loop is late: a newcomer comes before the second wakes, whose turn is over, and the vendor wants quiet again.
    clock.now += 2.0
    others.append(Waiting(turns))
    assert [call.through() for call in reversed(others)] == [False] * 3
    for _ in range(3):
        clock.now += 9.0
        others = [call for call in others if not call.through()]
    assert not others


# --- Limits ----------------------------------------------------------------------------------------------------------


@given(CALLS, PERIODS_S, st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=60))
def test_no_period_has_more_calls_than_the_rate_allows_whoever_waits_or_leaves(
    calls: int, period_s: int, steps: list[tuple[int, bool, bool]]
) -> None:
    clock, sent, waiting = Clock(), list[float](), list[Waiting]()
    turns = rates(clock, {READS: Rate(calls, period_s)})
    for gap_s, comes, leaves in steps:
        for _ in range(gap_s):
            clock.now += 1
            through = [one for one in waiting if one.through()]
            waiting = [one for one in waiting if one not in through]
            sent += [clock.now] * len(through)
        if comes:
            one = Waiting(turns)
            if one.through():
                sent.append(clock.now)
            else:
                waiting.append(one)
        if leaves and waiting:
            waiting.pop(0).leave()
    assert all(last - first >= period_s for first, last in zip(sent, sent[calls:], strict=False))
    for one in waiting:
        one.leave()


@given(CALLS, PERIODS_S, GAPS_S)
def test_there_is_a_turn_after_the_wait_that_was_named_and_not_before(
    calls: int, period_s: int, gaps_s: list[int]
) -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(calls, period_s)})
    for gap_s in gaps_s:
        clock.now += gap_s
        if wait_s := refused(turns):
            clock.now += wait_s - 1
            assert refused(turns) == 1
            clock.now += 1
            assert refused(turns) == 0


def test_who_comes_first_goes_first() -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(2, 10)})
    calls = [Waiting(turns) for _ in range(6)]
    went = [[i for i, call in enumerate(calls) if call.through()]]
    for _ in range(2):
        calls = [call for i, call in enumerate(calls) if i not in went[-1]]
        clock.now += 10
        went.append([i for i, call in enumerate(calls) if call.through()])
    assert went == [[0, 1], [0, 1], [0, 1]]


def test_a_call_that_leaves_gives_its_turn_back() -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(1, 10)})
    assert Waiting(turns).through()
    for _ in range(3):
        leaving = Waiting(turns)
        assert not leaving.through()
        leaving.leave()
    assert refused(turns) == 10


def test_a_turn_that_comes_too_late_is_refused_at_once_and_not_taken() -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(1, 60)})
    assert not refused(turns)
    assert [refused(turns, left_s=59.0) for _ in range(3)] == [60.0] * 3
    assert clock.slept == []
    assert not Waiting(turns, left_s=60.0).through()
    assert clock.slept == [60.0]


def test_classes_are_counted_apart() -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(1, 60)})
    turns.declare({"starts": Rate(1, 30)})
    assert [refused(turns, kind) for kind in (READS, "starts", WRITES)] == [0, 0, 0]
    assert [refused(turns, kind) for kind in (READS, "starts", WRITES)] == [60, 30, 0]


def test_what_is_configured_stands_against_what_is_declared() -> None:
    turns = rates(Clock(), {"starts": Rate(2, 10), "stops": Rate(0)})
    turns.declare({"starts": Rate(20, 60), "stops": Rate(5, 60), "looks": Rate(9, 60)})
    assert turns.limits == {"starts": Rate(2, 10), "looks": Rate(9, 60)}


async def test_a_class_that_nobody_declared_is_a_mistake_of_the_adapter() -> None:
    with pytest.raises(KeyError):
        await rates(Clock()).turn("strats", 1.0)


# --- What the vendor says --------------------------------------------------------------------------------------------


def test_while_the_vendor_wants_quiet_no_call_of_the_class_leaves() -> None:
    clock = Clock()
    turns = rates(clock)
    early = Waiting(turns)
    assert early.through()
    turns.refused(READS, 7.0)
    assert refused(turns) == 7.0
    patient = Waiting(turns, left_s=7.0)
    assert not patient.through()
    assert not refused(turns, WRITES)
    clock.now += 7.0
    assert patient.through()


def test_quiet_that_is_asked_for_while_a_call_waits_holds_for_it_too() -> None:
    clock = Clock()
    turns = rates(clock, {READS: Rate(1, 5)})
    assert Waiting(turns).through()
    short, long = Waiting(turns, left_s=20.0), Waiting(turns, left_s=60.0)
    assert not short.through()
    assert not long.through()
    turns.refused(READS, 30.0)
    clock.now += 10.0
    with pytest.raises(RateLimited) as told:
        short.through()
    assert (told.value.reason, told.value.retry_after_s) == ("GATEWAY_RATE_LIMITED", 20.0)
    assert not long.through()
    clock.now += 20.0
    assert long.through()


def test_the_longest_wait_named_holds_up_to_what_a_vendor_is_believed() -> None:
    clock = Clock()
    turns = rates(clock)
    turns.refused(READS, 90.0)
    turns.refused(READS, 5.0)
    turns.refused(READS, None)
    assert refused(turns) == 90.0
    turns.refused(READS, float("inf"))
    assert refused(turns) == 600.0


@pytest.mark.parametrize(
    ("reset", "wait_s"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        (str(int(NOW_S) + 12), 12.0),
        (formatdate(NOW_S + 12, usegmt=True), 12.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("inf", 60.0),
        (str(int(NOW_S) - 12), 0.0),
    ],
)
def test_an_answer_that_says_it_was_the_last_for_now_is_believed(reset: str, wait_s: float) -> None:
    turns = rates(Clock())
    taken(turns, headers={"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "99"})
    assert not refused(turns)
    taken(turns, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    assert refused(turns) == wait_s


# --- The cap after a refusal -----------------------------------------------------------------------------------------


def drive(clock: Clock, turns: Rates, takes_per_s: float, seconds: int, wants_per_s: int = 20) -> tuple[int, int]:
    """Send as many calls as there are turns for, to a vendor that takes so many a second; return taken and refused."""
    took = turned_away = 0
    room = takes_per_s
    for _ in range(seconds * wants_per_s):
        clock.now += 1 / wants_per_s
        room = min(takes_per_s, room + takes_per_s / wants_per_s)
        if refused(turns):
            continue
        if room >= 1:
            room -= 1
            took += 1
            taken(turns)
        else:
            turned_away += 1
            turns.refused(READS, None)
    return took, turned_away


@pytest.mark.parametrize("takes_per_s", [1.0, 4.0, 15.0])
def test_a_vendor_that_refuses_without_a_word_is_asked_about_as_often_as_it_answers(takes_per_s: float) -> None:
    clock = Clock()
    turns = rates(clock)
    drive(clock, turns, takes_per_s, 60)
    took, turned_away = drive(clock, turns, takes_per_s, 600)
    assert took > 0.7 * takes_per_s * 600
    assert turned_away < 0.1 * took


def test_a_cap_begins_below_what_was_taken_and_ends_when_nothing_is_refused_any_more() -> None:
    clock = Clock()
    turns = rates(clock)
    drive(clock, turns, 1e9, 10, wants_per_s=10)
    turns.refused(READS, None)
    slow, _ = drive(clock, turns, 1e9, 5)
    assert slow < 10 * 5
    turns_within_s = [drive(clock, turns, 1e9, 5)[0] for _ in range(6)]
    assert turns_within_s == sorted(turns_within_s)
    assert turns_within_s[-1] == 20 * 5
    assert turns._lanes[READS].open


def test_calls_refused_together_cut_once() -> None:
    clock = Clock()
    one, many = rates(clock), rates(clock)
    one.refused(READS, None)
    for _ in range(50):
        many.refused(READS, None)
    waits = []
    for turns in (one, many):
        assert not refused(turns)
        waits.append(refused(turns))
    assert waits[0] == waits[1] > 0


def test_no_cap_is_so_low_that_nothing_would_ever_be_learned() -> None:
    clock = Clock()
    turns = rates(clock)
    for _ in range(100):
        turns.refused(READS, None)
        clock.now += 2
    assert not refused(turns)
    assert refused(turns) == pytest.approx(1 / MIN_CAP_PER_S)


def test_quiet_is_no_time_in_which_a_cap_recovers() -> None:
    clock = Clock()
    turns = rates(clock)
    for _ in range(10):
        taken(turns)
    turns.refused(READS, 10 * RECOVERY_S)
    clock.now += 10 * RECOVERY_S
    assert not refused(turns)
    taken(turns)
    assert refused(turns)


# --- Shared by replicas, seen from one -------------------------------------------------------------------------------


async def test_calls_are_counted_among_all_where_there_is_a_limit_and_only_there() -> None:
    asked = list[tuple[str, Rate]]()

    async def shared(kind: str, rate: Rate) -> float:
        asked.append((kind, rate))
        return 0.0

    turns = rates(Clock(), {READS: Rate(2, 10)}, shared=shared)
    assert [await turns.elsewhere_s(kind, 0.0) for kind in BOTH] == [0.0, 0.0]
    assert asked == [(READS, Rate(2, 10))]


async def test_a_turn_that_others_have_taken_is_waited_for_or_refused() -> None:
    async def shared(kind: str, rate: Rate) -> float:
        return 25.0

    turns = rates(Clock(), {READS: Rate(2, 60)}, shared=shared)
    assert await turns.elsewhere_s(READS, 25.0) == 25.0
    with pytest.raises(RateLimited) as told:
        await turns.elsewhere_s(READS, 20.0)
    assert (told.value.reason, told.value.retry_after_s) == ("GATEWAY_RATE_LIMITED", 25.0)
