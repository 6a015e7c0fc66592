"""Following one job: first what is, then each change, never backwards, and an end."""

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from audiencegateway.v1.export_jobs_pb2 import ExportJob, WatchExportJobResponse
from gateway.watching import FINAL_STATES, SLOWEST_POLL_S, STEPS_BACK, Watcher

P, R, S, C = ExportJob.PENDING, ExportJob.RUNNING, ExportJob.SUCCEEDED, ExportJob.CANCELLING


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def watcher(states: Iterator[int], time: Time) -> Watcher:
    """Return the watcher of a job that is in the next state each time it is asked for."""

    async def get() -> ExportJob:
        return ExportJob(name="connections/c/exportJobs/1", state=next(states))  # type: ignore[arg-type]  # any number

    return Watcher(get, 1.0, sleep=time.sleep, clock=lambda: time.now)


async def watched(states: Iterator[int], heartbeat_s: float = 15.0) -> list[WatchExportJobResponse]:
    return [response async for response in watcher(states, Time()).watch(heartbeat_s)]


async def test_a_watch_tells_what_is_then_each_change_then_ends() -> None:
    responses = await watched(iter([P, P, R, R, S]))

    assert [response.export_job.state for response in responses] == [P, R, S]
    assert all(response.HasField("observe_time") for response in responses)


async def test_a_final_job_is_told_once() -> None:
    assert [response.export_job.state for response in await watched(iter([S]))] == [S]


async def test_a_quiet_watch_beats() -> None:
    responses = await watched(itertools.chain([R] * 40, [S]), heartbeat_s=2.0)
    told = [response.HasField("export_job") for response in responses]

    assert (told[0], told[-1]) == (True, True)
    assert told.count(True) == 2
    assert told.count(False) >= 20


@given(st.lists(st.sampled_from([number for number in ExportJob.State.values() if number]), max_size=20))
async def test_no_watch_goes_back(states: list[int]) -> None:
    responses = await watched(iter([*states, S, S]))
    told = [response.export_job.state for response in responses if response.HasField("export_job")]

    assert not STEPS_BACK & set(itertools.pairwise(told))
    assert told[-1] in FINAL_STATES
    assert not FINAL_STATES & set(told[:-1])


async def test_polls_come_soon_after_a_change_and_slow_down_in_quiet() -> None:
    time = Time()
    async for _ in watcher(itertools.chain([P] * 12, [R, R], [S]), time).watch(1000):
        pass

    assert time.slept[0] == 1.0
    assert time.slept[:12] == sorted(time.slept[:12])
    assert max(time.slept) == SLOWEST_POLL_S
    assert time.slept[12] == 1.0


async def test_a_wait_returns_at_the_end_of_the_job() -> None:
    time = Time()
    job = await watcher(iter([P, R, S]), time).wait(30, "")

    assert job.state == S
    assert time.now < 30


async def test_a_wait_returns_when_the_job_differs_from_what_was_seen() -> None:
    time = Time()
    one = watcher(iter([P, P, R, R, S]), time)
    seen = (await one.look()).etag
    job = await one.wait(30, seen)

    assert job.state == R


async def test_a_wait_returns_what_is_when_its_time_is_over() -> None:
    time = Time()
    job = await watcher(itertools.repeat(R), time).wait(7.0, "")

    assert job.state == R
    assert time.now == 7.0
