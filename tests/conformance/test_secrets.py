"""Neither a secret nor anything that a person could be told by is in a log line, an answer's metadata, or an error."""

import logging
import re
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.json_format import ParseDict

from adapters.secrets import Secret
from audiencegateway.v1.members_pb2 import AudienceMember, IngestAudienceMembersRequest

from .calls import READS, WRITES, call, verb_of
from .conftest import Vendor

FOR_EVER = 0
EMAIL = "canary.person@mail.example"
CARRIES_A_TOKEN = re.compile(r"auth|token|cookie", re.IGNORECASE)
IDENTIFIERS = ("user_account_id", "email_hash", "user_agent_id")
OF_THE_SIMULATOR = ("aiohttp.access", "aiohttp.server", "aiohttp.web")
BAD: dict[str, dict[str, Any]] = {
    **{str(status): {"status": status} for status in (400, 401, 403, 404, 409, 422, 429, 500)},
    "garbage": {"status": 200},
    "truncated": {"drop": "truncate"},
}


def _credentials(vendor: Vendor) -> set[str]:
    """Return what proves to the vendor who calls: what was configured, and what it was exchanged for."""
    settings = vendor.opened.settings
    configured = [getattr(settings, field.name) for field in msgspec.structs.fields(type(settings))]
    sent = [entry["headers"] for entry in vendor.simulator.journal]
    tokens = {text.split()[-1] for headers in sent for name, text in headers.items() if CARRIES_A_TOKEN.search(name)}
    return tokens | {value.reveal() for value in configured if isinstance(value, Secret)}


def _identifiers(members: list[AudienceMember]) -> set[str]:
    """Return what members are told by."""
    return {getattr(member, name) for member in members for name in IDENTIFIERS} - {""}


class Heard:
    """Whatever a caller or an operator gets to see beside the answers themselves."""

    def __init__(self, vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
        self._vendor, self._caplog = vendor, caplog
        self._told: list[str] = []
        for name in ("", *logging.root.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)

    async def call(self, rpc: str, request: Any) -> None:
        """Call an RPC, and keep what comes with its answer or its error."""
        try:
            await call(self._vendor, rpc, request, timeout=10)
        except grpc.aio.AioRpcError as error:
            self._told += [repr(error), str(error), str(error.trailing_metadata()), str(error.initial_metadata())]

    def text(self) -> str:
        """Return all of it, log lines with their tracebacks, and how things would be printed."""
        own = [record for record in self._caplog.records if record.name not in OF_THE_SIMULATOR]
        lines = [logging.Formatter("%(message)s").format(record) + repr(vars(record)) for record in own]
        opened = self._vendor.opened
        things = [opened, opened.settings, opened.transport, *vars(opened).values()]
        return "\n".join([*lines, *self._told, *map(repr, things), *map(str, things)])


@pytest.fixture
def heard(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> Heard:
    return Heard(vendor, caplog)


def _requests(vendor: Vendor) -> dict[str, Any]:
    """Return a request for each RPC that the vendor has."""
    made = {**READS, **WRITES}
    return {rpc: make(vendor) for rpc, make in made.items() if verb_of(rpc) in vendor.adapter.verbs()}


async def test_nothing_is_told_of_secrets_when_all_goes_well(vendor: Vendor, heard: Heard) -> None:
    for rpc, request in _requests(vendor).items():
        await heard.call(rpc, request)
    told = heard.text()
    canaries = _credentials(vendor) | set(vendor.simulator.suite.get("secrets", ()))

    assert canaries
    assert [canary for canary in canaries if canary in told] == []


@pytest.mark.parametrize("weather", BAD)
async def test_nothing_is_told_of_secrets_when_the_vendor_repeats_them(
    vendor: Vendor, heard: Heard, weather: str
) -> None:
    requests = _requests(vendor)
    await call(vendor, *next(iter(requests.items())))
    canaries = _credentials(vendor) | {EMAIL}
    fault = dict(BAD[weather])
    if "status" in fault:
        said = " ".join(["you sent", *canaries])
        refused = vendor.simulator.error(fault["status"], said)
        fault["body"] = f"<html>{said}</html>" if weather == "garbage" else refused.body
    for rpc, request in requests.items():
        vendor.opened.transport.reset()
        vendor.simulator.faults.clear()
        # What logs in goes well: it is what comes then that meets the weather.
        vendor.simulator.fault(path="*", count=FOR_EVER, **fault)
        await heard.call(rpc, request)
    told = heard.text()

    assert [canary for canary in canaries | _credentials(vendor) if canary in told] == []


@pytest.mark.parametrize("status", [0, 400, 500])
async def test_nothing_is_told_of_members(vendor: Vendor, heard: Heard, status: int) -> None:
    vendor.can("upload_audience_members")
    members = [ParseDict(member, AudienceMember()) for member in vendor["members"]]
    wrong = AudienceMember(audience_id="not one", user_agent_id=EMAIL)
    if status:
        vendor.simulator.fault(method="POST", path="*", count=FOR_EVER, status=status)
    for sent in (members, [*members, wrong]):
        request = IngestAudienceMembersRequest(
            destination=vendor.destination("member_destination_id"),
            audience_members=sent,
            request_id="0f9d2b1a-5c4e-4d8f-9a3b-6e7c8d9f0a1b"
            if sent is members
            else "1f9d2b1a-5c4e-4d8f-9a3b-6e7c8d9f0a1b",
        )
        await heard.call("IngestAudienceMembers", request)
    told = heard.text()
    canaries = _identifiers([*members, wrong])

    assert len(canaries) > 1
    assert [canary for canary in canaries if canary in told] == []
