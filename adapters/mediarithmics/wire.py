"""What mediarithmics takes and sends: its operations, the JSON of their answers, and the commands in a file.

https://developer.mediarithmics.io/data-ingestion/bulk-processing and …/bulk-processing/imports/segments; where these
say nothing, the requests of the vendor's own interface. Every key but an id may be absent or null. Ids are texts in
resources and numbers in an execution's parameters, times are epoch milliseconds.
"""

from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]
Id = int | str
Count = int | str | None
"""Older types of the vendor's have counts as texts."""


class _Entity(msgspec.Struct, kw_only=True):
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """The keys that are not modelled; filled in the FULL view, never decoded."""


class Import(_Entity, kw_only=True):
    """A document import: what becomes of files of one kind."""

    id: Id
    datamart_id: Id | None = None
    document_type: str | None = None
    mime_type: str | None = None
    encoding: str | None = None
    name: str | None = None
    priority: str | None = None


class Parameters(_Entity, kw_only=True):
    """What an execution works on."""

    document_import_id: Id | None = None
    document_type: str | None = None
    file_uri: str | None = None
    total_success: Count = None
    total_failure: Count = None


class Result(_Entity, kw_only=True):
    """What an execution came to; null until then."""

    total_success: Count = None
    total_failure: Count = None
    input_file_name: str | None = None
    input_file_uri: str | None = None
    error_file_uri: str | None = None


class Problem(msgspec.Struct):
    """What an execution says went wrong; also one that succeeded may."""

    message: str | None = None


class Execution(_Entity, kw_only=True):
    """One run of a document import over one file."""

    id: Id
    status: str | None = None
    creation_date: float | None = None
    start_date: float | None = None
    duration: float | None = None
    num_tasks: Count = None
    completed_tasks: Count = None
    erroneous_tasks: Count = None
    parameters: Parameters | None = None
    result: Result | None = None
    error: Problem | None = None


class One(msgspec.Struct, Generic[T]):
    """The envelope of one thing."""

    data: T


class Many(msgspec.Struct, Generic[T]):
    """The envelope of a list."""

    data: list[T]
    total: int | None = None
    """Of the whole list; only some lists say it."""
    max_results: int | None = None
    """What mediarithmics made of the size that was asked for."""


class Refusal(msgspec.Struct):
    """What an error answers."""

    error: str | None = None
    error_code: str | None = None
    error_id: str | None = None


class Command(msgspec.Struct, omit_defaults=True, gc=False):
    """One line of a file: whom to put into which segment, or take out of it. In CSV, these are the columns."""

    operation: str
    compartment_id: str = ""
    user_account_id: str = ""
    email_hash: str = ""
    user_agent_id: str = ""
    segment_id: str = ""
    segment_technical_name: str = ""
    expiration_duration: int | None = None
    """Minutes. 0 is for ever. Mandatory, also for a DELETE."""
    expiration_ts: int | None = None
    """Epoch milliseconds."""
    data_bag: str = ""
    """A JSON object, as text."""


class Operation(NamedTuple, Generic[T_co]):
    """One call; where its path begins with a datamart, that is the connection's."""

    method: str
    path: str
    reply: type[T_co]


IMPORTS = "datamarts/{}/document_imports"
EXECUTIONS = IMPORTS + "/{}/executions"

LIST_IMPORTS = Operation("GET", IMPORTS, Many[Import])
CREATE_IMPORT = Operation("POST", IMPORTS, One[Import])
GET_IMPORT = Operation("GET", IMPORTS + "/{}", One[Import])
UPDATE_IMPORT = Operation("PUT", IMPORTS + "/{}", One[Import])
DELETE_IMPORT = Operation("DELETE", IMPORTS + "/{}", object)
LIST_EXECUTIONS = Operation("GET", EXECUTIONS, Many[Execution])
CREATE_EXECUTION = Operation("POST", EXECUTIONS, One[Execution])
GET_EXECUTION = Operation("GET", EXECUTIONS + "/{}", One[Execution])
ACT = Operation("POST", EXECUTIONS + "/{}/action", object)
GET_FILE = Operation("GET", "data_file/data", bytes)
