"""How a call is settled whose answer was lost: by what it turns out to have come to, or by that it never arrived."""

from google.protobuf.message import Message

from adapters import names
from adapters.errors import Missing
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway import etags
from gateway.ledger import kept, lost
from gateway.ledger.known import Known
from gateway.ledger.statements import JOBS, RESERVED, SENDING
from gateway.ledger.store import Row, Store, key_of


async def job(store: Store, known: Known, name: str) -> Row:
    """Return the call that a `g~…` name is of.

    Raises:
        Missing: EXPORT_JOB_NOT_FOUND: there is no such call, or none any more.
    """
    connection, job_id = names.parse(name, "ExportJob")
    row = await store.find(job_id.removeprefix(lost.ALIAS))
    if row is not None and row.phase == SENDING and await store.bury(row.id):
        row = await store.find(row.id)
    if row is None or row.connection != connection or row.kind not in JOBS or row.phase == RESERVED:
        raise Missing(f"no record of {name}", reason="EXPORT_JOB_NOT_FOUND", resource=name)
    if row.unknown_at is not None:
        known.lost(row)
    return row


async def adopt(store: Store, known: Known, row: Row, found: ExportJob | Destination | Subscription) -> bool:
    """Settle a call by what it came to at the vendor; False: it is settled already.

    Raises:
        AlreadyAdopted: *found* is what another call came to.
    """
    result: Message = found
    if isinstance(found, ExportJob):
        found.started_by_gateway = True
        found.alias = lost.alias(row)
    etags.stamp(found)
    if row.kind == UploadedFile.DESCRIPTOR.name and isinstance(found, ExportJob):
        file = UploadedFile.FromString(row.wanted or b"")
        file.export_job.CopyFrom(found)
        result = file
    settled = await store.accept(row.id, kept.result(result), found.name)
    if settled and row.kind in JOBS:
        known.lost(row._replace(resource=found.name, resource_key=key_of(found.name)))
    return settled


async def give_up(store: Store, known: Known, row: Row) -> bool:
    """Settle a call by that the vendor has nothing of it; False: it is settled already.

    A start stays, as a job that FAILED. Files, destinations and subscriptions may be sent again under the same
    request id: it is given back.
    """
    status = lost.never_submitted(row)
    settled = await store.reject(row.id, status, let_go=row.kind != ExportJob.DESCRIPTOR.name)
    if settled and row.kind in JOBS:
        known.lost(row._replace(status=status, settled_at=store.now()))
    return settled
