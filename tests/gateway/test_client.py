"""What callers in Python are given: ids once a call, second attempts that are the same request, nothing to install."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import grpc_testing
import pytest

from audiencegateway.v1 import destinations_pb2, export_jobs_pb2, members_pb2
from audiencegateway.v1.destinations_pb2 import GetDestinationRequest
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from audiencegateway.v1.export_jobs_pb2_grpc import ExportJobServiceStub
from audiencegateway.v1.members_pb2 import (
    IngestAudienceMembersRequest,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
    UploadBatch,
    UploadFinish,
    UploadHeader,
)
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceStub
from gateway import client, server
from gateway.settings import ServerSettings
from tests.gateway.processes import running

GIVEN = "5b0cf0ea-7d3e-4a53-9a9e-0f2f9f6f7c11"
UPLOAD = (
    UploadAudienceMembersRequest(header=UploadHeader(destination="connections/c/destinations/1")),
    UploadAudienceMembersRequest(batch=UploadBatch()),
    UploadAudienceMembersRequest(finish=UploadFinish(member_count=0)),
)
CREATE = export_jobs_pb2.DESCRIPTOR.services_by_name["ExportJobService"].methods_by_name["CreateExportJob"]
GET = destinations_pb2.DESCRIPTOR.services_by_name["DestinationService"].methods_by_name["GetDestination"]
PUT = members_pb2.DESCRIPTOR.services_by_name["AudienceMemberService"].methods_by_name["UploadAudienceMembers"]
SERVICES = [
    file.services_by_name[name]
    for file, name in [
        (export_jobs_pb2.DESCRIPTOR, "ExportJobService"),
        (destinations_pb2.DESCRIPTOR, "DestinationService"),
        (members_pb2.DESCRIPTOR, "AudienceMemberService"),
    ]
]


class Flaky:
    """Fails the first attempt of every start, and keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def start(self, request: CreateExportJobRequest, context: Any) -> ExportJob:
        self.seen.append(request)
        if len(self.seen) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        return ExportJob(name="connections/c/exportJobs/1")

    async def upload(
        self, messages: AsyncIterator[UploadAudienceMembersRequest], context: Any
    ) -> UploadAudienceMembersResponse:
        self.seen = [message async for message in messages]
        return UploadAudienceMembersResponse()


@pytest.fixture
async def flaky() -> AsyncIterator[tuple[Flaky, str]]:
    service, serving = Flaky(), grpc.aio.server()
    create: grpc.RpcMethodHandler[CreateExportJobRequest, ExportJob] = grpc.unary_unary_rpc_method_handler(
        service.start, CreateExportJobRequest.FromString, ExportJob.SerializeToString
    )
    upload: grpc.RpcMethodHandler[UploadAudienceMembersRequest, UploadAudienceMembersResponse]
    upload = grpc.stream_unary_rpc_method_handler(
        service.upload, UploadAudienceMembersRequest.FromString, UploadAudienceMembersResponse.SerializeToString
    )
    for method, handler in ((CREATE, create), (PUT, upload)):
        name = method.containing_service.full_name
        serving.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {method.name: handler})])
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    yield service, f"127.0.0.1:{port}"
    await serving.stop(None)


@pytest.fixture
def scripted() -> Any:
    """Give a channel without a server: what goes through it is taken at its other end."""
    return grpc_testing.channel(SERVICES, grpc_testing.strict_real_time())


def send(call: Any, asked: Any) -> None:
    """Make a call as a channel with our interceptor does, which grpc_testing's own can't be: it takes no options."""
    ids: Any = client.RequestIds()
    intercept = ids.intercept_stream_unary if isinstance(asked, Iterator) else ids.intercept_unary_unary
    intercept(lambda _, sent: call.future(sent), None, asked)


def is_uuid4(text: str) -> bool:
    return str(UUID(text)) == text and UUID(text).version == 4


# --- ids -----------------------------------------------------------------------------------------------------------


def test_a_call_without_an_id_gets_one_and_the_caller_keeps_the_message_as_it_was(scripted: Any) -> None:
    create = ExportJobServiceStub(scripted).CreateExportJob
    asked = CreateExportJobRequest(parent="connections/c")
    ids = []
    for _ in range(2):
        send(create, asked)
        _, sent, _ = scripted.take_unary_unary(CREATE)
        ids.append(sent.request_id)
        sent.ClearField("request_id")
        assert sent == asked == CreateExportJobRequest(parent="connections/c")
    assert all(map(is_uuid4, ids))
    # Two calls with one message are two calls.
    assert len(set(ids)) == 2


def test_an_id_that_is_given_stays(scripted: Any) -> None:
    create = ExportJobServiceStub(scripted).CreateExportJob
    send(create, CreateExportJobRequest(parent="connections/c", request_id=GIVEN))
    assert scripted.take_unary_unary(CREATE)[1].request_id == GIVEN


def test_what_may_have_no_id_goes_as_it_is(scripted: Any) -> None:
    asked = GetDestinationRequest(name="connections/c/destinations/1")
    send(DestinationServiceStub(scripted).GetDestination, asked)
    assert scripted.take_unary_unary(GET)[1] == asked
    assert client.identified(asked) is asked


@pytest.mark.parametrize("given", ["", GIVEN])
def test_an_uploads_header_has_the_id_and_nothing_else_of_it_changes(scripted: Any, given: str) -> None:
    messages = [UploadAudienceMembersRequest(), *UPLOAD[1:]]
    messages[0].header.CopyFrom(UploadHeader(destination="connections/c/destinations/1", request_id=given))
    send(AudienceMemberServiceStub(scripted).UploadAudienceMembers, iter(messages))
    _, rpc = scripted.take_stream_unary(PUT)
    header, *rest = [rpc.take_request() for _ in UPLOAD]
    assert rest == messages[1:]
    assert header.header.request_id == given or (not given and is_uuid4(header.header.request_id))
    assert header.header.destination == messages[0].header.destination
    assert messages[0].header.request_id == given


def test_every_kind_of_mutation_is_told() -> None:
    assert client.identified(IngestAudienceMembersRequest()).request_id
    batch = UPLOAD[1]
    assert client.identified(batch) is batch


# --- second attempts -----------------------------------------------------------------------------------------------


async def test_a_second_attempt_carries_the_same_id(flaky: tuple[Flaky, str]) -> None:
    service, address = flaky
    async with client.aio_channel(address) as channel:
        stub: Any = ExportJobServiceStub(channel)
        job = await stub.CreateExportJob(CreateExportJobRequest(parent="connections/c"), timeout=30)
    first, second = service.seen
    assert job.name == "connections/c/exportJobs/1"
    assert first == second
    assert is_uuid4(first.request_id)


async def test_a_second_attempt_of_a_thread_carries_the_same_id_too(flaky: tuple[Flaky, str]) -> None:
    service, address = flaky
    code = (
        "import sys\nfrom gateway import client\n"
        "from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest\n"
        "from audiencegateway.v1.export_jobs_pb2_grpc import ExportJobServiceStub\n"
        "with client.channel(sys.argv[1]) as channel:\n"
        "    print(ExportJobServiceStub(channel).CreateExportJob(CreateExportJobRequest(), timeout=30).name)"
    )
    # In a process of its own: this one's loop is what answers.
    called = await asyncio.create_subprocess_exec(sys.executable, "-c", code, address, stdout=subprocess.PIPE)
    assert (await called.communicate())[0] == b"connections/c/exportJobs/1\n"
    first, second = service.seen
    assert first == second
    assert is_uuid4(first.request_id)


async def test_an_upload_of_grpc_aio_gets_an_id_however_it_is_written(flaky: tuple[Flaky, str]) -> None:
    service, address = flaky

    async def messages() -> AsyncIterator[UploadAudienceMembersRequest]:
        for message in UPLOAD:
            yield message

    async with client.aio_channel(address) as channel:
        stub: Any = AudienceMemberServiceStub(channel)
        for given in (UPLOAD, messages(), None):
            call = stub.UploadAudienceMembers(given, timeout=30)
            if given is None:
                for message in UPLOAD:
                    await call.write(message)
                await call.done_writing()
            await call
            header, *rest = service.seen
            assert is_uuid4(header.header.request_id)
            assert rest == list(UPLOAD[1:])


# --- what it takes -------------------------------------------------------------------------------------------------


def test_pings_and_sizes_are_what_the_gateway_bears() -> None:
    assert client.KEEPALIVE_MS > server.MIN_PING_INTERVAL_MS
    assert ServerSettings().max_message_bytes == client.MAX_SENT_BYTES


async def test_options_of_the_caller_win(flaky: tuple[Flaky, str]) -> None:
    service, address = flaky
    async with client.aio_channel(address, more=[("grpc.enable_retries", 0)]) as channel:
        stub: Any = ExportJobServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.CreateExportJob(CreateExportJobRequest(), timeout=30)
    assert len(service.seen) == 1


def test_it_needs_nothing_that_only_the_server_does() -> None:
    code = "import sys, gateway.client; gateway.client.options(); print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"adapters", "aiohttp", "msgspec", "sqlalchemy", "redis", "limits"} & set(loaded)
    assert "grpc" in loaded


def test_the_readme_calls_it_as_it_is() -> None:
    readme = Path(client.__file__).parents[1] / "README.md"
    (snippet,) = [
        code for code in re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL) if "client" in code
    ]
    with running("sandbox", "--listen", "127.0.0.1:0") as process:
        address = process.line()["grpc"]
        assert "127.0.0.1:50051" in snippet
        ran = subprocess.run(
            [sys.executable, "-c", snippet.replace("127.0.0.1:50051", address)],
            capture_output=True,
            text=True,
            check=True,
        )
    names = ran.stdout.splitlines()
    assert len(names) == 2
    assert names[0] == names[1]
    assert names[0].startswith("connections/")
