"""Between Acme's JSON and the contract's messages. Pure: nothing here asks anybody."""

from collections.abc import Mapping

import msgspec

from adapters.acme import wire
from adapters.errors import Fault
from audiencegateway.v1.export_jobs_pb2 import ExportJob

VENDOR = "acme"

# https://docs.acme.example
JOB_STATES: dict[str, ExportJob.State.ValueType] = {}


def fault(_status: int, _headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer."""
    return Fault(message=msgspec.json.decode(body, type=wire.Error).message or "")
