"""What every vendor's bad days come to: the contract's code and reason, in time, and the next call works."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import grpc
import pytest

from audiencegateway.v1 import destinations_pb2 as pb
from audiencegateway.v1 import export_jobs_pb2

from . import calls
from .client import refused
from .conftest import NEVER_S, Vendor

C = grpc.StatusCode
FOR_EVER = 0

READS: dict[str, tuple[dict[str, Any], grpc.StatusCode, str]] = {
    "400": ({"status": 400}, C.INVALID_ARGUMENT, "REJECTED_BY_VENDOR"),
    "403": ({"status": 403}, C.FAILED_PRECONDITION, "VENDOR_PERMISSION_MISSING"),
    "401": ({"status": 401}, C.FAILED_PRECONDITION, "VENDOR_CREDENTIALS_REJECTED"),
    "404": ({"status": 404}, C.NOT_FOUND, "DESTINATION_NOT_FOUND"),
    "408": ({"status": 408}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "410": ({"status": 410}, C.NOT_FOUND, "DESTINATION_NOT_FOUND"),
    "412": ({"status": 412}, C.ABORTED, "ETAG_MISMATCH"),
    "413": ({"status": 413}, C.INVALID_ARGUMENT, "LIMIT_EXCEEDED"),
    "422": ({"status": 422}, C.INVALID_ARGUMENT, "REJECTED_BY_VENDOR"),
    "425": ({"status": 425}, C.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED"),
    "429": ({"status": 429}, C.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED"),
    "500": ({"status": 500}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "501": ({"status": 501}, C.INVALID_ARGUMENT, "REJECTED_BY_VENDOR"),
    "502": ({"status": 502}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "503": ({"status": 503}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "504": ({"status": 504}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "a reset": ({"drop": "before"}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "a body that breaks off": ({"drop": "truncate"}, C.UNAVAILABLE, "VENDOR_UNAVAILABLE"),
    "no answer in time": ({"delay_s": NEVER_S}, C.DEADLINE_EXCEEDED, "VENDOR_TIMEOUT"),
    "HTML with 200": (
        {"body": "<html>hello</html>", "headers": {"Content-Type": "text/html"}},
        C.INTERNAL,
        "VENDOR_PROTOCOL",
    ),
    "half of a JSON": ({"body": '{"half": ['}, C.INTERNAL, "VENDOR_PROTOCOL"),
    "another JSON": ({"body": "[1, 2]"}, C.INTERNAL, "VENDOR_PROTOCOL"),
    "a redirect": ({"status": 302, "headers": {"Location": "/elsewhere"}}, C.INTERNAL, "VENDOR_PROTOCOL"),
}


def _patience(vendor: Vendor, fault: dict[str, Any]) -> AbstractContextManager[None]:
    return vendor.impatience() if "delay_s" in fault else nullcontext()


def _get(vendor: Vendor) -> pb.GetDestinationRequest:
    return pb.GetDestinationRequest(name=vendor.destination())


@pytest.mark.parametrize("weather", READS)
async def test_a_read_ends_with_its_code_and_the_next_one_works(vendor: Vendor, weather: str) -> None:
    vendor.can("get_destination")
    fault, code, reason = READS[weather]
    await vendor.stubs.destinations.GetDestination(_get(vendor))
    (read,) = vendor.requests("GET")
    vendor.simulator.fault(method="GET", path=read["path"], count=FOR_EVER, **fault)
    with _patience(vendor, fault):
        answer = await refused(vendor.stubs.destinations.GetDestination(_get(vendor), timeout=10))
    vendor.simulator.faults.clear()
    # As if the time had passed for which the vendor is left alone after such an answer.
    vendor.opened.transport.reset()
    after = await vendor.stubs.destinations.GetDestination(_get(vendor))

    assert (answer.code, answer.reason) == (code, reason)
    assert answer.metadata["vendor"] == vendor.id
    assert (answer.retry_after_s is not None) >= (code is C.UNAVAILABLE)
    assert after.name == vendor.destination()
    assert all("/elsewhere" not in entry["path"] for entry in vendor.requests())


@pytest.mark.parametrize(
    ("rpc", "weather"),
    [
        (rpc, weather)
        for rpc in calls.READS
        for weather in ("401", "403", "425", "429", "503", "a reset", "no answer in time", "HTML with 200")
        # A file may well be HTML.
        if not (rpc.startswith(calls.STREAMED) and weather == "HTML with 200")
    ],
)
async def test_every_read_ends_with_its_code(vendor: Vendor, rpc: str, weather: str) -> None:
    vendor.can(calls.verb_of(rpc))
    fault, code, reason = READS[weather]
    request = calls.READS[rpc](vendor)
    await calls.call(vendor, rpc, request)
    # What is read last is what is asked for; what comes before may only say where it is.
    *_, read = vendor.requests("GET", "POST")
    vendor.simulator.fault(method=read["method"], path=read["path"], count=FOR_EVER, **fault)
    with _patience(vendor, fault):
        answer = await refused(calls.call(vendor, rpc, request, timeout=10))

    assert (answer.code, answer.reason) == (code, reason)


@pytest.mark.parametrize("body", ["null", "", "{}", "[]", '"text"', "0"])
async def test_nothing_where_something_was_promised_is_missing_or_not_as_documented(vendor: Vendor, body: str) -> None:
    vendor.can("get_destination")
    await vendor.stubs.destinations.GetDestination(_get(vendor))
    (read,) = vendor.requests("GET")
    vendor.simulator.fault(method="GET", path=read["path"], count=FOR_EVER, body=body)
    answer = await refused(vendor.stubs.destinations.GetDestination(_get(vendor), timeout=10))

    assert (answer.code, answer.reason) in {(C.NOT_FOUND, "DESTINATION_NOT_FOUND"), (C.INTERNAL, "VENDOR_PROTOCOL")}


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"drop": "before"}, {"status": 429, "headers": {"Retry-After": "0"}}]
)
async def test_a_read_is_tried_again_and_its_caller_sees_nothing(vendor: Vendor, fault: dict[str, Any]) -> None:
    vendor.can("get_destination")
    vendor.simulator.fault(method="GET", path="*", count=2, **fault)
    got = await vendor.stubs.destinations.GetDestination(_get(vendor))

    assert got.name == vendor.destination()
    assert len(vendor.requests("GET")) == 3


async def test_a_wait_that_the_vendor_asks_for_is_told_when_there_is_no_time_for_it(vendor: Vendor) -> None:
    vendor.can("get_destination")
    vendor.simulator.fault(method="GET", path="*", count=FOR_EVER, status=429, headers={"Retry-After": "77"})
    answer = await refused(vendor.stubs.destinations.GetDestination(_get(vendor), timeout=5))

    assert (answer.code, answer.reason) == (C.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED")
    assert answer.retry_after_s is not None
    assert answer.retry_after_s >= 77
    assert len(vendor.requests("GET")) == 1


async def test_a_deadline_that_ends_during_a_read_ends_the_vendors_call_too(vendor: Vendor) -> None:
    vendor.can("get_destination")
    await vendor.stubs.destinations.GetDestination(_get(vendor))
    vendor.simulator.journal.clear()
    vendor.simulator.fault(method="GET", path="*", count=FOR_EVER, delay_s=30)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await vendor.stubs.destinations.GetDestination(_get(vendor), timeout=0.3)

    assert ended.value.code() is C.DEADLINE_EXCEEDED
    # The simulator notes no status for a caller that has gone.
    assert [entry["status"] for entry in vendor.requests()] == [None]


async def test_a_start_that_its_caller_leaves_is_finished_once(vendor: Vendor) -> None:
    vendor.can("create_export_job")
    request = export_jobs_pb2.CreateExportJobRequest(
        parent=vendor.connection,
        export_job=vendor.message("export_job", export_jobs_pb2.ExportJob()),
        request_id=str(uuid4()),
    )
    request.validate_only = True
    await vendor.stubs.export_jobs.CreateExportJob(request)
    request.validate_only = False
    vendor.simulator.journal.clear()
    vendor.simulator.fault(method="POST", path="*", delay_s=0.4)
    call = vendor.stubs.export_jobs.CreateExportJob(request)
    while not vendor.requests("POST"):  # noqa: ASYNC110 - the simulator has no event for a request under way
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    answer = None
    while answer is None:
        answer = await _answer_or_none(vendor, request)

    assert answer.name.startswith(f"{vendor.connection}/exportJobs/")
    assert len(vendor.requests("POST")) == 1


async def _answer_or_none(vendor: Vendor, request: Any) -> Any:
    """Return the job, or None while the same request is under way."""
    try:
        return await vendor.stubs.export_jobs.CreateExportJob(request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not C.ABORTED:
            raise
        return None
