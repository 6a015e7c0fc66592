"""Nothing of members, no secret and no word of a vendor's is in the store, whatever was asked of whichever vendor."""

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it publishes no types
import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from msgspec.structs import replace

from adapters import registry
from adapters.policy import Policy
from adapters.wellknown import failure
from audiencegateway.v1.destinations_pb2 import Destination, UpdateDestinationRequest
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import AudienceMember, UploadedFile
from gateway.connections import Connections
from gateway.ledger import kept
from gateway.ledger.configured import FILE
from gateway.ledger.schema import METADATA
from gateway.sandbox import Running, settings, simulated
from gateway.server import build
from gateway.settings import LedgerSettings
from tests.chaos.operations import CALL_S, Operation, operations
from tests.conformance.client import Stubs, stubs
from tests.gateway.stores import configured

SETTING = "canary-of-a-setting-4e1f"
SAID = "canary-of-what-a-vendor-says-77aa"
ASKED_FOR = "Made under "
"""What has to be found in the store, or nothing was looked at."""
IDENTIFIERS = ("user_account_id", "email_hash", "user_agent_id", "attributes_json")
CARRIES_A_TOKEN = re.compile(r"auth|token|cookie", re.IGNORECASE)
UNHURRIED = Policy(breaker_failures=1000, breaker_calls=1000)
FOR_EVER = 0
OUTCOME_UNKNOWN = ExportJob.OUTCOME_UNKNOWN
BULLETS = "•"


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LedgerSettings]:
    async with configured(request.param, tmp_path) as made:
        yield made


async def _held(ledger: LedgerSettings) -> bytes:
    """Return all that the store holds: its files as they are, or every value of every row."""
    if ledger.url is None:
        file = Path(ledger.directory) / FILE
        return file.read_bytes() + file.with_name(f"{FILE}-wal").read_bytes()
    server = await asyncpg.connect(ledger.url.reveal())
    try:
        found = [await server.fetch(f"SELECT * FROM {table}") for table in METADATA.tables]
    finally:
        await server.close()
    values = [value for row in itertools.chain(*found) for value in row.values()]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def _planted(message: Message) -> bool:
    """Put the canary in place of each text in each Struct; return whether there was one."""
    planted = False
    for field, value in message.ListFields():
        if isinstance(value, Struct):
            for name in [name for name, one in value.items() if isinstance(one, str)]:
                value[name] = SETTING
                planted = True
        elif field.message_type is not None and not field.is_repeated:
            planted |= _planted(value)
    return planted


def _canaries(running: Running, asked: list[Operation]) -> set[str]:
    """Return what proves to the vendors who calls, what members are told by, and what else is nobody's business."""
    found = {SETTING, SAID}
    for simulator, base_url in running.values():
        given = simulator.connection_settings(base_url)
        found |= {str(value) for name, value in given.items() if CARRIES_A_TOKEN.search(name) or "secret" in name}
        found |= set(simulator.suite.get("secrets", ()))
        sent: list[Mapping[str, str]] = [entry["headers"] for entry in simulator.journal]
        found |= {text.split()[-1] for one in sent for name, text in one.items() if CARRIES_A_TOKEN.search(name)}
    members = [one for operation in asked if operation.destination for one in operation.sample]
    assert all(isinstance(one, AudienceMember) for one in members)
    found |= {getattr(member, name) for member in members for name in IDENTIFIERS}
    return {canary for canary in found if canary.strip(BULLETS)}


async def _called(asked: list[Operation], stubs: Stubs) -> list[Any]:
    """Make every call twice under one request id, and change what was made; return what was answered."""
    answers: list[Any] = []
    request_id = str(uuid4())
    for operation, _ in itertools.product(asked, range(2)):
        try:
            answer = await operation.call(stubs, request_id)
            if isinstance(answer, Destination):
                change = Destination(name=answer.name, display_name="Changed")
                update = UpdateDestinationRequest(destination=change, request_id=str(uuid4()))
                answers.append(await stubs.destinations.UpdateDestination(update, timeout=CALL_S))
            answers.append(answer)
        except grpc.aio.AioRpcError as error:
            answers.append(error)
    return answers


def _weather(running: Running, asked: list[Operation]) -> list[dict[str, dict[str, Any]]]:
    """Return what every vendor does to what is written: refuse it with all it knows, lose it, or answer rubbish."""
    said = " ".join(["you sent", *sorted(_canaries(running, asked))])
    known = {vendor: {"status": 400, "body": one.error(400, said).body} for vendor, (one, _) in running.items()}
    others: list[dict[str, Any]] = [{"drop": "after"}, {"status": 200, "body": f"<html>{said}</html>"}]
    return [known, *(dict.fromkeys(running, fault) for fault in others)]


def _set(running: Running, faults: Mapping[str, Mapping[str, Any]]) -> None:
    for vendor, (simulator, _) in running.items():
        simulator.faults.clear()
        for method in ("POST", "PUT", "PATCH"):
            simulator.fault(method=method, path="*", count=FOR_EVER, **faults[vendor])


@asynccontextmanager
async def _serving(running: Running, ledger: LedgerSettings) -> AsyncIterator[Stubs]:
    whole = settings("127.0.0.1:0", running)
    known = tuple(replace(one, policy=UNHURRIED) for one in whole.connections)
    connections = await Connections.open(known)
    gateway = build(replace(whole, ledger=ledger), connections)
    try:
        async with grpc.aio.insecure_channel(await gateway.start()) as channel:
            yield stubs(channel)
        await gateway.stop()
    finally:
        await connections.close()


async def test_no_secret_and_no_member_is_in_the_store(ledger: LedgerSettings) -> None:
    async with simulated(registry.adapters()) as running:
        asked = operations({vendor: simulator for vendor, (simulator, _) in running.items()})
        planted = [_planted(one.sample) for one in asked if isinstance(one.sample, Message)]
        async with _serving(running, ledger) as stubs:
            fine = await _called(asked, stubs)
            bad = []
            for faults in _weather(running, asked):
                _set(running, faults)
                bad.append(await _called(asked, stubs))
            held = await _held(ledger)
        canaries = _canaries(running, asked)

    assert not [answer for answer in fine if isinstance(answer, grpc.aio.AioRpcError)]
    refused, lost, odd = ([getattr(answer, "state", None) for answer in answers] for answers in bad)
    assert set(refused) == {None}
    assert OUTCOME_UNKNOWN in lost
    assert OUTCOME_UNKNOWN in odd
    assert any(planted)
    assert len(canaries) > 10
    assert ASKED_FOR.encode() in held
    assert [canary for canary in canaries if canary.encode() in held] == []


def test_of_a_job_that_failed_the_vendors_words_are_not_kept() -> None:
    error = failure("the export failed", vendorMessage=SAID)
    job = ExportJob(name="connections/c/exportJobs/1", state=ExportJob.FAILED, error=error)
    job.vendor_extras.update({"x": SETTING})
    job.record_errors.add(reason=SAID, sample_message=SAID)
    for message in (job, UploadedFile(export_job=job, member_count=3)):
        held = kept.result(message)
        assert b"the export failed" in held
        assert SAID.encode() not in held
        assert SETTING.encode() not in held
