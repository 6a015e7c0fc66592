"""What the stub of the vendors answers: the documented JSON, built once."""

import json
from typing import Any

LISTED = 50
"""Destinations in a list."""
DOWNLOAD_BYTES = 32 * 1024 * 1024
FIRST_ID = 1000
DESTINATIONS = 1024
"""How many there are to get, beginning with the first id: so many can be asked for at once, and none twice."""
JOB = "300~100"
"""The export job whose file is downloaded, as the gateway names it: segment and export."""
WATCHED = "300~101"
"""The export job that is another at every third look."""


def meiro_destination(destination_id: int) -> dict[str, Any]:
    """https://docs.meiro.dev/docs/api/meiro-cdp-api/segment-export-destinations, with settings of an usual size."""
    return {
        "id": destination_id,
        "user_id": 200,
        "name": f"Shop {destination_id}",
        "description": "Buyers of the last ninety days",
        "settings": {
            "mandatory_attributes_operator": "and",
            "mi_workspace_variables": [
                {
                    "name": "port",
                    "title": "Port",
                    "values": {"port_home": "1234"},
                    "required": True,
                    "can_be_empty": False,
                    "input_mode": "value_from_list",
                }
            ],
        },
        "frontend_settings": {},
        "attribute_ids": ["id1", "id2"],
        "disabled": 0,
        "deleted": 0,
        "icon": "",
        "mandatory_attribute_ids": ["3"],
        "created": "2017-01-01 15:35:00",
        "mi_workspace_id": 300,
        "last_export": "2018-01-01 15:00:00",
        "data_load_start_time": None,
        "data_load_end_time": None,
    }


DOCUMENT_IMPORT = {
    "id": "21577",
    "datafarm_key": "DF_EU_2025_01",
    "datamart_id": "1509",
    "document_type": "USER_SEGMENT",
    "mime_type": "APPLICATION_X_NDJSON",
    "encoding": "utf-8",
    "name": "Members",
    "priority": "MEDIUM",
}
EXECUTION = {
    "id": "90211",
    "status": "PENDING",
    "creation_date": 1767225600000,
    "parameters": {"datamart_id": 1509, "document_import_id": 21577, "document_type": "USER_SEGMENT"},
    "result": None,
    "error": None,
}


DATASET_ID = "5b020a27e7040801dedbf46e"
DATASET = {
    "name": "Profile export",
    "description": "Profiles of the loyalty programme",
    "created": 1767225600000,
    "updated": 1767225600000,
    "schemaRef": {
        "id": "https://ns.adobe.com/xdm/context/profile__union",
        "contentType": "application/vnd.adobe.xed+json;version=1",
    },
    "tags": {"unifiedProfile": ["enabled:true"]},
}
TOKEN = {"access_token": "bench-token", "token_type": "bearer", "expires_in": 86399}
SEGMENT_ID = "5GFhvtz8fha42Cm4B9E6L8"
SEGMENT_DESTINATION = {
    "id": SEGMENT_ID,
    "enabled": True,
    "name": "Warehouse",
    "settings": {"region": "eu-west-1", "retries": 3},
    "metadata": {"id": "54521fd525e721e32a72ee91", "name": "Amplitude", "slug": "amplitude"},
    "sourceId": "rh5BDZp6QDHvXFCkibm1pR",
}


def meiro_export(export_id: int, status: str) -> dict[str, Any]:
    """https://docs.meiro.dev/docs/api/meiro-cdp-api/segment-exports."""
    return {
        "id": export_id,
        "user_id": 200,
        "segment_id": 300,
        "segment_export_destination_id": 100,
        "name": "Export",
        "settings": {"table": "buyers"},
        "frontend_settings": {},
        "status": status,
        "stats": {"statuses_history": {"waiting": "2017-01-01 15:35:00", "running": "2017-01-01 15:36:00"}},
        "created": "2017-01-01 15:35:00",
    }


def _json(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _page(**rows: object) -> bytes:
    return _json({"status": "ok", **rows, "count": 1, "total": 1, "first_result": 0, "max_results": 1})


COUNT = 1_000_000_000
"""Where what is counted begins: always as many digits, so that an answer stays as long as it is."""
MADE = _json({"segment_export": meiro_export(COUNT, "waiting")})
SEEN, SEEN_ANEW = (_json({"segment_export": meiro_export(101, status)}) for status in ("running", "Running"))
LOGGED_IN = _json(TOKEN)
FILE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=export.csv\r\n"
    b"Content-Length: %d\r\n\r\n" % DOWNLOAD_BYTES
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

_IMPORTS = b"/v1/datamarts/1509/document_imports"
_MEIRO = b"/api/segments/export/destinations"
_DATASETS = b"/data/foundation/catalog/dataSets"

ANSWERS: dict[bytes, bytes] = {
    **{
        _MEIRO + b"/%d" % number: _json({"segment_export_destination": meiro_destination(number)})
        for number in range(FIRST_ID, FIRST_ID + DESTINATIONS)
    },
    _MEIRO: _json({"segment_export_destinations": [meiro_destination(100 + n) for n in range(LISTED)]}),
    _IMPORTS: _page(data=[DOCUMENT_IMPORT]),
    _IMPORTS + b"/21577": _json({"status": "ok", "data": DOCUMENT_IMPORT}),
    _IMPORTS + b"/21577/executions": _json({"status": "ok", "data": EXECUTION}),
    _DATASETS: _json({DATASET_ID: DATASET}),
    _DATASETS + b"/" + DATASET_ID.encode(): _json({DATASET_ID: DATASET}),
    b"/ims/token/v3": LOGGED_IN,
    b"/destinations": _json({"data": {"destinations": [SEGMENT_DESTINATION], "pagination": {"totalEntries": 1}}}),
    b"/destinations/" + SEGMENT_ID.encode(): _json({"data": {"destination": SEGMENT_DESTINATION}}),
}
"""The whole response by path; a POST is answered when its body has come."""
IN_TURN: dict[bytes, tuple[bytes, ...]] = {
    b"/api/segments/300/exports/101": (SEEN, SEEN, SEEN, SEEN_ANEW, SEEN_ANEW, SEEN_ANEW),
}
"""Whole responses of which each has its turn; when they were asked for is noted."""
COUNTED: dict[bytes, bytes] = {b"/api/segments/300/exports": MADE}
"""The whole response, in which a number grows from call to call."""
