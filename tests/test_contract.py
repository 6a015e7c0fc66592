"""The contract keeps its habits, the stubs are what it says, and callers get a service config that works."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from copy import deepcopy
from importlib import import_module
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from audiencegateway.v1.destinations_pb2 import Destination, GetDestinationRequest, UpdateDestinationRequest
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from gateway import client
from gateway.errors import CODES
from tests.aip.contract import PROTOS, READS, Contract, File, compiled, ours
from tests.aip.habits import HABITS, Habit
from tests.aip.plants import PLANTED, Plant

GEN = PROTOS / "gen" / "audiencegateway" / "v1"
SERVICE_CONFIG = (PROTOS / "audiencegateway" / "v1" / "service_config.json").read_text()


@pytest.fixture(scope="module")
def contract() -> Contract:
    return compiled()


# Habits.


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.__name__)
def test_the_contract_keeps_its_habits(habit: Habit, contract: Contract) -> None:
    assert list(habit(contract)) == []


@pytest.mark.parametrize(
    ("habit", "plant"),
    [pytest.param(*planted, id=f"{planted[0].__name__}-{number}") for number, planted in enumerate(PLANTED)],
)
def test_a_broken_habit_is_noticed(habit: Habit, plant: Plant, contract: Contract) -> None:
    broken = deepcopy(contract)
    plant(broken)

    assert list(habit(broken)) != []


def test_every_habit_is_broken_once() -> None:
    assert {habit for habit, _ in PLANTED} == set(HABITS)


# Stubs.


def without_source(file: FileDescriptorProto) -> FileDescriptorProto:
    """Leave out what the generator leaves out of the stubs: comments, and JSON names, which can be derived."""
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    for message in messages_and_entries(bare.message_type):
        for described in message.field:
            described.ClearField("json_name")
    return bare


def messages_and_entries(messages: Iterable[DescriptorProto]) -> Iterator[DescriptorProto]:
    for message in messages:
        yield message
        yield from messages_and_entries(message.nested_type)


def test_the_stubs_are_current(contract: Contract) -> None:
    for file in contract.files:
        stub = import_module(f"audiencegateway.v1.{file.stem}_pb2")
        same = FileDescriptorProto.FromString(stub.DESCRIPTOR.serialized_pb) == without_source(file.proto)
        assert same, f"{file.stem}_pb2 is stale: run `make protos`"


def test_the_stubs_say_what_the_comments_say(contract: Contract) -> None:
    for file in contract.files:
        stubs = "".join((GEN / f"{file.stem}_{suffix}.pyi").read_text() for suffix in suffixes(file))
        said = " ".join(stubs.replace("\\", "").split())
        comments = {element.name: " ".join(file.comments[element.place].split()) for element in file.elements()}
        unsaid = {name for name, comment in comments.items() if comment not in said}
        # In Python a oneof is nothing that could carry a comment.
        assert unsaid <= {element.name for element in file.oneofs()}


def test_there_is_a_stub_for_every_file_and_no_other(contract: Contract) -> None:
    expected = {"__init__.py", "service_config.json"}
    for file in contract.files:
        for suffix in suffixes(file):
            expected |= {f"{file.stem}_{suffix}.py", f"{file.stem}_{suffix}.pyi"}

    assert {path.name for path in GEN.iterdir() if path.is_file()} == expected


def test_the_service_stubs_have_every_method(contract: Contract) -> None:
    for file in contract.files:
        for _, service in file.services():
            stub = import_module(f"audiencegateway.v1.{file.stem}_pb2_grpc")
            methods = {name for name in vars(getattr(stub, f"{service.name}Servicer")) if name[0] != "_"}
            assert methods == {method.name for method in service.method}


def suffixes(file: File) -> tuple[str, ...]:
    return ("pb2", "pb2_grpc") if file.proto.service else ("pb2",)


# What `buf breaking` compares with.


def test_the_baseline_holds_the_whole_package(contract: Contract) -> None:
    baseline = FileDescriptorSet.FromString((PROTOS / "baseline.binpb").read_bytes())
    names = {file.name for file in baseline.file}

    assert {file.name for file in ours(baseline)} <= {file.proto.name for file in contract.files}
    assert len(ours(baseline)) > 0
    assert all(imported in names for file in baseline.file for imported in file.dependency)


# Reasons.


def test_every_reason_says_its_code_and_the_gateway_agrees(contract: Contract) -> None:
    file = contract.file("error_reason")
    said = {
        element.name.rpartition("ERROR_REASON_")[2]: file.comments[element.place].strip().partition(".")[0]
        for element in file.values()
        if element.proto.number
    }

    assert said == {reason: code.name for reason, code in CODES.items()}


def test_metadata_keys_are_written_in_one_way(contract: Contract) -> None:
    file = contract.file("error_reason")
    for element in file.values():
        _, _, metadata = file.comments[element.place].partition("Metadata:")
        for key in re.findall(r"`([^`]+)`", metadata):
            assert re.fullmatch(r"[a-z][a-zA-Z]+", key), element.name


# The service config.


def configured() -> list[str]:
    config = json.loads(SERVICE_CONFIG)
    return [f"{name['service']}.{name['method']}" for part in config["methodConfig"] for name in part["name"]]


def test_the_service_config_names_every_unary_method_once_and_no_stream(contract: Contract) -> None:
    unary = [
        f"audiencegateway.v1.{name}"
        for name, method in contract.methods().items()
        if not (method.client_streaming or method.server_streaming)
    ]

    assert sorted(configured()) == sorted(unary)


def test_the_service_config_retries_what_is_unavailable_reads_twice_and_writes_once() -> None:
    for part in json.loads(SERVICE_CONFIG)["methodConfig"]:
        assert part["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
        reads = {name["method"].startswith(READS) for name in part["name"]}
        assert reads == {part["retryPolicy"]["maxAttempts"] == 3}
        assert part["retryPolicy"]["maxAttempts"] in (2, 3)


def test_every_write_that_the_service_config_repeats_has_a_request_id(contract: Contract) -> None:
    for file in contract.files:
        for _, service in file.services():
            for method in service.method:
                if method.name.startswith(READS):
                    continue
                stub = import_module(f"audiencegateway.v1.{file.stem}_pb2")
                asked = getattr(stub, method.input_type.rpartition(".")[2]).DESCRIPTOR
                if not method.client_streaming:
                    assert "request_id" in asked.fields_by_name, method.name


def test_callers_get_the_service_config_with_the_stubs() -> None:
    assert client.service_config() == SERVICE_CONFIG, "run `make protos`"


class TwiceUnavailable:
    """Fails two calls, then answers."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, _request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> Destination:
        self.calls += 1
        if self.calls < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        return Destination(name="connections/acme/destinations/1")


@pytest.fixture
async def flaky() -> AsyncIterator[tuple[TwiceUnavailable, Any]]:
    service, server = TwiceUnavailable(), grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, Destination] = grpc.unary_unary_rpc_method_handler(
        service.answer, response_serializer=Destination.SerializeToString
    )
    methods = {"GetDestination": handler, "UpdateDestination": handler}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("audiencegateway.v1.DestinationService", methods)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.service_config", SERVICE_CONFIG)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield service, DestinationServiceStub(channel)
    await server.stop(None)


async def test_a_client_with_the_service_config_repeats_a_read(flaky: tuple[TwiceUnavailable, Any]) -> None:
    service, stub = flaky

    destination = await stub.GetDestination(GetDestinationRequest())

    assert destination.name == "connections/acme/destinations/1"
    assert service.calls == 3


async def test_a_client_with_the_service_config_repeats_a_write_only_once(flaky: tuple[TwiceUnavailable, Any]) -> None:
    service, stub = flaky

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.UpdateDestination(UpdateDestinationRequest())

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert service.calls == 2
