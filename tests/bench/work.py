"""What is asked for: requests in bytes that were made before, and the works on a server that are made of them."""

import time
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from audiencegateway.v1.destinations_pb2 import (
    GetDestinationRequest,
    ListDestinationsRequest,
    ListDestinationsResponse,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CreateExportJobRequest,
    DownloadExportJobRequest,
    ExportAudience,
    ExportJob,
    GetExportJobRequest,
    WatchExportJobRequest,
)
from audiencegateway.v1.members_pb2 import (
    AudienceMember,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
    UploadBatch,
    UploadFinish,
    UploadHeader,
)
from tests.bench.answers import DESTINATIONS, DOWNLOAD_BYTES, FIRST_ID, JOB, LISTED, WATCHED
from tests.bench.load import Load
from tests.bench.processes import Account

GET = "DestinationService/GetDestination"
LIST = "DestinationService/ListDestinations"
NOTHING = "ExportJobService/GetExportJob"
CREATE = "ExportJobService/CreateExportJob"
WATCH = "ExportJobService/WatchExportJob"
DOWNLOAD = "ExportJobService/DownloadExportJob"
UPLOAD = "AudienceMemberService/UploadAudienceMembers"

IN_FLIGHT = 16
TAKES_MEMBERS = "mediarithmics"
SHOP = "meiro"
SHOPS = tuple(Account(f"shop-{number}", SHOP) for number in range(IN_FLIGHT))
"""Connections enough that no two lists in flight are the same: what is the same may be asked for once."""
GET_EACH = tuple(
    GetDestinationRequest(name=f"connections/{SHOP}/destinations/{FIRST_ID + number}").SerializeToString()
    for number in range(DESTINATIONS)
)
LIST_EACH = tuple(
    ListDestinationsRequest(parent=f"connections/{shop.id}", page_size=LISTED).SerializeToString() for shop in SHOPS
)
GET_NOTHING = [GetExportJobRequest(name="connections/meiro/exportJobs/1").SerializeToString()]
GET_FILE = DownloadExportJobRequest(name=f"connections/{SHOP}/exportJobs/{JOB}")
WATCH_ONE = WatchExportJobRequest(name=f"connections/{SHOP}/exportJobs/{WATCHED}")
MEMBERS_A_MESSAGE = 1000


class Kind(NamedTuple):
    """A kind of single call."""

    title: str
    method: str
    requests: tuple[bytes, ...]
    bound: float
    """What its CPU may be of the bare pipe's."""


GETS = Kind("GetDestination", GET, GET_EACH, 1.15)
LISTS = Kind(f"ListDestinations of {LISTED}", LIST, LIST_EACH, 1.10)


def creates(count: int) -> list[bytes]:
    """Return requests for export jobs, no two of one request_id."""
    wanted = ExportJob(
        display_name="Nightly buyers",
        destination=f"connections/{SHOP}/destinations/{FIRST_ID}",
        audiences=[ExportAudience(audience_id="300")],
    )
    return [
        CreateExportJobRequest(
            parent=f"connections/{SHOP}", export_job=wanted, request_id=str(uuid.uuid4())
        ).SerializeToString()
        for _ in range(count)
    ]


async def create(side: Load, count: int) -> float:
    """Start export jobs, one after another so that their latency shows; return the seconds that took."""
    return await side.calls(CREATE, creates(count), count, 1)


async def download(side: Load) -> float:
    """Download a file; return the seconds that took."""
    started_s = time.perf_counter()
    received = await side.download(DOWNLOAD, GET_FILE)
    assert received >= DOWNLOAD_BYTES, f"{received} bytes of {DOWNLOAD_BYTES}"
    return time.perf_counter() - started_s


async def member_destination(side: Load) -> str:
    """Return the name of the destination that the stub has for members."""
    request = ListDestinationsRequest(parent=f"connections/{TAKES_MEMBERS}")
    found = ListDestinationsResponse.FromString(await side.call(LIST, request))
    return found.destinations[0].name


def batch() -> bytes:
    """Return a message of members."""
    members = [
        AudienceMember(
            operation=AudienceMember.REMOVE if number % 10 == 0 else AudienceMember.ADD,
            user_account_id=f"account-{number:08}",
            audience_id="4711",
            ttl=Duration(seconds=30 * 24 * 3600),
        )
        for number in range(MEMBERS_A_MESSAGE)
    ]
    return UploadAudienceMembersRequest(batch=UploadBatch(audience_members=members)).SerializeToString()


async def upload(side: Load, destination: str, message: bytes, count: int) -> float:
    """Upload *count* members, a *message* at a time; return the seconds that took."""

    def messages() -> Iterator[bytes]:
        header = UploadHeader(destination=destination, request_id=str(uuid.uuid4()))
        yield UploadAudienceMembersRequest(header=header).SerializeToString()
        for _ in range(count // MEMBERS_A_MESSAGE):
            yield message
        yield UploadAudienceMembersRequest(finish=UploadFinish(member_count=count)).SerializeToString()

    started_s = time.perf_counter()
    answer = UploadAudienceMembersResponse.FromString(await side.upload(UPLOAD, messages()))
    assert answer.next_member_index == count, answer
    return time.perf_counter() - started_s
