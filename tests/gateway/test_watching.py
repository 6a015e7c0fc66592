"""Following one job: first what is, then each change, never backwards, an end, and one poller for everybody."""

import asyncio
import itertools
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import calls
from adapters.errors import ApiError, NotFound, Overloaded, RateLimited, Unavailable
from audiencegateway.v1.export_jobs_pb2 import ExportJob, WatchExportJobResponse
from gateway import watching
from gateway.watching import (
    FINAL_STATES,
    FIRST_TOLERANCE_S,
    SLOWEST_POLL_S,
    SLOWING,
    SPREAD,
    STEPS_BACK,
    TOLERANCE_S,
    Poller,
    Watching,
)

P, R, S, C = ExportJob.PENDING, ExportJob.RUNNING, ExportJob.SUCCEEDED, ExportJob.CANCELLING
NAME = "connections/c/exportJobs/1"


class Time:
    """A clock that only sleeping moves, and only as often as it is let."""

    def __init__(self, naps: int | None = None) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._naps = naps
        self.dozing = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._naps is not None and len(self.slept) > self._naps:
            self.dozing.set()
            await asyncio.Event().wait()
        self.now += seconds
        await asyncio.sleep(0)


class Job:
    """A job that is in the next state, or can't be read for the next reason, each time it is asked for."""

    def __init__(self, *outcomes: int | ApiError) -> None:
        self.asked = 0
        self._outcomes: Iterable[int | ApiError] = outcomes

    async def __call__(self) -> ExportJob:
        outcome = list(self._outcomes)[min(self.asked, len(list(self._outcomes)) - 1)]
        self.asked += 1
        if isinstance(outcome, ApiError):
            raise outcome
        return ExportJob(name=NAME, state=outcome)  # type: ignore[arg-type]  # any number


async def told(job: Job, time: Time | None = None, heartbeat_s: float = 30.0) -> list[WatchExportJobResponse]:
    clock = time or Time()
    with Watching(clock.sleep, lambda: clock.now).follow(NAME, job, 1.0) as poller:
        return [response async for response in watching.watch(poller, heartbeat_s)]


def states(responses: list[WatchExportJobResponse]) -> list[int]:
    return [response.export_job.state for response in responses if response.HasField("export_job")]


async def test_a_watch_tells_what_is_then_each_change_then_ends() -> None:
    responses = await told(Job(P, P, R, R, S))

    assert states(responses) == [P, R, S]
    assert all(response.HasField("observe_time") and response.export_job.etag for response in responses)


async def test_a_final_job_is_told_once_and_asked_for_once() -> None:
    job = Job(S)

    assert states(await told(job)) == [S]
    assert job.asked == 1


async def test_a_quiet_watch_beats() -> None:
    time = Time(naps=0)
    with Watching(time.sleep).follow(NAME, Job(R), 1.0) as poller:
        watch = watching.watch(poller, 0.01)
        beats = [await anext(watch) for _ in range(4)]
        await watch.aclose()

    assert [response.HasField("export_job") for response in beats] == [True, False, False, False]
    assert all(response.HasField("observe_time") for response in beats)


@given(st.lists(st.sampled_from([number for number in ExportJob.State.values() if number]), max_size=20))
async def test_no_watch_goes_back(outcomes: list[int]) -> None:
    seen = states(await told(Job(*outcomes, S)))

    assert not STEPS_BACK & set(itertools.pairwise(seen))
    assert seen[-1] in FINAL_STATES
    assert not FINAL_STATES & set(seen[:-1])


async def test_polls_come_soon_after_a_change_and_slow_down_in_quiet() -> None:
    time = Time()
    await told(Job(*[P] * 12, R, R, S), time)

    assert 1.0 <= time.slept[0] <= 1.0 + SPREAD
    assert max(time.slept) <= SLOWEST_POLL_S * (1 + SPREAD)
    assert time.slept[11] >= SLOWEST_POLL_S
    assert time.slept[12] <= 1.0 + SPREAD


async def _within(poller: Poller, seen_etag: Callable[[Poller], str] = lambda _: "") -> ExportJob:
    await poller.changed(0, None)
    return await watching.wait(poller, 5.0, seen_etag(poller))


async def test_a_wait_returns_at_the_end_of_the_job() -> None:
    time = Time()
    with Watching(time.sleep, lambda: time.now).follow(NAME, Job(P, R, S), 1.0) as poller:
        job = await _within(poller)

    assert job.state == S


async def test_a_wait_returns_when_the_job_differs_from_what_was_seen() -> None:
    time = Time()
    with Watching(time.sleep, lambda: time.now).follow(NAME, Job(P, P, R, R, R, R, S), 1.0) as poller:
        job = await _within(poller, lambda poller: poller.job.etag)

    assert job.state == R


async def test_a_wait_without_time_answers_with_what_is() -> None:
    with Watching(Time(naps=0).sleep).follow(NAME, Job(R), 1.0) as poller:
        job = await watching.wait(poller, 0.0, "")

    assert job.state == R


async def test_a_thousand_watchers_cost_one_look_an_interval_and_leave_nothing() -> None:
    time, job = Time(naps=0), Job(R)
    followed = Watching(time.sleep, lambda: time.now)

    async def one() -> int:
        with followed.follow(NAME, job, 1.0) as poller:
            watch = watching.watch(poller, 30.0)
            first = await anext(watch)
            await watch.aclose()
            await time.dozing.wait()
            return first.export_job.state

    assert await asyncio.gather(*(one() for _ in range(1000))) == [R] * 1000
    assert job.asked == 1
    assert followed.jobs == 0


async def test_the_last_watcher_gone_stops_the_polling() -> None:
    time, job = Time(), Job(R)
    followed = Watching(time.sleep, lambda: time.now)
    with followed.follow(NAME, job, 1.0) as poller:
        await poller.changed(0, None)
    asked = job.asked
    for _ in range(50):
        await asyncio.sleep(0)

    assert job.asked == asked


async def test_a_newcomer_is_told_what_is_not_what_was() -> None:
    time, job = Time(naps=0), Job(R, S)

    async def get() -> ExportJob:
        for _ in range(20):
            await asyncio.sleep(0)
        return await job()

    with Watching(time.sleep, lambda: time.now).follow(NAME, get, 1.0) as poller:
        await poller.changed(0, None)
        await time.dozing.wait()
        time.now += 10
        await poller.refresh(5.0)

        assert (await watching.wait(poller, 0.0, "")).state == S


@pytest.mark.parametrize(
    ("outcomes", "seconds"), [((R, S), 0.5), ((R, RateLimited("slowly", retry_after_s=59), S), 50)]
)
async def test_a_newcomer_asks_no_sooner_than_the_vendor_likes(
    outcomes: tuple[int | ApiError, ...], seconds: float
) -> None:
    time, job = Time(naps=len(outcomes) - 2), Job(*outcomes)
    with Watching(time.sleep, lambda: time.now).follow(NAME, job, 1.0) as poller:
        await poller.changed(0, None)
        await time.dozing.wait()
        time.now += seconds
        await poller.refresh(5.0)

    assert job.asked == len(outcomes) - 1


async def test_a_newcomer_does_not_wait_for_a_vendor_that_hangs() -> None:
    time, job = Time(naps=0), Job(R)

    async def get() -> ExportJob:
        if job.asked:
            await asyncio.Event().wait()
        return await job()

    with Watching(time.sleep, lambda: time.now).follow(NAME, get, 1.0) as poller:
        await poller.changed(0, None)
        await time.dozing.wait()
        time.now += 10
        await poller.refresh(0.01)

        assert (await watching.wait(poller, 0.0, "")).state == R


async def test_a_fault_of_our_own_ends_the_watch_too() -> None:
    async def get() -> ExportJob:
        raise KeyError("a fault in an adapter")

    with Watching().follow(NAME, get, 1.0) as poller, pytest.raises(KeyError):
        await asyncio.wait_for(anext(watching.watch(poller, 30.0)), 5)


async def test_a_hiccup_of_the_vendors_is_not_told() -> None:
    responses = await told(Job(R, Unavailable("down"), RateLimited("slowly", retry_after_s=3), R, S))

    assert states(responses) == [R, S]


async def test_a_wait_that_the_vendor_asks_for_is_kept() -> None:
    time = Time()
    await told(Job(R, RateLimited("slowly", retry_after_s=9), S), time)

    assert time.slept[1] >= 9


@pytest.mark.parametrize(("asked_s", "kept_s"), [(9.0, 9.0), (0.0, 1.0), (3600.0, TOLERANCE_S)])
async def test_when_a_vendor_says_that_a_look_is_worth_it_is_kept_to(asked_s: float, kept_s: float) -> None:
    time, job = Time(), Job(P, R, S)

    async def get() -> ExportJob:
        calls.current().ask_again_s = asked_s
        return await job()

    with Watching(time.sleep, lambda: time.now).follow(NAME, get, 1.0) as poller:
        await watching.wait(poller, 5000.0, "")

    assert all(kept_s <= slept <= kept_s * (1 + SPREAD) for slept in time.slept)


async def test_a_wait_that_is_longer_than_an_outage_may_be_is_told_at_once() -> None:
    time, job = Time(), Job(R, RateLimited("slowly", retry_after_s=3600))
    with pytest.raises(RateLimited) as raised:
        await told(job, time)

    assert raised.value.retry_after_s == 3600
    assert time.now < TOLERANCE_S
    assert job.asked == 2


@given(st.lists(st.floats(0, 4000), min_size=1, max_size=30))
async def test_whatever_waits_a_vendor_asks_for_its_outage_is_told_in_time(waits_s: list[float]) -> None:
    time = Time()
    with pytest.raises(RateLimited):
        await told(Job(R, *(RateLimited("slowly", retry_after_s=wait_s) for wait_s in waits_s)), time)

    assert time.now <= (TOLERANCE_S + 2 * SLOWEST_POLL_S) * (1 + SPREAD)


@pytest.mark.parametrize("error", [Overloaded("64 wait already"), Unavailable("down"), RateLimited("slowly")])
async def test_polls_slow_down_while_they_fail(error: ApiError) -> None:
    time = Time()
    await told(Job(R, *[error] * 6, S), time)

    assert time.slept[6] >= SLOWING**6 > 5
    assert max(time.slept) <= SLOWEST_POLL_S * (1 + SPREAD)


async def test_a_job_that_was_never_read_waits_a_little_for_a_place_in_our_own_line() -> None:
    full = Overloaded("64 wait already")
    time = Time()

    assert states(await told(Job(full, full, S), time)) == [S]
    with pytest.raises(Overloaded):
        await told(Job(full), time)
    assert FIRST_TOLERANCE_S <= time.now <= TOLERANCE_S


@given(st.floats(0.1, 60))
async def test_no_job_is_looked_at_more_often_than_is_allowed(fastest_s: float) -> None:
    time, job = Time(), Job(P, P, Unavailable("down"), P, R, R, S)
    with Watching(time.sleep, lambda: time.now).follow(NAME, job, fastest_s) as poller:
        await watching.wait(poller, 5000.0, "")

    assert min(time.slept) >= fastest_s


async def test_an_outage_is_told_after_a_while() -> None:
    time = Time()
    with pytest.raises(Unavailable):
        await told(Job(R, Unavailable("down")), time)

    assert TOLERANCE_S <= time.now <= TOLERANCE_S + 2 * SLOWEST_POLL_S


@pytest.mark.parametrize("error", [NotFound("gone"), Unavailable("down")])
async def test_a_job_that_can_not_be_read_at_all_is_told_at_once(error: ApiError) -> None:
    with pytest.raises(type(error)):
        await told(Job(error))


async def test_each_of_many_who_are_told_of_a_failure_has_one_of_its_own() -> None:
    error = Unavailable("down", retry_after_s=7)
    with Watching().follow(NAME, Job(error), 1.0) as poller:
        ended = await asyncio.gather(*(poller.changed(0, None) for _ in range(100)), return_exceptions=True)

    assert len(set(map(id, ended))) == 100
    assert {(type(one), str(one), getattr(one, "retry_after_s", None)) for one in ended} == {(Unavailable, "down", 7)}


async def test_a_job_that_vanishes_is_told_at_once_and_a_new_watch_starts_anew() -> None:
    time = Time()
    followed = Watching(time.sleep, lambda: time.now)
    job = Job(R, NotFound("gone"), S)
    with followed.follow(NAME, job, 1.0) as poller:
        with pytest.raises(NotFound):
            async for _ in watching.watch(poller, 30.0):
                pass
        with followed.follow(NAME, job, 1.0) as again:
            assert again is not poller
            assert (await watching.wait(again, 1.0, "")).state == S
