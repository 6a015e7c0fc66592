"""What the stub of the vendors answers: the documented JSON, built once."""

import json
from typing import Any

LISTED = 50
"""Destinations in a list."""
DOWNLOAD_BYTES = 32 * 1024 * 1024
SLOW_ID = 777
"""The destination that the stub thinks about, so that many can ask for it at once."""
JOB = "300~100"
"""The export job whose file is downloaded, as the gateway names it: segment and export."""


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


def _json(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


ONE = _json({"segment_export_destination": meiro_destination(100)})
SLOW = _json({"segment_export_destination": meiro_destination(SLOW_ID)})
MANY = _json({"segment_export_destinations": [meiro_destination(100 + n) for n in range(LISTED)]})
IMPORT = _json({"status": "ok", "data": DOCUMENT_IMPORT})
IMPORTS = _json(
    {"status": "ok", "data": [DOCUMENT_IMPORT], "count": 1, "total": 1, "first_result": 0, "max_results": 1}
)
RUN = _json({"status": "ok", "data": EXECUTION})
FILE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=export.csv\r\n"
    b"Content-Length: %d\r\n\r\n" % DOWNLOAD_BYTES
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

# How a path ends, and what it gets; the first that fits. A POST is answered when its body has come.
ANSWERS: tuple[tuple[bytes, bytes], ...] = (
    (b"/segments/export/destinations/%d" % SLOW_ID, SLOW),
    (b"/segments/export/destinations/100", ONE),
    (b"/segments/export/destinations", MANY),
    (b"/document_imports/21577/executions", RUN),
    (b"/document_imports/21577", IMPORT),
    (b"/document_imports", IMPORTS),
)


def answer(path: bytes) -> bytes:
    """Return the whole response for a path."""
    return next((response for end, response in ANSWERS if path.endswith(end)), NOT_FOUND)
