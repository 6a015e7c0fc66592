"""Who calls, and whether it may: told from the transport and the metadata, before a request is validated."""

from typing import Any

import grpc

from gateway.callers import Callers
from gateway.interceptors.access_log import RECORD, Record
from gateway.methods import connection_id_of


def identify(callers: Callers, context: grpc.aio.ServicerContext[Any, Any], record: Record) -> None:
    """Put the caller on *record*.

    Raises:
        CallerRefused: CALLER_UNAUTHENTICATED.
    """
    record.caller = callers.identify(context.invocation_metadata() or (), context.auth_context)


def authorize(callers: Callers, about: str) -> None:
    """Let the call being served go on to *about*, a resource name that may yet turn out to be none.

    Raises:
        CallerRefused: CALLER_NOT_ALLOWED.
    """
    record = RECORD.get()
    record.about = about
    connection_id = connection_id_of(about)
    record.connection = connection_id or ""
    callers.authorize(record.caller, connection_id, write=record.method.writes)
