"""mediarithmics' simulator, written from its documentation: document imports, their executions, data files, segments.

Docs:    https://developer.mediarithmics.io (read 2026-11), where silent the requests of the vendor's own interface.
Auth:    `Authorization: <token>`, bare.
Paging:  first_result and max_results (default 50).
Limits:  100 MiB a file; 429 comes by faults alone, as nothing documents a rate.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`.
"""

import copy
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from adapters.sandbox import (
    ApiError,
    Call,
    Handler,
    Ids,
    Invalid,
    Multipart,
    Part,
    Reply,
    Run,
    Sandbox,
    Stage,
    Switch,
    TokenBook,
    json_reply,
    phrase,
)

Json = dict[str, Any]

MINUTE_S = 60.0
DAY_S = 24 * 60 * MINUTE_S
MIB = 1024 * 1024
PIECE_BYTES = 64 * 1024

ON, OFF = (True, (True, False)), (False, (False, True))
SWITCHES = {
    "bearer": Switch("refused", ("refused", "accepted"), "an API token behind the word Bearer"),
    "unknown_datamart_status": Switch(403, (403, 404), "the answer below a datamart that is not the token's"),
    "content_encoding": Switch(
        "json", ("json", "everywhere", "absent"), "which answers say `content-encoding: UTF-8`, as recorded ones do"
    ),
    "list_envelope": Switch("total", ("total", "bare"), "lists with total and both spellings of the size, or without"),
    "max_page": Switch(500, int, "a larger max_results is cut to this, silently"),
    "ids": Switch(
        "documented", ("documented", "numbers", "strings"), "ids are strings, but numbers in an execution's parameters"
    ),
    "empty_fields": Switch("null", ("null", "absent"), "how fields of an execution are shown that have no value yet"),
    "task_counts": Switch("number", ("number", "string", "null"), "num_tasks and the like; older types differ"),
    # Document imports.
    "created_status": Switch(200, (200, 201), "the answer to a POST that makes something"),
    "put": Switch("merged", ("merged", "replaced"), "what a PUT does to what it does not name: keeps, or misses it"),
    "delete_status": Switch(200, (200, 204), "the answer to DELETE: an empty resource, or nothing"),
    "used_import_status": Switch(409, (409, 400, 200), "deleting an import with an execution that is not final"),
    # Files.
    "lines": Switch(
        "strict", ("strict", "multiline"), "one object a line, or pretty-printed as the documentation's own examples"
    ),
    "check_rows": Switch(*ON, "is each command checked; otherwise lines are counted, and all succeed"),
    "keep_bodies": Switch(*ON, "are files and their effect kept; otherwise counts and a hash"),
    "max_file_bytes": Switch(100 * MIB, int, "a larger file gets 413; 100 MiB at most"),
    "mismatch_status": Switch(400, (400, 415), "a file of another type than the import's"),
    "error_file": Switch("kept", ("kept", "absent"), "whether failed rows come with an error_file_uri"),
    "file_content_type": Switch(
        "mime", ("mime", "application/octet-stream", "absent"), "the type of a downloaded file: its own, any, none"
    ),
    "file_framing": Switch("length", ("length", "chunked"), "whether a download announces its length"),
    "file_ranges": Switch(*OFF, "whether a download honours Range"),
    # Commands.
    "both_targets": Switch("refused", ("refused", "allowed"), "a command with segment_id and segment_technical_name"),
    "unknown_fields": Switch("ignored", ("ignored", "refused"), "a command with a field that is not documented"),
    "expiration_ts": Switch("milliseconds", ("milliseconds", "seconds"), "the unit of expiration_ts"),
    # Executions.
    "waiting_status": Switch("PENDING", ("PENDING", "SCHEDULED", "WAITING_DEPENDENT_JOB"), "the word for waiting"),
    "running_status": Switch("RUNNING", ("RUNNING", "EXECUTOR_NOT_RESPONDING"), "the word for running"),
    "succeeded_status": Switch("SUCCEEDED", ("SUCCEEDED", "SUCCESS"), "the word for success; the second is older"),
    "executions_end_in": Switch(
        "SUCCEEDED", ("SUCCEEDED", "FAILED", "LOST"), "how executions end that start from now on"
    ),
    "get_execution_status": Switch(200, (200, 404, 405), "is there a GET of one execution; nobody is known to use it"),
    "executions_order": Switch("newest", ("newest", "oldest"), "which execution a list has first"),
    "file_uri": Switch("early", ("early", "late"), "does an execution that is not over say where its file is"),
    "cancel_running_status": Switch(409, (409, 400, 200), "a cancel of what runs already; 200 stops it"),
    "cancel_final_status": Switch(409, (409, 400, 200), "a cancel of what is final; 200 changes nothing"),
    "cancelling_s": Switch(0.0, float, "how long a cancel takes; the status stays what it was until then"),
}

IMPORTS = "/v1/datamarts/{datamart_id}/document_imports"
IMPORT = IMPORTS + "/{import_id}"
EXECUTIONS = IMPORT + "/executions"
EXECUTION = EXECUTIONS + "/{execution_id}"

DATAFARM, DATAMART, ORGANISATION, USER = "DF_EU_2026_01", "1509", "1426", "7"
TOKENS = {
    "sandbox-token": ("read", "write"),
    "api:sandbox-token": ("read", "write"),  # what real ones look like: there is no scheme to take off
    "sandbox-token-read-only": ("read",),
}
# The words are not documented, except for that of 503.
ERROR_CODES = {
    400: "VALIDATION_ERROR",
    401: "NOT_AUTHENTICATED",
    403: "NOT_AUTHORIZED",
    404: "RESOURCE_NOT_FOUND_ERROR",
    409: "CONFLICT",
    503: "SERVICE_UNAVAILABLE",
}
ODD_ENCODING = {"content-encoding": "UTF-8"}

SEGMENT_TYPE = "USER_SEGMENT"
DOCUMENT_TYPES = (
    *("USER_ACTIVITY", "USER_PROFILE", "USER_CHOICE", SEGMENT_TYPE),
    *("USER_IDENTIFIERS_ASSOCIATION_DECLARATIONS", "USER_IDENTIFIERS_DISSOCIATION_DECLARATIONS"),
    *("USER_IDENTIFIERS_DELETION", "USER_POINTS_DELETION"),
)
NDJSON, CSV = MIME_TYPES = ("APPLICATION_X_NDJSON", "TEXT_CSV")
CONTENT_TYPES = {NDJSON: "application/x-ndjson", CSV: "text/csv"}
PRIORITIES = ("LOW", "MEDIUM", "HIGH")

IMPORT_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "document_type": (lambda v: v in DOCUMENT_TYPES, f"one of {', '.join(DOCUMENT_TYPES)}"),
    "mime_type": (lambda v: v in MIME_TYPES, f"one of {', '.join(MIME_TYPES)}"),
    "encoding": (lambda v: isinstance(v, str) and v.lower() == "utf-8", "utf-8"),
    "name": (lambda v: isinstance(v, str) and v.strip() != "", "a text that is not empty"),
    "priority": (lambda v: v in PRIORITIES, f"one of {', '.join(PRIORITIES)}"),
}
DEFAULTS = {"priority": "MEDIUM"}
FIXED = ("id", "datafarm_key", "datamart_id", "document_type", "mime_type")

# One user segment command.
OPERATIONS = ("UPDATE", "DELETE")
IDENTIFIERS = ("user_account_id", "email_hash", "user_agent_id")
TARGETS = ("segment_id", "segment_technical_name")
TEXTS = ("compartment_id", *IDENTIFIERS, *TARGETS, "data_bag")
DURATION, TIME = "expiration_duration", "expiration_ts"
COMMAND_FIELDS = {"operation", *TEXTS, DURATION, TIME}
DEFAULT_COMPARTMENT = "1000"
MAX_INTEGER, MAX_LONG = 2**31 - 1, 2**63 - 1

FAILURES = {"FAILED": "The job has failed", "LOST": "The executor of the job was lost"}
TASKS = 10


class RowError(Exception):
    """What is wrong with one row."""


class Effect(NamedTuple):
    """What one command does when its execution succeeds."""

    operation: str
    segment_id: str
    member: tuple[str, str, str]
    """Kind of identifier, compartment (of accounts), value."""
    minutes: int
    until_s: float | None
    """Epoch seconds; comes before `minutes`."""
    data_bag: str


class Row(NamedTuple):
    """One command as it stands in its file, and its fields or what is wrong with it."""

    line: bytes
    fields: Json
    problem: str = ""


def _refuse_constant(word: str) -> None:
    raise ValueError(word)


WHITE = " \t\r\n"
DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class Lines:
    """Splits what comes in pieces at line feeds; the last line needs none."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that are whole now."""
        first, *others = piece.split(b"\n")
        self._open.append(first)
        if not others:
            return []
        lines = [b"".join(self._open), *others[:-1]]
        self._open = [others[-1]]
        return lines

    def close(self) -> bytes:
        """Return the line at the end."""
        return b"".join(self._open)


class Ndjson:
    """Reads one JSON object a line. A first line that is none refuses the whole file."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._is_first = True

    def feed(self, piece: bytes) -> Iterator[Row]:
        """Yield the rows that are whole now. Raises: Invalid."""
        for line in self._lines.feed(piece):
            yield from self._row(line)

    def close(self) -> Iterator[Row]:
        """Yield what is left. Raises: Invalid."""
        yield from self._row(self._lines.close())
        if self._is_first:
            raise Invalid("The file is empty")

    def _row(self, line: bytes) -> Iterator[Row]:
        if not line.strip():
            return
        try:
            fields = DECODER.decode(line.decode())
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            yield Row(line, fields)
        elif self._is_first:
            raise Invalid("The file is not in ndjson: its first line is not one JSON object")
        else:
            yield Row(line, {}, "The line is not one JSON object")
        self._is_first = False


class Multiline(Ndjson):
    """Reads JSON objects with anything white between them; holds the file, and refuses it for one that is none."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[Row]:
        self._held += piece
        return iter(())

    def close(self) -> Iterator[Row]:
        try:
            text, end = self._held.decode().strip(WHITE), 0
            while end < len(text):
                begin = next(at for at in range(end, len(text)) if text[at] not in WHITE)
                fields, end = DECODER.raw_decode(text, begin)
                if not isinstance(fields, dict):
                    raise Invalid("The file holds something else than JSON objects")
                yield Row(text[begin:end].encode(), fields)
        except (ValueError, RecursionError) as error:
            raise Invalid("The file holds something else than JSON objects") from error
        if not self._held.strip():
            raise Invalid("The file is empty")


CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\Z)')


def _cells(record: str) -> list[str]:
    """Split a record of RFC 4180. Raises: RowError."""
    if '"' not in record and "\r" not in record:
        return record.split(",")
    cells, at = [], 0
    while cell := CELL.match(record, at):
        quoted, plain, comma = cell.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        if not comma:
            return cells
        at = cell.end()
    raise RowError("The line is not CSV as in RFC 4180")


class Csv(Ndjson):
    """Reads RFC 4180 whose header has the names of fields; an empty cell is an absent field."""

    def __init__(self) -> None:
        super().__init__()
        self._record: list[bytes] = []
        self._is_quoted = False
        self._names: list[str] = []

    def close(self) -> Iterator[Row]:
        yield from super().close()
        if self._record:
            yield Row(b"\n".join(self._record), {}, "A quote is not closed")

    def _row(self, line: bytes) -> Iterator[Row]:
        # Quotes within quotes are doubled, so a record ends where their number is even.
        self._is_quoted ^= line.count(b'"') % 2 == 1
        self._record.append(line)
        if self._is_quoted:
            return
        record, self._record = b"\n".join(self._record).removesuffix(b"\r"), []
        if not record:
            return
        try:
            cells = _cells(record.decode())
            if self._is_first:
                self._set_names(cells)
                return
            if len(cells) != len(self._names):
                raise RowError(f"There are {len(cells)} cells below {len(self._names)} names")
            filled = {name: cell for name, cell in zip(self._names, cells, strict=True) if cell}
            numbers = {name: _number(filled[name]) for name in (DURATION, TIME) if name in filled}
            yield Row(record, filled | numbers)
        except UnicodeDecodeError:
            yield self._bad(record, "The line is not in UTF-8")
        except RowError as error:
            yield self._bad(record, str(error))

    def _bad(self, record: bytes, problem: str) -> Row:
        if self._is_first:
            raise Invalid(f"The file is not in csv: {problem}")
        return Row(record, {}, problem)

    def _set_names(self, cells: list[str]) -> None:
        if len(set(cells)) != len(cells) or not {"operation", DURATION} <= set(cells):
            raise Invalid("The first line must have names of fields, operation and expiration_duration among them")
        self._names, self._is_first = cells, False


def _number(text: str) -> int | float | str:
    """Return the number that a cell holds, or the cell."""
    if re.fullmatch(r"-?[0-9]{1,20}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,20}\.[0-9]{1,20}", text) else text


class Commands:
    """Checks user segment commands against the segments that there are."""

    def __init__(self, segments: Iterable[Json], switches: Mapping[str, Any]) -> None:
        self._segments = {
            name: {row[key]: row for row in segments if row[key]}
            for name, key in zip(TARGETS, ("id", "technical_name"), strict=True)
        }
        self._may_have_both = switches["both_targets"] == "allowed"
        self._may_have_any = switches["unknown_fields"] == "ignored"
        self._units_a_second = 1000 if switches["expiration_ts"] == "milliseconds" else 1

    def check(self, fields: Json) -> Effect:
        """Return what a command does. Raises: RowError."""
        operation, minutes, until = fields.get("operation"), fields.get(DURATION), fields.get(TIME)
        if operation not in OPERATIONS:
            raise RowError("operation must be UPDATE or DELETE")
        if not self._may_have_any and (unknown := fields.keys() - COMMAND_FIELDS):
            raise RowError(f"{min(unknown)} is not a known field")
        # Null is as good as absent.
        texts = {name: fields[name] for name in TEXTS if fields.get(name) is not None}
        for name, value in texts.items():
            if not isinstance(value, str) or not value:
                raise RowError(f"{name} must be a text that is not empty")
        if type(minutes) is not int or not 0 <= minutes <= MAX_INTEGER:
            raise RowError("expiration_duration is mandatory, a whole number of minutes from 0")
        if until is not None and (type(until) not in (int, float) or not 0 <= until <= MAX_LONG):
            raise RowError("expiration_ts must be a number from 0")
        bag = texts.get("data_bag", "")
        if bag and not _is_object(bag):
            raise RowError("data_bag must be a JSON object in a string")
        member = _member(texts)
        # An expiration at 0 never comes.
        until_s = None if until is None else until / self._units_a_second or math.inf
        return Effect(str(operation), self._target(texts), member, minutes, until_s, bag)

    def _target(self, texts: Mapping[str, str]) -> str:
        named = [name for name in TARGETS if name in texts]
        if not named or (len(named) > 1 and not self._may_have_both):
            raise RowError(f"One of {' and '.join(TARGETS)} is needed, and no more than one")
        found = [self._segments[name].get(texts[name]) for name in named]
        if found[0] is None or found[0] is not found[-1]:
            raise RowError(f"There is no segment of this {' and '.join(named)}")
        if (found[0]["type"], found[0]["feed_type"]) != ("USER_LIST", "FILE_IMPORT"):
            raise RowError("The segment is not one that files are imported into")
        return str(found[0]["id"])


def _is_object(text: str) -> bool:
    try:
        return isinstance(DECODER.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def _member(texts: Mapping[str, str]) -> tuple[str, str, str]:
    kinds = [kind for kind in IDENTIFIERS if kind in texts]
    if len(kinds) != 1:
        raise RowError(f"One of {', '.join(IDENTIFIERS)} is needed, and no more than one")
    kind, compartment = kinds[0], ""
    if kind == "user_account_id":
        compartment = texts.get("compartment_id", DEFAULT_COMPARTMENT)
    elif "compartment_id" in texts:
        raise RowError("compartment_id is for user_account_id alone")
    return kind, compartment, texts[kind]


@dataclass
class File:
    """One file on its way in, and then what it held."""

    rows: Ndjson | None
    """None: its lines are counted."""
    check: Callable[[Json], Effect] | None
    """None: any object will do."""
    kept: bool
    name: str = ""
    body: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    """One object a failed row: its number, the row itself, and what is wrong with it."""
    effects: list[Effect] = field(default_factory=list)
    size: int = 0
    succeeded: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256()
        self._last = b"\n"

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raises: Invalid."""
        self.size += len(piece)
        self.hash.update(piece)
        if self.kept:
            self.body += piece
        if self.rows is None:
            self.succeeded += piece.count(b"\n")
            self._last = piece[-1:]
        else:
            self._take(self.rows.feed(piece))

    def close(self) -> None:
        """End the file. Raises: Invalid."""
        if self.rows is None:
            self.succeeded += self._last != b"\n"
        else:
            self._take(self.rows.close())

    def _take(self, rows: Iterator[Row]) -> None:
        for row in rows:
            try:
                if row.problem:
                    raise RowError(row.problem)
                effect = self.check(row.fields) if self.check else None
            except RowError as error:
                self.failed += 1
                if self.kept:
                    line = row.line.decode(errors="replace").removesuffix("\r")
                    told = {"row": self.succeeded + self.failed, "line": line, "error": str(error)}
                    self.errors += json.dumps(told, ensure_ascii=False).encode(errors="replace") + b"\n"
            else:
                self.succeeded += 1
                if effect and self.kept:
                    self.effects.append(effect)


@dataclass
class Execution:
    """One run of an import over one file. How far it is follows from the clock alone."""

    id: int
    row: Json
    """The import."""
    run: Run
    file: File
    outcome: str = "SUCCEEDED"
    words: Mapping[Stage, str] = field(default_factory=dict)
    """Where its status is another word than the usual one."""
    message: str = ""
    """An error that went with a success."""
    has_file: bool = True
    """Whether the vendor says already where the file is."""

    def stage(self, now_s: float) -> Stage:
        """Say where it is; being cancelled has no word, so it is where it was."""
        stage, run = self.run.stage(now_s), self.run
        if stage == "cancelling" and run.cancelled_s is not None:
            return "waiting" if run.cancelled_s < run.started_s else "running"
        return stage

    def is_active(self, now_s: float) -> bool:
        """Say whether it waits or runs."""
        return self.stage(now_s) in {"waiting", "running"}

    @property
    def uri(self) -> str:
        """Where the vendor keeps the file."""
        where = f"mics://data_file/tenants/{ORGANISATION}/document_imports/{self.row['id']}/executions/{self.id}"
        return f"{where}/{quote(self.file.name)}"


class MediarithmicsSandbox(Sandbox):
    """One datamart of an obviously invented shop."""

    vendor = "mediarithmics"
    prefixes = ("/v1",)
    switch_table = SWITCHES
    max_body_bytes = 101 * MIB  # a file, and the multipart around it
    streamed = frozenset({f"POST {EXECUTIONS}"})

    def routes(self) -> Mapping[str, Handler]:
        return {
            f"GET {IMPORTS}": self.list_imports,
            f"POST {IMPORTS}": self.create_import,
            f"GET {IMPORT}": self.get_import,
            f"PUT {IMPORT}": self.update_import,
            f"DELETE {IMPORT}": self.delete_import,
            f"GET {EXECUTIONS}": self.list_executions,
            f"POST {EXECUTIONS}": self.create_execution,
            f"GET {EXECUTION}": self.get_execution,
            f"POST {EXECUTION}/action": self.act,
            "GET /v1/data_file/data": self.get_file,
            "GET /v1/audience_segments": self.list_segments,
            "GET /v1/audience_segments/{segment_id}": self.get_segment,
        }

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/v1", "token": "sandbox-token", "datamart_id": DATAMART}

    def seed(self) -> None:
        now = self.clock.now()
        self.ids, self.execution_ids, self.error_ids = Ids(21601), Ids(91001), Ids()
        self.tokens = TokenBook(self.clock)
        for value, grants in TOKENS.items():
            self.tokens.add(value, grants)
        self.segments = {row["id"]: row for row in _seed_segments(now)}
        self.members: dict[str, dict[tuple[str, str, str], tuple[float, str]]] = {id_: {} for id_ in self.segments}
        """Of each segment: until when, in epoch seconds, and the data bag."""
        self.imports = {row["id"]: row for row in _seed_imports()}
        self.executions: dict[int, Execution] = {}
        for id_, import_id, run, text, more in _seed_executions(now):
            row = self.imports[import_id]
            file = self._new_file(row, f"example-{id_}.{'csv' if row['mime_type'] == CSV else 'ndjson'}")
            file.feed(text.encode())
            file.close()
            self.executions[id_] = Execution(id_, row, run, file, **more)

    @property
    def suite(self) -> dict[str, Any]:
        return copy.deepcopy(SUITE)

    def state(self) -> dict[str, Any]:
        """Return who is in which segment now, and what is known of each execution's file."""
        self._settle()
        now = self.clock.now()
        return {
            "segments": {
                id_: [
                    {kind: value, "data_bag": bag, "expires_ms": 0 if until_s == math.inf else _ms(until_s)}
                    | ({"compartment_id": compartment} if compartment else {})
                    for (kind, compartment, value), (until_s, bag) in members.items()
                    if until_s > now
                ]
                for id_, members in self.members.items()
            },
            "files": {
                str(e.id): {
                    "name": e.file.name,
                    "bytes": e.file.size,
                    "sha256": e.file.hash.hexdigest(),
                    "succeeded": e.file.succeeded,
                    "failed": e.file.failed,
                }
                for e in self.executions.values()
            },
        }

    # Access and envelopes.

    def authorize(self, call: Call) -> None:
        value = call.headers.get("Authorization", "")
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "bearer" and self.switches["bearer"] == "accepted":
            value = rest.strip()
        call.token = self.tokens.live(value)
        if call.token is None:
            raise self.error(401, "The API token is missing or not valid")
        if call.method != "GET" and "write" not in call.token.grants:
            raise self.error(403, "The user of this API token may not do this")
        if call.params.get("datamart_id", DATAMART) != DATAMART:
            raise self.error(self.switches["unknown_datamart_status"], "This datamart is not yours")

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        body = {
            "status": "error",
            "error": message or phrase(status),
            "error_code": ERROR_CODES.get(status, phrase(status).upper().replace(" ", "_")),
            "error_id": self.error_ids.uuid(),
        }
        return ApiError(status, body, {} if self.switches["content_encoding"] == "absent" else ODD_ENCODING)

    def stamp(self, call: Call, reply: Reply) -> None:
        is_json = reply.headers.get("Content-Type") == "application/json"
        if self.switches["content_encoding"] in {"everywhere", "json" if is_json else ""}:
            reply.headers |= ODD_ENCODING

    def _page(self, call: Call, rows: list[Json]) -> Reply:
        first = call.integer("first_result", 0)
        size = min(call.integer("max_results", 50, 1), self.switches["max_page"])
        page = rows[first : first + size]
        body: Json = {"status": "ok", "data": page, "count": len(page)}
        if self.switches["list_envelope"] == "total":
            body |= {"total": len(rows), "max_result": size}
        return json_reply(body | {"first_result": first, "max_results": size})

    def _id(self, value: object, *, is_parameter: bool = False) -> str | int:
        shown = self.switches["ids"]
        is_number = is_parameter if shown == "documented" else shown == "numbers"
        return int(str(value)) if is_number else str(value)

    # Document imports.

    def list_imports(self, call: Call) -> Reply:
        text = call.query.get("keywords", "").casefold()
        rows = [row for row in self.imports.values() if text in row["name"].casefold()]
        # Nothing here has a label.
        rows = [] if call.query.get("label_ids") else rows
        return self._page(call, [self._import(row) for row in rows])

    def create_import(self, call: Call) -> Reply:
        fields, id_ = _import(_object(self, call)), self.ids.number()
        row = {"id": id_, "datafarm_key": DATAFARM, "datamart_id": DATAMART, **fields}
        self.imports[id_] = row
        return _one(self._import(row), self.switches["created_status"])

    def get_import(self, call: Call) -> Reply:
        return _one(self._import(self._import_of(call)))

    def update_import(self, call: Call) -> Reply:
        row = self._import_of(call)
        body = _object(self, call)
        for name in FIXED:
            if str(body.get(name, row[name])) != str(row[name]):
                raise Invalid(f"{name} can't be changed")
        row |= _import((row if self.switches["put"] == "merged" else {}) | body)
        return _one(self._import(row))

    def delete_import(self, call: Call) -> Reply:
        row, status, now = self._import_of(call), self.switches["used_import_status"], self.clock.now()
        if status != HTTPStatus.OK and any(e.is_active(now) for e in self._executions_of(row)):
            raise self.error(status, "The document import has an execution that is not finished")
        self._settle()
        for execution in self._executions_of(row):
            del self.executions[execution.id]
        del self.imports[row["id"]]
        return Reply(status=204) if self.switches["delete_status"] == HTTPStatus.NO_CONTENT else _one({})

    def _import_of(self, call: Call) -> Json:
        row = self.imports.get(_path_id(call.params["import_id"]))
        if row is None:
            raise self.error(404, "The document import does not exist")
        return row

    def _import(self, row: Json) -> Json:
        return row | {name: self._id(row[name]) for name in ("id", "datamart_id")}

    # Executions.

    def list_executions(self, call: Call) -> Reply:
        found = sorted(self._executions_of(self._import_of(call)), key=lambda e: (e.run.created_s, e.id))
        if self.switches["executions_order"] == "newest":
            found.reverse()
        return self._page(call, [self._execution(e) for e in found])

    def get_execution(self, call: Call) -> Reply:
        execution, status = self._execution_of(call), self.switches["get_execution_status"]
        if status != HTTPStatus.OK:
            raise self.error(status)
        return _one(self._execution(execution))

    async def create_execution(self, call: Call) -> Reply:
        row = self._import_of(call)
        file = self._new_file(row)
        if _media_type(call) == "multipart/form-data":
            await self._read_form(call, file, row)
        else:
            self._refuse_other_type(_media_type(call), row)
            if call.body_bytes > self.switches["max_file_bytes"]:
                raise self.error(413, "The file is too large")
            while piece := await call.piece():
                self._feed(file, piece)
        file.close()
        id_ = self.execution_ids.number()
        suffix = "csv" if row["mime_type"] == CSV else "ndjson"
        file.name = file.name or f"document_import_{row['id']}_{id_}.{suffix}"
        execution = Execution(id_, row, self.start_run(), file, self.switches["executions_end_in"])
        self.executions[id_] = execution
        return _one(self._execution(execution), self.switches["created_status"])

    def act(self, call: Call) -> Reply:
        execution, now = self._execution_of(call), self.clock.now()
        if _object(self, call).get("action") != "CANCEL":
            raise Invalid("action must be CANCEL")
        stage = execution.stage(now)
        status = {"waiting": 200, "running": self.switches["cancel_running_status"]}.get(
            stage, self.switches["cancel_final_status"]
        )
        if status != HTTPStatus.OK:
            raise self.error(status, f"The execution is {self._status(execution)}")
        if execution.is_active(now) and execution.run.cancelled_s is None:
            execution.run.cancelled_s, execution.run.cancelling_s = now, self.switches["cancelling_s"]
        return _one(self._execution(execution))

    def _executions_of(self, row: Json) -> list[Execution]:
        return [e for e in self.executions.values() if e.row is row]

    def _execution_of(self, call: Call) -> Execution:
        row = self._import_of(call)
        execution = self.executions.get(_path_id(call.params["execution_id"]))
        if execution is None or execution.row is not row:
            raise self.error(404, "The execution does not exist")
        return execution

    def _new_file(self, row: Json, name: str = "") -> File:
        switches, is_csv = self.switches, row["mime_type"] == CSV
        is_multiline = switches["lines"] == "multiline"
        rows = Csv() if is_csv else Multiline() if is_multiline else Ndjson()
        is_checked = switches["check_rows"]
        check = Commands(self.segments.values(), switches).check if row["document_type"] == SEGMENT_TYPE else None
        file = File(rows if is_checked else None, check, switches["keep_bodies"], name)
        # A header is no row.
        file.succeeded = -1 if is_csv and not is_checked else 0
        return file

    def _feed(self, file: File, piece: bytes) -> None:
        if file.size + len(piece) > self.switches["max_file_bytes"]:
            raise self.error(413, "The file is too large")
        file.feed(piece)

    async def _read_form(self, call: Call, file: File, row: Json) -> None:
        """Read the parts `file` and `type`; what they say of its type must agree with the import."""
        form = Multipart(call.headers["Content-Type"])
        part, parts, said = None, set[str](), bytearray()
        while piece := await call.piece():
            for event in form.feed(piece):
                if isinstance(event, Part):
                    part = event
                    if part.name in parts:
                        raise Invalid(f"There are two parts {part.name}")
                    parts.add(part.name)
                    if part.name == "file":
                        self._refuse_other_type(part.content_type, row)
                        file.name = part.filename or ""
                elif part and part.name == "file":
                    self._feed(file, event)
                elif part and part.name == "type":
                    said += event
        form.close()
        if parts != {"file", "type"} or not file.name:
            raise Invalid("There must be a part file, which has a filename, and a part type, and no other")
        self._refuse_other_type(said.decode(errors="replace"), row)

    def _refuse_other_type(self, media_type: str, row: Json) -> None:
        wanted = CONTENT_TYPES[row["mime_type"]]
        if media_type != wanted:
            raise self.error(self.switches["mismatch_status"], f"The document import takes {wanted}")

    def _status(self, e: Execution) -> str:
        stage = e.stage(self.clock.now())
        is_success = e.outcome == "SUCCEEDED"
        usual = {
            "waiting": self.switches["waiting_status"],
            "running": self.switches["running_status"],
            "cancelled": "CANCELED",
            "ended": self.switches["succeeded_status"] if is_success else e.outcome,
        }
        return e.words.get(stage) or str(usual[stage])

    def _execution(self, e: Execution) -> Json:
        now, run, stage, file = self.clock.now(), e.run, e.stage(self.clock.now()), e.file
        ended_s = {"ended": run.ended_s, "cancelled": (run.cancelled_s or 0.0) + run.cancelling_s}.get(stage)
        has_started = run.started_s <= min(now, run.cancelled_s or math.inf)
        has_failed = stage == "ended" and e.outcome in FAILURES
        result, error = None, None
        if has_failed:
            error = {"message": FAILURES[e.outcome]}
        elif stage == "ended":
            message = e.message or (f"{file.failed} lines in error" if file.failed else "")
            error = {"message": message} if message else None
            has_errors = file.errors and self.switches["error_file"] == "kept"
            result = {
                "total_success": file.succeeded,
                "total_failure": file.failed,
                "input_file_name": file.name,
                "input_file_uri": e.uri,
                "error_file_uri": f"{e.uri}.err" if has_errors else None,
            }
        shown = {
            "id": self._id(e.id),
            "status": self._status(e),
            "creation_date": _ms(run.created_s),
            "start_date": _ms(run.started_s) if has_started else None,
            "duration": _ms(ended_s - run.started_s) if has_started and ended_s else None,
            "organisation_id": self._id(ORGANISATION),
            "user_id": self._id(USER),
            "debug": None,
            "num_tasks": self._tasks(TASKS),
            "completed_tasks": self._tasks(0 if has_failed else int(run.progress(now) * TASKS)),
            "erroneous_tasks": self._tasks(TASKS if has_failed else 0),
            "job_type": "DOCUMENT_IMPORT",
            "external_model_name": "PUBLIC_DOCUMENT_IMPORT",
            "parameters": {
                "datamart_id": self._id(DATAMART, is_parameter=True),
                "document_import_id": self._id(e.row["id"], is_parameter=True),
                "document_type": e.row["document_type"],
                **({"file_uri": e.uri} if e.has_file and (result or self.switches["file_uri"] == "early") else {}),
            },
            "result": self._without_empty(result),
            "error": error,
        }
        return self._without_empty(shown) or {}

    def _without_empty(self, shown: Json | None) -> Json | None:
        if shown is None or self.switches["empty_fields"] == "null":
            return shown
        return {name: value for name, value in shown.items() if value is not None}

    def _tasks(self, count: int) -> int | str | None:
        counts: dict[str, int | str | None] = {"number": count, "string": str(count), "null": None}
        return counts[self.switches["task_counts"]]

    # Data files.

    def get_file(self, call: Call) -> Reply:
        uri, now = call.query.get("uri"), self.clock.now()
        if not uri:
            raise Invalid("uri is mandatory")
        for e in self.executions.values():
            if uri == e.uri and e.file.kept and e.has_file:
                return self._file(call, e.file.body, CONTENT_TYPES[e.row["mime_type"]])
            if uri == f"{e.uri}.err" and e.file.errors and e.stage(now) == "ended":
                return self._file(call, e.file.errors, CONTENT_TYPES[NDJSON])
        raise self.error(404, "The data file does not exist")

    def _file(self, call: Call, body: bytearray, content_type: str) -> Reply:
        shown = {"mime": content_type}.get(self.switches["file_content_type"], self.switches["file_content_type"])
        headers = {} if shown == "absent" else {"Content-Type": shown}
        first, _, rest = call.headers.get("Range", "").removeprefix("bytes=").partition("-")
        skipped, status = 0, 200
        if self.switches["file_ranges"] and first.isdecimal() and rest == "":
            skipped, status = int(first), 206
            if skipped >= len(body):
                error = self.error(416)
                error.headers["Content-Range"] = f"bytes */{len(body)}"
                raise error
            headers["Content-Range"] = f"bytes {skipped}-{len(body) - 1}/{len(body)}"
        view = memoryview(body)
        pieces = (bytes(view[at : at + PIECE_BYTES]) for at in range(skipped, len(body), PIECE_BYTES))
        is_chunked = self.switches["file_framing"] == "chunked"
        return Reply(pieces, status, headers, None if is_chunked else len(body) - skipped)

    # Segments.

    def list_segments(self, call: Call) -> Reply:
        wanted = ("organisation_id", "datamart_id", "type", "feed_type", "technical_name")
        exact = {name: call.query[name] for name in wanted if name in call.query}
        text = call.query.get("keywords", "").casefold()
        rows = [
            row for row in self.segments.values() if text in row["name"].casefold() and exact.items() <= row.items()
        ]
        return self._page(call, [self._segment(row) for row in rows])

    def get_segment(self, call: Call) -> Reply:
        row = self.segments.get(call.params["segment_id"])
        if row is None:
            raise self.error(404, "The audience segment does not exist")
        return _one(self._segment(row))

    def _segment(self, row: Json) -> Json:
        self._settle()
        now = self.clock.now()
        kinds = [kind for (kind, _, _), (until_s, _) in self.members[row["id"]].items() if until_s > now]
        ids = {name: self._id(row[name]) for name in ("id", "organisation_id", "datamart_id")}
        counts = {"user_accounts_count": kinds.count("user_account_id"), "emails_count": kinds.count("email_hash")}
        return row | ids | {"user_points_count": len(kinds), **counts}

    def _settle(self) -> None:
        """Let executions that have ended since the last time have their effect, in their order."""
        now = self.clock.now()
        ended = [e for e in self.executions.values() if e.file.effects and e.stage(now) == "ended"]
        for e in sorted(ended, key=lambda e: e.run.ended_s):
            effects, e.file.effects = e.file.effects, []
            for effect in effects if e.outcome not in FAILURES else ():
                members = self.members[effect.segment_id]
                if effect.operation == "DELETE":
                    members.pop(effect.member, None)
                    continue
                in_s = effect.minutes * MINUTE_S or math.inf
                members[effect.member] = (effect.until_s or e.run.ended_s + in_s, effect.data_bag)


def _one(row: Json, status: int = 200) -> Reply:
    return json_reply({"status": "ok", "data": row}, status)


def _media_type(call: Call) -> str:
    return call.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _object(sandbox: Sandbox, call: Call) -> Json:
    if _media_type(call) != "application/json":
        raise sandbox.error(415, "The Content-Type must be application/json", call)
    body = call.json()
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object")
    return body


def _import(body: Json) -> Json:
    """Return the fields of an import, checked, with defaults. Raises: Invalid."""
    row = DEFAULTS | {name: body[name] for name in IMPORT_FIELDS if name in body}
    for name, (valid, wanted) in IMPORT_FIELDS.items():
        if name not in row or not valid(row[name]):
            raise Invalid(f"{name} must be {wanted}")
    if row["mime_type"] == CSV and row["document_type"] != SEGMENT_TYPE:
        raise Invalid(f"{row['document_type']} takes {NDJSON} alone")
    return row


def _path_id(text: str) -> int:
    """Return the id, or one that nothing has."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) else -1


def _ms(epoch_s: float) -> int:
    return round(epoch_s * 1000)


# The seed: an obviously invented shop. Times are so long before now, so that states hold under any clock.

NEWSLETTER, CLUB, LEAFLET, BENCH, QUEUE, ACTIVITIES = 21501, 21504, 21507, 21511, 21512, 21502
FIRST_IMPORT, LAST_IMPORT = 21501, 21532
SEGMENT_IMPORTS = {
    NEWSLETTER: ("newsletter", NDJSON, "MEDIUM"),
    CLUB: ("loyalty club, busy from the start", NDJSON, "HIGH"),
    LEAFLET: ("leaflet, as CSV", CSV, "LOW"),
    BENCH: ("bench", NDJSON, "MEDIUM"),
    QUEUE: ("queue, in older words", NDJSON, "MEDIUM"),
    21516: ("call centre, never used", CSV, "MEDIUM"),
    21517: ("banner, never used", NDJSON, "MEDIUM"),
    21525: ("SMS, never used", NDJSON, "LOW"),
    21531: ("push, never used", NDJSON, "MEDIUM"),
    21532: ("letters, never used", NDJSON, "MEDIUM"),
}


def _seed_segments(now: float) -> Iterator[Json]:
    """Yield lists for files, one that nobody is in, one without a technical name, and two that files don't go into."""
    for number, name, technical_name, type_, feed_type in (
        (8001, "newsletter readers", "example_newsletter", "USER_LIST", "FILE_IMPORT"),
        (8002, "club members", "example_club", "USER_LIST", "FILE_IMPORT"),
        (8003, "nobody yet", "example_nobody", "USER_LIST", "FILE_IMPORT"),
        (8004, "spenders", "example_spenders", "USER_QUERY", None),
        (8005, "visitors", "example_visitors", "USER_LIST", "TAG"),
        (8006, "nameless", None, "USER_LIST", "FILE_IMPORT"),
    ):
        yield {
            "id": str(number),
            "organisation_id": ORGANISATION,
            "datamart_id": DATAMART,
            "name": f"Example shop {name}",
            "short_description": None,
            "technical_name": technical_name,
            "type": type_,
            "subtype": "STANDARD",
            "feed_type": feed_type,
            "default_ttl": 90 * 86_400_000,
            "provider_name": None,
            "persisted": True,
            "paused": False,
            "creation_ts": _ms(now - 400 * DAY_S),
        }


def _seed_imports() -> Iterator[Json]:
    """Yield imports of all types, those of segments so spread that some pages have none."""
    others = [type_ for type_ in DOCUMENT_TYPES if type_ != SEGMENT_TYPE]
    for id_ in range(FIRST_IMPORT, LAST_IMPORT + 1):
        type_ = others[(id_ - ACTIVITIES) % len(others)]
        name, mime_type, priority = SEGMENT_IMPORTS.get(id_, (type_.lower(), NDJSON, "MEDIUM"))
        yield {
            "id": id_,
            "datafarm_key": DATAFARM,
            "datamart_id": DATAMART,
            "document_type": SEGMENT_TYPE if id_ in SEGMENT_IMPORTS else type_,
            "mime_type": mime_type,
            "encoding": "utf-8",
            "name": f"Example shop {name}",
            "priority": priority,
            # Nothing says that an import has no more than what is documented.
            **({"callback_secret": "fake-secret-of-nothing-5555"} if id_ == CLUB else {}),
        }


GOOD = {"operation": "UPDATE", "user_account_id": "example-account-0", "segment_id": "8001", DURATION: 0}
BAD = (GOOD | {"segment_id": "8999"}, {name: value for name, value in GOOD.items() if name != DURATION})


def _ndjson(good: int, bad: int = 0) -> str:
    rows = [GOOD | {"user_account_id": f"example-account-{n}"} for n in range(good)]
    return "".join(f"{json.dumps(row)}\n" for row in [*rows, *(BAD * bad)[:bad]])


CSV_SAMPLE = """operation,user_account_id,email_hash,segment_technical_name,expiration_duration,data_bag\r
UPDATE,example-account-1,,example_club,0,"{""score"":3}"\r
UPDATE,,00000000000000000000000000e3a3b1,example_club,525600,\r
DELETE,example-account-2,,example_club,0,\r
UPDATE,example-account-3,00000000000000000000000000e3a3b2,example_club,0,\r
"""


SeedExecution = tuple[int, int, Run, str, Json]
"""Id, import, run, file, and what else is unusual."""


def _seed_executions(now: float) -> Iterator[SeedExecution]:
    """Yield executions in every status, one in a status nobody knows, and enough of one import for several pages."""

    def ended(id_: int, age_days: int, text: str, import_id: int = NEWSLETTER, **more: object) -> SeedExecution:
        return id_, import_id, Run(now - age_days * DAY_S), text, more

    yield ended(90001, 90, _ndjson(12))
    yield ended(90002, 80, _ndjson(10, 2))
    yield ended(90003, 70, _ndjson(3), outcome="FAILED")
    id_, import_id, run, text, more = ended(90004, 60, _ndjson(3))
    run.cancelled_s = run.created_s + 3
    yield id_, import_id, run, text, more
    yield ended(90005, 50, _ndjson(0, 5))
    yield ended(90006, 45, _ndjson(4), words={"ended": "SUCCESS"})
    yield ended(90007, 40, _ndjson(4), words={"ended": "RECONCILING"})
    yield ended(90008, 35, _ndjson(4), outcome="LOST")
    yield ended(90009, 30, _ndjson(4), message="Took longer than usual")
    yield ended(90201, 20, CSV_SAMPLE, LEAFLET)
    yield ended(90301, 20, '{"$user_agent_id":"vec:1","$ts":1}\n', ACTIVITIES)
    yield 90101, CLUB, Run(now - 6), _ndjson(6), {}
    yield 90102, CLUB, Run(now), _ndjson(2), {}
    slow = {"waiting_s": 30 * DAY_S, "running_s": 30 * DAY_S}
    yield 90401, QUEUE, Run(now - 300, **slow), _ndjson(1), {"words": {"waiting": "SCHEDULED"}, "has_file": False}
    yield 90402, QUEUE, Run(now - 200, **slow), _ndjson(1), {"words": {"waiting": "WAITING_DEPENDENT_JOB"}}
    waited = Run(now - 100, 0.0, 30 * DAY_S)
    yield 90403, QUEUE, waited, _ndjson(1), {"words": {"running": "EXECUTOR_NOT_RESPONDING"}}
    for n in range(30):
        yield ended(90501 + n, 40 - n, _ndjson(2), BENCH)


def _destination(import_id: int) -> str:
    return f"connections/{{connection}}/destinations/{import_id}"


SUITE: Json = {
    "destination_id": str(NEWSLETTER),
    "used_destination_id": str(CLUB),
    "used_job_id": f"{CLUB}~90102",
    "unknown_destination_id": "99999",
    "destination_count": len(SEGMENT_IMPORTS),
    "destination": {
        "displayName": "Example shop, created by a test",
        "mediarithmics": {"mimeType": CSV, "encoding": "utf-8", "priority": "LOW"},
    },
    "destination_patch": {"displayName": "Example shop newsletter, renamed", "mediarithmics": {"priority": "HIGH"}},
    "jobs": {
        "SUCCEEDED": f"{NEWSLETTER}~90001",
        "PARTIALLY_SUCCEEDED": f"{NEWSLETTER}~90002",
        "FAILED": f"{NEWSLETTER}~90003",
        "CANCELLED": f"{NEWSLETTER}~90004",
        "UNRECOGNIZED": f"{NEWSLETTER}~90007",
        "RUNNING": f"{CLUB}~90101",
        "PENDING": f"{CLUB}~90102",
    },
    "unknown_job_id": f"{NEWSLETTER}~99999",
    "export_jobs_filter": f'destination = "{_destination(NEWSLETTER)}"',
    "many_export_jobs_filter": f'destination = "{_destination(BENCH)}"',
    "many_export_job_count": 30,
    "download_job_id": f"{NEWSLETTER}~90002",
    "download_artifact_id": "error",
    "undownloadable_job_id": f"{QUEUE}~90401",
    "member_destination_id": str(NEWSLETTER),
    "members": [
        {"operation": "ADD", "userAccountId": "example-account-1", "audienceId": "8003", "ttl": "86400s"},
        {
            "operation": "ADD",
            "userAccountId": "example-account-2",
            "compartmentId": "1001",
            "audienceKey": "example_nobody",
            "neverExpires": True,
            "attributesJson": '{"score":3,"note":"a \\"quote\\", a comma"}',
        },
        {
            "operation": "ADD",
            "emailHash": "00000000000000000000000000e3a3b1",
            "audienceId": "8003",
            "expireTime": "2100-01-01T00:00:00Z",
        },
        {"operation": "REMOVE", "userAgentId": "vec:123", "audienceId": "8003"},
    ],
    "secrets": ["sandbox-token", "fake-secret-of-nothing"],
}
