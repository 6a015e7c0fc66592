"""Answers as mediarithmics gives them: right names, invented values."""

from typing import Any

IMPORT: dict[str, Any] = {
    "id": "21577",
    "datafarm_key": "DF_EU_2026_01",
    "datamart_id": "1509",
    "document_type": "USER_SEGMENT",
    "mime_type": "APPLICATION_X_NDJSON",
    "encoding": "utf-8",
    "name": "example import",
    "priority": "MEDIUM",
}
EXECUTION: dict[str, Any] = {
    "id": "90211",
    "status": "SUCCEEDED",
    "creation_date": 1767225600000,
    "start_date": 1767225602000,
    "duration": 4100,
    "organisation_id": "1426",
    "user_id": "7",
    "num_tasks": 1,
    "completed_tasks": 1,
    "erroneous_tasks": 0,
    "job_type": "DOCUMENT_IMPORT",
    "parameters": {
        "datamart_id": 1509,
        "document_import_id": 21577,
        "document_type": "USER_SEGMENT",
        "file_uri": "mics://data_file/tenants/1426/x.ndjson",
    },
    "result": {
        "total_success": 98,
        "total_failure": 2,
        "input_file_name": "x.ndjson",
        "input_file_uri": "mics://data_file/tenants/1426/x.ndjson",
        "error_file_uri": "mics://data_file/tenants/1426/x.err",
    },
    "error": {"message": "2 lines in error"},
}
