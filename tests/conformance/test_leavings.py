"""What is left of calls that are over: nothing, whether they were answered, refused or left alone."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from audiencegateway.v1 import export_jobs_pb2 as pb

from .calls import READS, call, verb_of
from .conftest import Vendor

FOR_EVER = 0
BURST = 20
PATIENCE_S = 10.0
LATE_S = 1.0
GROWTH_BYTES = 512 * 1024
"""Far less than what BURST calls take that are not let go."""


async def _until(holds: Callable[[], bool]) -> bool:
    """Let others run until something holds; False where it does not come to that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - sockets and tasks of gRPC tell nobody that they are gone
                await asyncio.sleep(0)
    return holds()


def _in_use(vendor: Vendor) -> int:
    """Return how many connections to the vendor are in use."""
    transport = vendor.opened.transport
    connectors: list[Any] = [transport.pooled.connector, transport.fresh.connector]
    return sum(len(connector._acquired) for connector in connectors)


@pytest.mark.parametrize("rpc", READS)
async def test_a_read_that_its_caller_leaves_leaves_the_vendor(vendor: Vendor, rpc: str) -> None:
    vendor.can(verb_of(rpc))
    request = READS[rpc](vendor)
    await call(vendor, rpc, request)
    vendor.simulator.journal.clear()
    vendor.simulator.fault(path="*", count=FOR_EVER, delay_s=LATE_S)
    reading = asyncio.ensure_future(call(vendor, rpc, request))
    reached = await _until(lambda: bool(vendor.requests()) and _in_use(vendor) > 0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    vendor.simulator.faults.clear()

    assert reached
    assert await _until(lambda: _in_use(vendor) == 0)
    assert [entry["status"] for entry in vendor.requests()] == [None] * len(vendor.requests())


async def test_a_download_that_its_reader_leaves_leaves_the_vendor(vendor: Vendor) -> None:
    vendor.can("download_export_job")
    request = READS["DownloadExportJob"](vendor)
    await call(vendor, "DownloadExportJob", request)
    *_, file = vendor.requests("GET")
    vendor.simulator.fault(method="GET", path=file["path"], count=FOR_EVER, trickle_s=LATE_S)
    reading = vendor.stubs.export_jobs.DownloadExportJob(request)
    first = await reading.read()
    used = _in_use(vendor)
    reading.cancel()

    assert first.HasField("header")
    assert used == 1
    assert await _until(lambda: _in_use(vendor) == 0)


def _tasks(*, of_the_simulator: bool = False) -> Counter[str]:
    """Count what runs at our end, or the requests that the simulator still works at."""
    running: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    names = [coroutine.__qualname__ for coroutine in running]
    kind = "RequestHandler._handle_request" if of_the_simulator else "RequestHandler"
    return Counter(name for name in names if (kind in name) == of_the_simulator)


async def _burst(vendor: Vendor) -> None:
    """Call in every way that a call can end: answered, refused, failed, too late, cancelled."""
    rpcs = [rpc for rpc in READS if verb_of(rpc) in vendor.adapter.verbs()]
    requests = {rpc: READS[rpc](vendor) for rpc in rpcs}
    for fault in ({}, {"status": 404}, {"drop": "truncate"}, {"delay_s": 0.5}):
        vendor.simulator.faults.clear()
        vendor.opened.transport.reset()
        if fault:
            vendor.simulator.fault(path="*", count=FOR_EVER, **fault)
        timeout = 0.2 if "delay_s" in fault else 10
        calls = [
            asyncio.ensure_future(
                call(vendor, rpcs[number % len(rpcs)], requests[rpcs[number % len(rpcs)]], timeout=timeout)
            )
            for number in range(BURST)
        ]
        for one in calls[::4]:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    vendor.simulator.faults.clear()
    vendor.opened.transport.reset()
    vendor.simulator.journal.clear()


async def test_a_burst_of_calls_leaves_no_task_no_connection_and_no_memory(vendor: Vendor) -> None:
    # Of other tests, which it still answers late.
    late = _tasks(of_the_simulator=True).total()

    def over() -> bool:
        return _in_use(vendor) == 0 and _tasks(of_the_simulator=True).total() <= late

    # What the first bursts leave is for keeps: pools, caches, code that was loaded.
    for _ in range(2):
        await _burst(vendor)
        assert await _until(over)
    gc.collect()
    tasks = _tasks()
    tracemalloc.start()
    try:
        await _burst(vendor)
        left = await _until(lambda: over() and not _tasks() - tasks)
        gc.collect()
        grown_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert left, _tasks() - tasks
    assert grown_bytes < GROWTH_BYTES


async def test_the_last_watcher_gone_ends_the_polling(vendor: Vendor) -> None:
    vendor.can("get_export_job")
    if "RUNNING" not in vendor["jobs"]:
        pytest.skip(f"{vendor.id} has no job that is RUNNING")
    name = vendor.job(vendor["jobs"]["RUNNING"])
    await vendor.stubs.export_jobs.GetExportJob(pb.GetExportJobRequest(name=name))
    await _until(lambda: _in_use(vendor) == 0)
    tasks = _tasks()
    watching: list[Any] = [
        vendor.stubs.export_jobs.WatchExportJob(pb.WatchExportJobRequest(name=name)) for _ in range(5)
    ]
    first = [await one.read() for one in watching]
    for one in watching:
        one.cancel()

    assert {answer.export_job.name for answer in first} == {name}
    assert await _until(lambda: not _tasks() - tasks)
    assert [await one.code() for one in watching] == [grpc.StatusCode.CANCELLED] * len(watching)
