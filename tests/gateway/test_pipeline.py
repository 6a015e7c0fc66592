"""What every call passes on its way in: nothing internal gets out, nothing hangs, every call leaves one line."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters import calls, errors, names
from adapters.errors import ApiError, Fault, InvalidRequest, Unavailable, VendorError, Violation
from audiencegateway.v1 import connections_pb2, destinations_pb2, export_jobs_pb2, members_pb2
from audiencegateway.v1.destinations_pb2 import Destination, GetDestinationRequest
from audiencegateway.v1.error_reason_pb2 import ErrorReason
from audiencegateway.v1.vendor_config_pb2 import SegmentDestinationConfig
from gateway.errors import CODES, MAX_DETAILS_BYTES
from gateway.methods import METHODS, Method
from gateway.settings import ConfiguredCaller
from tests.gateway.scripted import raising, refused, scripted, serving

NAME = "connections/scripted/destinations/1"
GET = GetDestinationRequest(name=NAME)
CANARY = "canary-5f2b71"


async def test_an_unexpected_exception_tells_the_caller_nothing_and_the_log_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        raise KeyError(CANARY)

    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.reason == "INTERNAL"
    assert CANARY not in answer.message + str(answer.metadata)
    logged = next(record for record in caplog.records if record.exc_info)
    assert answer.metadata["reference"] in logged.getMessage()


@pytest.mark.parametrize(
    "stray", [GeneratorExit, BaseExceptionGroup("stray", [GeneratorExit()]), asyncio.CancelledError]
)
async def test_what_no_handler_should_raise_ends_the_call_and_does_not_hang_its_client(stray: Any) -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        raise stray

    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET, timeout=5))

    assert answer.code is grpc.StatusCode.INTERNAL


async def test_a_shared_task_that_somebody_else_cancels_does_not_hang_the_client() -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        shared = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(shared.cancel)
        await shared
        return Destination()

    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET, timeout=5))

    assert answer.code is grpc.StatusCode.INTERNAL


async def test_an_answer_that_is_none_is_internal() -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> None:
        return None

    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.code is grpc.StatusCode.INTERNAL
    assert "None" not in answer.message


async def test_bytes_that_are_no_message_are_the_callers_fault() -> None:
    async with serving(scripted()) as stubs:
        call = stubs.channel.unary_unary("/audiencegateway.v1.DestinationService/GetDestination")
        answer = await refused(call(b"\xff\xff\xff"))

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "INVALID_FIELD"


async def test_a_message_over_the_limit_is_refused_and_the_next_call_works() -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        return Destination(name=NAME)

    async with serving(scripted(get_destination=get_destination), max_message_bytes=64 * 1024) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GetDestinationRequest(name="x" * 70_000)))
        after = await stubs.destinations.GetDestination(GET)

    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert after.name == NAME


def test_every_reason_of_the_contract_has_its_code() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - an enum wrapper

    assert set(CODES) == reasons - {"UNSPECIFIED"}


async def test_a_vendors_error_says_whose_it_is_and_what_the_vendor_said() -> None:
    error = Unavailable(
        "the vendor answered 503",
        fault=Fault(http_status=503, code="E7", message="maintenance", request_id="r-1", retry_after_s=7.5),
    )
    error.vendor, error.connection = "scripted", "scripted"
    async with serving(scripted(get_destination=raising(error))) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert answer.retry_after_s == 7.5
    assert answer.metadata == {
        "vendor": "scripted",
        "connection": "scripted",
        "vendorHttpStatus": "503",
        "vendorCode": "E7",
        "vendorRequestId": "r-1",
        "vendorMessage": "maintenance",
    }


async def test_an_error_with_a_hundred_long_violations_still_reaches_the_caller() -> None:
    violations = [Violation(f"field_{index}" * 20, "wrong " * 200) for index in range(100)]
    error = InvalidRequest("many " * 1000, violations=violations, metadata={"key": "v" * 9000})
    async with serving(scripted(get_destination=raising(error))) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.reason == "INVALID_FIELD"
    assert answer.size <= MAX_DETAILS_BYTES
    assert answer.violations


def _request(method: Method) -> Message:
    """Return a request that is right in all but its vendor."""
    full = {
        "Connection": "connections/scripted",
        "Destination": NAME,
        "Subscription": f"{NAME}/subscriptions/2",
        "ExportJob": "connections/scripted/exportJobs/3",
        "ExportJobRevision": "connections/scripted/exportJobs/3/revisions/4",
    }
    texts: dict[str, Any] = {
        "CreateDestination": {"parent": full["Connection"], "destination": {"display_name": "d"}},
        "UpdateDestination": {"destination": {"name": NAME, "display_name": "d"}},
        "CreateSubscription": {"parent": NAME, "subscription": {"display_name": "s"}},
        "UpdateSubscription": {"subscription": {"name": full["Subscription"], "display_name": "s"}},
        "CreateExportJob": {"parent": full["Connection"], "export_job": {"destination": NAME}},
        "ResolveExportJob": {"name": full["ExportJob"], "never_submitted": True},
        "IngestAudienceMembers": {"destination": NAME, "audience_members": [{"user_account_id": "u"}]},
        "UploadAudienceMembers": {"header": {"destination": NAME}},
        "ListSubscriptions": {"parent": NAME},
        "ListExportJobLogEntries": {"parent": full["ExportJob"]},
        "ListExportJobRevisions": {"parent": full["ExportJob"]},
        "ListConnections": {},
    }
    kind = method.name.removeprefix("Get").removeprefix("List").removeprefix("Check")
    default = {"parent": full["Connection"]} if method.name.startswith("List") else {"name": full.get(kind, "")}
    if not default.get("name", "x"):
        default = {"name": full["ExportJob"] if "ExportJob" in method.name else NAME}
    if method.name == "DeleteSubscription":
        default = {"name": full["Subscription"]}
    return method.request(**texts.get(method.name, default))


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
async def test_a_vendor_without_the_operation_refuses_it_by_name(method: Method) -> None:
    if method.name in {"GetConnection", "ListConnections"}:
        return  # answered from the configuration
    async with serving(scripted()) as stubs:
        request = _request(method).SerializeToString()
        if method.name == "UploadAudienceMembers":
            call: Any = stubs.channel.stream_unary(method.path)(iter([request]))
        elif method.name in {"WatchExportJob", "DownloadExportJob"}:
            call = stubs.channel.unary_stream(method.path)(request).read()
        else:
            call = stubs.channel.unary_unary(method.path)(request)
        answer = await refused(call)

    assert answer.code is grpc.StatusCode.UNIMPLEMENTED, answer
    assert answer.reason == "NOT_SUPPORTED_BY_VENDOR"
    assert answer.metadata["vendor"] == "scripted"
    assert answer.metadata["operation"]


async def test_a_call_without_a_deadline_gets_the_servers() -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        await asyncio.Event().wait()
        return Destination()

    async with serving(scripted(get_destination=get_destination), default_deadline_s=0.05) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert answer.reason == "VENDOR_TIMEOUT"


async def test_the_callers_deadline_reaches_the_outbound_side() -> None:
    left: list[float] = []

    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        ends_at = calls.current().ends_at()
        assert ends_at is not None
        left.append(ends_at - asyncio.get_running_loop().time())
        return Destination()

    async with serving(scripted(get_destination=get_destination)) as stubs:
        await stubs.destinations.GetDestination(GET, timeout=7)

    assert 5 < left[0] < 7.1  # gRPC rounds


async def test_a_client_that_cancels_a_read_leaves_nothing_running(caplog: pytest.LogCaptureFixture) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Destination()

    caplog.set_level(logging.INFO)
    async with serving(scripted(get_destination=get_destination)) as stubs:
        call = stubs.destinations.GetDestination(GET)
        await began.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 5)

    assert [line["code"] for line in _lines(caplog, "gateway.access")] == ["CANCELLED"]


def _lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.name == logger]


async def test_every_call_leaves_one_line_and_a_mutation_one_more(caplog: pytest.LogCaptureFixture) -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        calls.current().vendor_calls += 2
        return Destination(name=NAME, display_name=CANARY)

    caplog.set_level(logging.INFO)
    request_id = "5b0cf0ea-7d3e-4a53-9a9e-0f2f9f6f7c11"
    async with serving(scripted(get_destination=get_destination)) as stubs:
        await stubs.destinations.GetDestination(GET)
        request = destinations_pb2.DeleteDestinationRequest(name=NAME, request_id=request_id)
        await refused(stubs.destinations.DeleteDestination(request, metadata=[("authorization", f"Bearer {CANARY}")]))

    got, deleted = _lines(caplog, "gateway.access")
    assert got.pop("duration_ms") >= got.pop("overhead_ms") > 0
    assert got == {
        "caller": "anonymous",
        "method": "GetDestination",
        "connection": "scripted",
        "code": "OK",
        "reason": "",
        "vendor_calls": 2,
        "vendor_ms": 0.0,
        "wait_ms": 0.0,
    }
    assert (deleted["code"], deleted["reason"]) == ("UNIMPLEMENTED", "NOT_SUPPORTED_BY_VENDOR")
    assert _lines(caplog, "gateway.audit") == [
        {
            "caller": "anonymous",
            "method": "DeleteDestination",
            "resource": NAME,
            "request_id": request_id,
            "code": "UNIMPLEMENTED",
            "reason": "NOT_SUPPORTED_BY_VENDOR",
        }
    ]
    assert CANARY not in caplog.text + json.dumps([got, deleted])


health: Any = health_pb2_grpc.HealthStub
KEY = "k" * 32
READER = ConfiguredCaller(
    id="reader", key_sha256=hashlib.sha256(KEY.encode()).hexdigest(), connections=("scripted",), access="read"
)


@pytest.mark.parametrize(
    ("metadata", "request_", "code", "reason"),
    [
        ((), GET, grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED"),
        ((("authorization", "Bearer wrong"),), GET, grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED"),
        (
            (("authorization", f"Bearer {KEY}"),),
            # Authorized before validated: what is wrong with the request is none of the caller's business.
            GetDestinationRequest(name="connections/other/destinations/../x"),
            grpc.StatusCode.PERMISSION_DENIED,
            "CALLER_NOT_ALLOWED",
        ),
    ],
)
async def test_a_caller_is_known_and_allowed_before_its_request_is_looked_at(
    metadata: Any, request_: Message, code: grpc.StatusCode, reason: str
) -> None:
    async with serving(scripted(), callers=[READER]) as stubs:
        answer = await refused(stubs.destinations.GetDestination(request_, metadata=metadata))

    assert (answer.code, answer.reason) == (code, reason)


async def test_a_reader_may_not_write() -> None:
    async with serving(scripted(), callers=[READER]) as stubs:
        request = destinations_pb2.DeleteDestinationRequest(name=NAME)
        answer = await refused(
            stubs.destinations.DeleteDestination(request, metadata=[("authorization", f"Bearer {KEY}")])
        )
        upload = members_pb2.UploadAudienceMembersRequest(header=members_pb2.UploadHeader(destination=NAME))
        uploaded = await refused(
            stubs.members.UploadAudienceMembers(iter([upload]), metadata=[("authorization", f"Bearer {KEY}")])
        )

    assert answer.metadata == {"permission": "write", "resource": "connections/scripted"}
    assert uploaded.reason == "CALLER_NOT_ALLOWED"


async def test_a_caller_sees_its_own_connections_only() -> None:
    async with serving(scripted(), scripted("other"), callers=[READER]) as stubs:
        listed = await stubs.connections.ListConnections(
            connections_pb2.ListConnectionsRequest(), metadata=[("authorization", f"Bearer {KEY}")]
        )

    assert [connection.name for connection in listed.connections] == ["connections/scripted"]


async def test_too_many_calls_are_refused_with_a_wait_and_health_still_answers() -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        began.set()
        await release.wait()
        return Destination(name=NAME)

    async with serving(scripted(get_destination=get_destination), max_concurrent_calls=1) as stubs:
        first = stubs.destinations.GetDestination(GET)
        await began.wait()
        answer = await refused(stubs.destinations.GetDestination(GET))
        answered = await health(stubs.channel).Check(health_pb2.HealthCheckRequest())
        release.set()
        await first

    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_OVERLOADED")
    assert answer.retry_after_s
    assert answered.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_credential_that_the_vendor_refuses_shows_on_the_connection_until_it_works_again() -> None:
    answers: list[Callable[[], Destination]] = []

    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        calls.current().vendor_calls += 1
        return answers.pop(0)()

    def reject() -> Destination:
        error = errors.CredentialsRejected("the vendor answered 401", fault=Fault(http_status=401))
        error.vendor, error.connection = "scripted", "scripted"
        raise error

    answers += [reject, Destination]
    states = []
    request = connections_pb2.GetConnectionRequest(name="connections/scripted")
    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))
        states.append((await stubs.connections.GetConnection(request)).state)
        await stubs.destinations.GetDestination(GET)
        states.append((await stubs.connections.GetConnection(request)).state)

    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_CREDENTIALS_REJECTED")
    assert states == [connections_pb2.Connection.CREDENTIALS_REJECTED, connections_pb2.Connection.ACTIVE]


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)], ids=str)
async def test_every_error_of_the_tree_reaches_the_caller_with_its_reason(kind: type) -> None:
    if not issubclass(kind, ApiError):
        return
    error = kind("something is so")
    if isinstance(error, VendorError):
        error.vendor, error.connection = "scripted", "scripted"
    async with serving(scripted(get_destination=raising(error))) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert (answer.code, answer.reason) == (CODES[kind.reason], kind.reason)


async def test_a_stream_that_its_client_leaves_ends_at_the_vendor_too() -> None:
    ended = asyncio.Event()

    async def get_export_job(self: object, export_job_id: str, *, full: bool) -> export_jobs_pb2.ExportJob:
        return export_jobs_pb2.ExportJob(
            name="connections/scripted/exportJobs/3", state=export_jobs_pb2.ExportJob.RUNNING
        )

    async def sleep(_: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(scripted(get_export_job=get_export_job), sleep=sleep) as stubs:
        call = stubs.export_jobs.WatchExportJob(
            export_jobs_pb2.WatchExportJobRequest(name="connections/scripted/exportJobs/3")
        )
        first = await call.read()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 5)

    assert first.export_job.state == export_jobs_pb2.ExportJob.RUNNING


async def test_what_an_adapter_makes_of_a_vendors_answer_still_says_what_the_answer_was() -> None:
    said = errors.Conflict("the vendor answered 409", fault=Fault(http_status=409, message="is running"))
    said.vendor, said.connection = "scripted", "scripted"

    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        raise errors.Precondition("not now", reason="DESTINATION_DISABLED") from said

    async with serving(scripted(get_destination=get_destination)) as stubs:
        answer = await refused(stubs.destinations.GetDestination(GET))

    assert answer.reason == "DESTINATION_DISABLED"
    assert (answer.metadata["vendorHttpStatus"], answer.metadata["vendorMessage"]) == ("409", "is running")


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("scripted", ("destination.segment", "VENDOR_MISMATCH")),
        ("nowhere", ("destination.segment.metadata_id", "INVALID_FIELD")),
    ],
)
async def test_another_vendors_arm_is_told_even_where_it_lacks_a_field(
    connection: str, expected: tuple[str, str]
) -> None:
    wanted = Destination(display_name="x", segment=SegmentDestinationConfig(source_id="s"))
    request = destinations_pb2.CreateDestinationRequest(parent=f"connections/{connection}", destination=wanted)
    async with serving(scripted()) as stubs:
        answer = await refused(stubs.destinations.CreateDestination(request))

    assert answer.violations == [expected]
    assert answer.reason == expected[1]


async def test_a_name_that_an_adapter_finds_wrong_is_told_by_the_field_it_stands_in() -> None:
    async def update_destination(self: object, destination_id: str, edit: object) -> Destination:
        return Destination(name=str(names.split_id(destination_id, 2, "Destination")))

    request = destinations_pb2.UpdateDestinationRequest(destination=Destination(name=NAME, display_name="x"))
    async with serving(
        scripted(update_destination=update_destination, destination_fields=frozenset({"display_name"}))
    ) as stubs:
        answer = await refused(stubs.destinations.UpdateDestination(request))

    assert answer.violations == [("destination.name", "INVALID_RESOURCE_NAME")]
